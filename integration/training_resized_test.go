package integration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/seedtest"
	"github.com/seed3322913c/runner/scheduler"
)

// TestTrainingResized adds executors to a running training and takes them away, while an executor and the application
// master are killed: its workers move, and the model and every loss are those of a run that nobody touches, to the bit.
func TestTrainingResized(t *testing.T) {
	tr := newTraining(t, seedtest.New(t))
	iterations := 3000
	if testing.Short() {
		iterations = 1000
	}
	args := func(output string, more ...string) []string {
		return append([]string{
			"run", "train.yaml", "--set", "workers=7", "--set", fmt.Sprint("iterations=", iterations), "--set", "trace=false",
			"--cpu", "8", "--executors", "1", "--output", output,
		}, more...)
	}
	tr.start(args("calm")...).end()
	model, losses := tr.trained("calm")
	for _, adapter := range []string{"executors", "mapreduce"} {
		t.Run(adapter, func(t *testing.T) {
			one := *tr
			one.t = t
			w := one.start(args(adapter, "--set", "adapter="+adapter)...)
			job := one.gather(w, 8).job
			if out, err := one.command("resize", string(job), "--executors", "0").CombinedOutput(); err == nil {
				t.Errorf("resized to nothing: %s", out)
			}
			one.resize(w, job, 3)
			one.kill("executor")
			one.resize(w, job, 2)
			one.kill("am")
			one.resize(w, job, 4)
			w.end()
			moved := 0
			for _, a := range w.last.Attempts {
				if a.State == scheduler.AttemptKilled {
					moved++
				}
			}
			t.Logf("%d attempts were moved", moved)
			gotModel, gotLosses := one.trained(adapter)
			if gotModel != model {
				t.Errorf("the model is\n%s, of an undisturbed run\n%s", gotModel, model)
			}
			if !slices.Equal(gotLosses, losses) {
				t.Error("the losses differ from those of an undisturbed run")
			}
		})
	}
}

// resize gives a job another number of executors, and waits until the last of them has something to do. It does nothing
// if the job is over by then.
func (tr *trial) resize(w *watched, job scheduler.JobID, executors int) {
	tr.t.Helper()
	out, err := tr.command("resize", string(job), "--executors", fmt.Sprint(executors)).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "over") && !strings.Contains(string(out), "ending") {
		tr.t.Fatalf("resize: %v\n%s", err, out)
	}
	name := fmt.Sprintf("executor-%d.", executors-1)
	for {
		e, ok := w.next()
		if !ok || e.Event == "result" {
			return
		}
		var a struct {
			Event, Executor string
			State           scheduler.AttemptState
		}
		if err := json.Unmarshal(w.events.Bytes(), &a); err != nil {
			tr.t.Fatal(err)
		}
		if a.Event == "attempt" && strings.HasPrefix(a.Executor, name) {
			return
		}
	}
}
