package main

import (
	"testing"
	"time"

	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/queue"
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

// A job pays for the part of the machines' cores that it has had, by what its fleet's controls were told: half an hour of
// both cores of one of two such machines that are ready, of which four cost 8 dollars an hour.
func TestUsageIsBilled(t *testing.T) {
	nodes := []client.Node{
		{State: client.Ready, Total: queue.Resources{Cores: 2}}, {State: client.Ready, Total: queue.Resources{Cores: 2}},
		{State: "down", Total: queue.Resources{Cores: 2}},
	}
	told := client.Fleet{Workers: 4, Hourly: 8, PricesOf: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	u := client.Usage{CoreSeconds: 3600}
	bill(&u, nodes, toldPrices(told))
	if u.USD != 1 || u.Price.Machines != 1 || u.PricesOf != "2026-11-01" {
		t.Errorf("it has cost %+v", u)
	}
	for name, c := range map[string]struct {
		nodes []client.Node
		told  client.Fleet
	}{
		"nobody pays": {nodes, client.Fleet{Workers: 4}}, "nobody has told": {nodes, client.Fleet{}},
		"no machine is ready": {nodes[2:], told},
	} {
		u := client.Usage{CoreSeconds: 3600}
		if bill(&u, c.nodes, toldPrices(c.told)); u.Price != nil || u.USD != 0 {
			t.Errorf("%s: it has cost %+v", name, u)
		}
	}
}

func TestUsageLine(t *testing.T) {
	u := &client.Usage{CoreSeconds: 31.04, Requests: 1234, BytesRead: 51e9, BytesWritten: 1.3e9}
	if got := usageLine(u); got != "Used: 31.0 core-seconds, 51.0 GB read and 1.3 GB written in 1,234 requests\n" {
		t.Error(got)
	}
	u.USD = 0.2134
	if got := usageLine(u); got != "Used: 31.0 core-seconds, 51.0 GB read and 1.3 GB written in 1,234 requests; about "+
		"$0.21\n" {
		t.Error(got)
	}
	for _, none := range []*client.Usage{nil, {}, {CoreSeconds: 0.04}} {
		if got := usageLine(none) + usageTable(none); got != "" {
			t.Errorf("of %+v it says %s", none, got)
		}
	}
}

func TestDollars(t *testing.T) {
	for usd, want := range map[float64]string{
		0: "free", 0.00157: "$0.0016", 0.314: "$0.31", 2.04: "$2", 13.6: "$14", 1234.4: "$1,234",
	} {
		if got := dollars(usd); got != want {
			t.Errorf("%v is written %s, want %s", usd, got, want)
		}
	}
}

func TestUsageTable(t *testing.T) {
	u := &client.Usage{CoreSeconds: 31.04, Requests: 1234, Puts: 234, BytesRead: 51e9, BytesWritten: 1.3e9, Shuffled: 9.8e9}
	want := `
  used         31.0 core-seconds
  read                   51.0 GB
  written                 1.3 GB
  shuffled                9.8 GB
  asked for       1,234 requests
`[1:]
	if got := usageTable(u); got != want {
		t.Errorf("where nobody pays:\n%s", got)
	}
	u.Price, u.USD, u.PricesOf = &client.Price{Machines: 0.182, Requests: 0.00157, Moved: 0.131}, 0.31457, "2026-11-01"
	want = `
  used         31.0 core-seconds      $0.18
  read                   51.0 GB       free
  written                 1.3 GB       free
  shuffled                9.8 GB      $0.13
  asked for       1,234 requests    $0.0016
  about                               $0.31  by prices of 2026-11-01
`[1:]
	if got := usageTable(u); got != want {
		t.Errorf("on a cloud:\n%s", got)
	}
}
