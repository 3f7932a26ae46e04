package fleet_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/schedules"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// fired waits until the first firing of a schedule fits, and returns it.
func (tr *trial) fired(name string, fits func(schedules.Firing) bool) (fired schedules.Firing) {
	tr.t.Helper()
	tr.must(tr.cluster.Eventually(tr.t.Context(), func() error {
		var v schedules.View
		if err := json.Unmarshal([]byte(tr.run("schedule", "show", name, "--json")), &v); err != nil {
			return err
		}
		if len(v.Firings) > 0 && fits(v.Firings[0]) {
			fired = v.Firings[0]
			return nil
		}
		return fmt.Errorf("the firings are %+v", v.Firings)
	}))
	return fired
}

func over(f schedules.Firing) bool { return f.State.Final() }

// TestSchedule adds a schedule to the cluster, of a binary of this machine, and wants it to run now: the control that
// leads fires it.
func TestSchedule(t *testing.T) {
	tr := newTrial(t)
	tr.run("schedule", "add", "yearly", "--cron", "@yearly", "--", "run", filepath.Join(site.bin, "paced"),
		"--function", "main", "--set", "pace=1ms", "--input", tr.uri("in"),
		"--output", tr.uri("out-{{.Schedule}}-{{.FireTime}}"))
	t.Cleanup(func() { tr.run("schedule", "rm", "yearly") })
	tr.run("schedule", "trigger", "yearly")
	fired := tr.fired("yearly", over)
	if fired.State != cron.Succeeded {
		t.Fatalf("the firing has %s: %s", fired.State, fired.Message)
	}
	tr.run("verify", tr.uri("out-yearly-"+fired.Slot.UTC().Format("20060102T150405Z")))
	tr.nothingLeft(scheduler.JobID(fired.ID))
}

// TestScheduledChain lets the control fire a file of two jobs, and ends the control while the first one runs: the next
// control goes on with the jobs that were begun, and begins none twice.
func TestScheduledChain(t *testing.T) {
	tr := newTrial(t)
	c := tr.control()
	spec := fmt.Sprintf(`kind: task
name: make
output: s3://%[1]s/%[2]s/made-{{.FireTime}}
intermediate: true
task: {command: 'sleep 0.5; echo word > $RUNNER_OUTPUT/words', tasks: 6}
resources: {executors: 2, memory: 256MiB}
---
kind: mapreduce
name: count
needs: make
input: s3://%[1]s/%[2]s/made-{{.FireTime}}
output: s3://%[1]s/%[2]s/out-{{.FireTime}}
mapreduce: {mapper: {builtin: wordcount}, reducer: {builtin: sum}, reducers: 1}
resources: {executors: 1, memory: 256MiB}
`, cluster.Bucket, tr.folder)
	tr.must(os.WriteFile(filepath.Join(tr.dir, "chain.yaml"), []byte(spec), 0o600))
	tr.run("schedule", "add", "chained", "--cron", "@yearly", "--", "run", "chain.yaml")
	t.Cleanup(func() { tr.run("schedule", "rm", "chained") })
	tr.run("schedule", "trigger", "chained")
	begun := tr.fired("chained", func(f schedules.Firing) bool { return len(f.Jobs) > 0 })
	before, err := c.Cluster(t.Context())
	tr.must(err)
	tr.end(tr.controlAt(before.Leader))
	tr.ledAfter(c, before.Epoch)
	fired := tr.fired("chained", over)
	if fired.State != cron.Succeeded || fired.ID != begun.ID || len(fired.Jobs) != 2 || fired.Jobs[0] != begun.Jobs[0] {
		t.Fatalf("the firing was %+v and is %+v", begun, fired)
	}
	var s embedded.ChainStatus
	tr.must(json.Unmarshal([]byte(tr.run("status", fired.ID, "--json")), &s))
	if s.State != scheduler.JobSucceeded || s.Jobs[0].Tries != 1 || s.Jobs[1].Tries != 1 || s.Jobs[1].Job != fired.Jobs[1] {
		t.Errorf("the chain is %+v", s)
	}
	out := store.Name(tr.folder + "/out-" + fired.Slot.UTC().Format("20060102T150405Z") + "/part-r-00000")
	if got, err := store.Get(t.Context(), tr.bucket, out, 1<<10); err != nil || string(got) != "word\t6\n" {
		t.Errorf("%q, %v", got, err)
	}
	for _, id := range fired.Jobs {
		tr.nothingLeft(id)
	}
}
