package fleet_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/seed3322913c/runner/runner/schedules"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// TestSchedule adds a schedule to the cluster, of a binary of this machine, and wants it to run now: the control that
// leads fires it.
func TestSchedule(t *testing.T) {
	tr := newTrial(t)
	tr.run("schedule", "add", "hourly", "--cron", "@hourly", "--", "run", filepath.Join(site.bin, "paced"),
		"--function", "main", "--set", "pace=1ms", "--input", tr.uri("in"),
		"--output", tr.uri("out-{{.Schedule}}-{{.FireTime}}"))
	t.Cleanup(func() { tr.run("schedule", "rm", "hourly") })
	tr.run("schedule", "trigger", "hourly")
	var fired cron.Firing
	tr.must(tr.cluster.Eventually(t.Context(), func() error {
		var v schedules.View
		if err := json.Unmarshal([]byte(tr.run("schedule", "show", "hourly", "--json")), &v); err != nil {
			return err
		}
		for _, f := range v.Firings {
			if fired = f; f.State.Final() {
				return nil
			}
		}
		return fmt.Errorf("it has not run: %+v", v.Firings)
	}))
	if fired.State != cron.Succeeded {
		t.Fatalf("the firing has %s: %s", fired.State, fired.Message)
	}
	tr.run("verify", tr.uri("out-hourly-"+fired.Slot.UTC().Format("20060102T150405Z")))
	tr.nothingLeft(scheduler.JobID(fired.ID))
}
