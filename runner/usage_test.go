package main

import (
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/scheduler/am"
)

// Each attempt has a core from its start to its end, or until now.
func TestCoreSeconds(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds-60) * time.Second) }
	r := am.Report{Attempts: []am.AttemptReport{
		{Start: at(0), End: at(10)}, {Start: at(5), End: at(7)}, {Start: at(50)},
	}}
	if got := coreSeconds(r, now); got != 22 {
		t.Errorf("%v core-seconds, want 22", got)
	}
}

func TestUsageLine(t *testing.T) {
	u := &usage{CoreSeconds: 31.04, Requests: 1234, BytesRead: 51e9, BytesWritten: 1.3e9}
	if got := u.line(); got != "Used: 31.0 core-seconds, 51.0 GB read and 1.3 GB written in 1,234 requests\n" {
		t.Error(got)
	}
	u.USD = 0.2134
	if got := u.line(); got != "Used: 31.0 core-seconds, 51.0 GB read and 1.3 GB written in 1,234 requests; about "+
		"$0.21\n" {
		t.Error(got)
	}
	if got := (*usage)(nil).line(); got != "" {
		t.Error(got)
	}
}

func TestUsageTable(t *testing.T) {
	u := &usage{CoreSeconds: 31.04, Requests: 1234, Puts: 234, BytesRead: 51e9, BytesWritten: 1.3e9, Shuffled: 9.8e9}
	want := `
  used         31.0 core-seconds
  read                   51.0 GB
  written                 1.3 GB
  shuffled                9.8 GB
  asked for       1,234 requests
`[1:]
	if got := u.table(); got != want {
		t.Errorf("where nobody pays:\n%s", got)
	}
	u.Price, u.USD, u.PricesOf = &fleet.Price{Machines: 0.182, Requests: 0.00157, Moved: 0.131}, 0.31457, "2026-11-01"
	want = `
  used         31.0 core-seconds      $0.18
  read                   51.0 GB       free
  written                 1.3 GB       free
  shuffled                9.8 GB      $0.13
  asked for       1,234 requests    $0.0016
  about                               $0.31  by prices of 2026-11-01
`[1:]
	if got := u.table(); got != want {
		t.Errorf("on a cloud:\n%s", got)
	}
	if got := (*usage)(nil).table(); got != "" {
		t.Error(got)
	}
}
