package main

import (
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/scheduler"
)

// TestFleetOf asks for the names of fleets of jobs, whose ids know fewer rules.
func TestFleetOf(t *testing.T) {
	for id, want := range map[scheduler.JobID]string{
		"5f66-nightly":    "for-5f66-nightly",
		"a2b3-word.count": "for-a2b3-word-count",
		"a2b3-" + scheduler.JobID(strings.Repeat("x", 90)): "for-a2b3-" + strings.Repeat("x", 22),
		"a2b3-this-name-ends-here--------and":              "for-a2b3-this-name-ends-here",
	} {
		got := fleetOf(id)
		if got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
		if err := (fleet.Request{Name: got}).Validate(); err != nil && strings.Contains(err.Error(), "name") {
			t.Errorf("%s: %v", id, err)
		}
	}
}
