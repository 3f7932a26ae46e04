package fleet_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/scheduler"
)

// control returns a client of the cluster's control, after the program has made itself a token.
func (tr *trial) control() *client.Client {
	tr.t.Helper()
	tr.run("queues")
	saved, err := fleet.Load(site.home, tr.cluster.State.Fleet.Name)
	tr.must(err)
	f, err := fleet.Open(tr.t.Context(), saved, func(context.Context, string) (store.Store, error) { return mem.New(), nil })
	tr.must(err)
	tr.t.Cleanup(f.Close)
	c, err := f.Control()
	tr.must(err)
	return c
}

// divide changes the cluster's queues until the test ends.
func (tr *trial) divide(text string) {
	tr.t.Helper()
	file := filepath.Join(tr.dir, "queues.yaml")
	tr.must(os.WriteFile(file, []byte(text), 0o600))
	tr.run("queues", "--set", file)
	tr.t.Cleanup(func() {
		if tr.must(os.WriteFile(file, []byte("queues: [{name: default, share: 1}]"), 0o600)); !tr.t.Failed() {
			tr.run("queues", "--set", file)
		}
	})
}

// task leaves a job of one short task to the cluster.
func (tr *trial) task(name string, more ...string) scheduler.JobID {
	tr.t.Helper()
	out := "s3://" + cluster.Bucket + "/" + tr.folder + "/" + name
	args := append([]string{"run", "task", "--name", name, "--command", "echo one > $RUNNER_OUTPUT/x", "--tasks", "1",
		"--output", out, "--detach"}, more...)
	return scheduler.JobID(strings.TrimSpace(tr.run(args...)))
}

func (tr *trial) status(id scheduler.JobID) (s embedded.Status) {
	tr.t.Helper()
	tr.must(json.Unmarshal([]byte(tr.run("status", string(id), "--json")), &s))
	return s
}

// succeeded waits until a job is over, and checks that one application master was enough for it.
func (tr *trial) succeeded(id scheduler.JobID) {
	tr.t.Helper()
	tr.must(tr.cluster.Eventually(tr.t.Context(), func() error {
		if s := tr.status(id); s.State != scheduler.JobSucceeded || s.Masters != 1 {
			return fmt.Errorf("job %s is %s (%s), with %d application masters", id, s.State, s.Waits, s.Masters)
		}
		return nil
	}))
	tr.nothingLeft(id)
}

// TestControlKilled ends the control that leads while one job runs and others wait. Another control goes on: nothing is
// lost, nothing runs twice, and what is submitted again is the same job.
func TestControlKilled(t *testing.T) {
	tr := newTrial(t)
	c := tr.control()
	tr.divide("queues: [{name: default, share: 1, jobs: 1}]")
	w := tr.start("run", "crash.yaml")
	first := w.progressed(1).Job
	waiting := []scheduler.JobID{tr.task("second"), tr.task("third")}
	for _, id := range waiting {
		if s := tr.status(id); s.State != scheduler.JobQueued || s.Queue != "default" {
			t.Errorf("job %s is %s in queue %q", id, s.State, s.Queue)
		}
	}
	before, err := c.Cluster(t.Context())
	tr.must(err)
	if before.Running != 1 || before.Waiting != 2 {
		t.Errorf("%d jobs run and %d wait", before.Running, before.Waiting)
	}
	begun := time.Now()
	tr.killControl(before.Leader)
	tr.must(tr.cluster.Eventually(t.Context(), func() error {
		after, err := c.Cluster(t.Context())
		if err == nil && after.Epoch <= before.Epoch {
			err = fmt.Errorf("epoch %d still leads", after.Epoch)
		}
		return err
	}))
	t.Logf("another control led after %v", time.Since(begun))
	spec, err := c.Job(t.Context(), waiting[1])
	tr.must(err)
	if spec.State != scheduler.JobQueued && spec.State != scheduler.JobRunning && spec.State != scheduler.JobSucceeded {
		t.Errorf("the third job is %s", spec.State)
	}
	w.end()
	tr.check()
	for _, id := range append(waiting, first) {
		tr.succeeded(id)
	}
}

// killControl ends (SIGKILL) the control that is reached under a URL.
func (tr *trial) killControl(at string) {
	tr.t.Helper()
	u, err := url.Parse(at)
	tr.must(err)
	for _, m := range tr.cluster.State.Machines {
		for _, p := range tr.cluster.Program() {
			if m.Address == u.Hostname() && p.Machine == m.Name && p.Verb == "control" {
				tr.t.Logf("kill %+v", p)
				tr.must(syscall.Kill(p.PID, syscall.SIGKILL))
				return
			}
		}
	}
	tr.t.Fatalf("there is no control at %s", at)
}
