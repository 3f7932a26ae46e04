package main

import (
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/fleet"
)

// TestSleepingFleet: a fleet whose time is over sleeps if a schedule wakes it, and only then.
func TestSleepingFleet(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	rec := fleet.Record{Phase: fleet.Deployed, ExpiresAt: now.Add(-time.Hour)}
	if line := lineOf(rec, now); !line.Over || !strings.HasPrefix(line.when(now), "its time was over") {
		t.Errorf("it is %+v: %s", line, line.when(now))
	}
	rec.Request.Wakes = []fleet.Wake{
		{Name: "weekly", Cron: "0 3 * * 1", Zone: "UTC"}, {Name: "nightly", Cron: "0 2 * * *", Zone: "Europe/Paris"},
	}
	line := lineOf(rec, now)
	if got, want := line.when(now), "sleeps, until schedule nightly wakes it at Mon 02:00 CET"; line.Over || got != want {
		t.Errorf("it is %q, want %q", got, want)
	}
	rec.ExpiresAt = now.Add(time.Hour)
	if line := lineOf(rec, now); line.Over || line.Wakes != nil || !strings.HasPrefix(line.when(now), "until ") {
		t.Errorf("while it runs it is %q", line.when(now))
	}
}
