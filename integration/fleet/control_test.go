package fleet_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/roster"
)

// control returns a client of the cluster's control, after the program has made itself a token.
func (tr *trial) control() *client.Client {
	tr.t.Helper()
	tr.run("queues")
	saved, err := fleet.Load(site.home, tr.cluster.State.Fleet.Name)
	tr.must(err)
	f, err := fleet.Open(tr.t.Context(), saved,
		func(context.Context, string) (store.Store, error) { return mem.New(), nil })
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

// succeeded waits until a job is over, and checks that one application master was enough for it, and that nothing of it
// is left if no other job runs.
func (tr *trial) succeeded(id scheduler.JobID, others ...scheduler.JobID) {
	tr.t.Helper()
	tr.must(tr.cluster.Eventually(tr.t.Context(), func() error {
		if s := tr.status(id); s.State != scheduler.JobSucceeded || s.Masters != 1 {
			return fmt.Errorf("job %s is %s (%s), with %d application masters", id, s.State, s.Waits, s.Masters)
		}
		return nil
	}))
	if len(others) == 0 {
		tr.nothingLeft(id)
	}
}

// TestControlKilled ends the control that leads while one job runs and others wait. Another control goes on: nothing is
// lost, nothing runs twice, and what is submitted again is the same job.
func TestControlKilled(t *testing.T) {
	tr := newTrial(t)
	c := tr.control()
	tr.divide("queues: [{name: default, share: 1, jobs: 1}]")
	gate := tr.turnstile(2)
	w, first := gate.start("crash.yaml")
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
	tr.end(tr.controlAt(before.Leader))
	tr.ledAfter(c, before.Epoch)
	spec, err := c.Job(t.Context(), waiting[1])
	tr.must(err)
	if spec.State != scheduler.JobQueued && spec.State != scheduler.JobRunning && spec.State != scheduler.JobSucceeded {
		t.Errorf("the third job is %s", spec.State)
	}
	gate.open()
	w.end()
	tr.check()
	for _, id := range append(waiting, first) {
		tr.succeeded(id)
	}
}

// TestPreempted lets a job have all machines until another queue wants its half: it gives executors back, none of its
// attempts fails, and the other queue's job runs beside it.
func TestPreempted(t *testing.T) {
	tr := newTrial(t)
	c := tr.control()
	tr.divide("preemptAfter: 500ms\nqueues: [{name: nights, share: 0.5}, {name: default, share: 0.5}]")
	w := tr.start("run", "crash.yaml", "--queue", "nights", "--cpu", "5", "--set", "gate="+tr.turnstile(1).url)
	greedy := w.until(func(e event) bool { return e.Event == "stage" && e.Name == "map" }).Job
	if greedy == "" {
		greedy = tr.only("nights", c)
	}
	modest := tr.task("modest", "--executors", "2", "--tasks", "2", "--cpu", "5")
	tr.must(tr.cluster.Eventually(t.Context(), func() error {
		list, err := c.Queues(t.Context())
		for _, j := range list.Jobs {
			if j.Job == greedy && j.Preempted > 0 {
				return err
			}
		}
		return fmt.Errorf("nobody gave way: %+v, %w", list.Jobs, err)
	}))
	tr.succeeded(modest, greedy)
	s := tr.status(greedy)
	for _, a := range s.Attempts {
		if a.State == scheduler.AttemptFailed {
			t.Errorf("attempt %s failed: %s", a.ID, a.Error)
		}
	}
	tr.run("kill", string(greedy))
	tr.nothingLeft(greedy)
}

// only returns the one job of a queue.
func (tr *trial) only(queue string, c *client.Client) scheduler.JobID {
	tr.t.Helper()
	list, err := c.Queues(tr.t.Context())
	tr.must(err)
	for _, j := range list.Jobs {
		if j.Queue == queue {
			return j.Job
		}
	}
	tr.t.Fatalf("no job is in queue %s: %+v", queue, list.Jobs)
	return ""
}

// TestSubmittedByProgram submits a specification as programs do, twice with one key: there is one job, and it runs.
func TestSubmittedByProgram(t *testing.T) {
	tr := newTrial(t)
	c := tr.control()
	spec := fmt.Sprintf(`{"kind": "mapreduce", "name": "counted", "input": "s3://%[1]s/%[2]s/in", "output": "s3://%[1]s/%[2]s/out",
		"mapreduce": {"mapper": {"builtin": "wordcount"}, "combiner": {"builtin": "sum"}, "reducer": {"builtin": "sum"}, "reducers": %[3]d}}`,
		cluster.Bucket, tr.folder, reducers)
	sub := client.Submission{Key: tr.folder, Spec: json.RawMessage(spec)}
	id, err := c.Submit(t.Context(), sub)
	tr.must(err)
	again, err := c.Submit(t.Context(), sub)
	tr.must(err)
	if again != id {
		t.Errorf("the same key gave %s and %s", id, again)
	}
	tr.succeeded(id)
	tr.check()
	if again, err = c.Submit(t.Context(), sub); err != nil || again != id { // though its output is there now
		t.Errorf("said again when it is over it is %s, %v", again, err)
	}
	sub = client.Submission{Spec: json.RawMessage(`{"kind": "mapreduce", "input": "/etc/passwd", "output": "/tmp/x"}`)}
	if _, err := c.Submit(t.Context(), sub); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a file of one machine: %v", err)
	}
}

// controlAt returns the control that is reached under a URL.
func (tr *trial) controlAt(at string) cluster.Process {
	tr.t.Helper()
	u, err := url.Parse(at)
	tr.must(err)
	for _, m := range tr.cluster.State.Machines {
		for _, p := range tr.all("control") {
			if m.Address == u.Hostname() && p.Machine == m.Name {
				return p
			}
		}
	}
	tr.t.Fatalf("there is no control at %s", at)
	return cluster.Process{}
}

// ledAfter waits until a control leads that was elected after an epoch.
func (tr *trial) ledAfter(c *client.Client, epoch uint64) {
	tr.t.Helper()
	begun := time.Now()
	tr.must(tr.cluster.Eventually(tr.t.Context(), func() error {
		soon, cancel := context.WithTimeout(tr.t.Context(), 2*time.Second) // who hangs does not answer
		defer cancel()
		after, err := c.Cluster(soon)
		if err == nil && after.Epoch <= epoch {
			err = fmt.Errorf("epoch %d still leads", after.Epoch)
		}
		return err
	}))
	tr.t.Logf("another control led after %v", time.Since(begun))
}

// TestControlLeaderKilled ends the control that leads in the middle of jobs, which do not need it.
func TestControlLeaderKilled(t *testing.T) {
	survive(t, func(tr *trial) {
		c := tr.control()
		before, err := c.Cluster(t.Context())
		tr.must(err)
		tr.end(tr.controlAt(before.Leader))
		tr.ledAfter(c, before.Epoch)
	}, nothing)
}

// TestControlHangs stops the control that leads, and lets it go on when another one does, with a request before it that
// it believes to be for the leader: its journal tells it that it is not, and nothing is decided twice.
func TestControlHangs(t *testing.T) {
	survive(t, func(tr *trial) {
		c := tr.control()
		before, err := c.Cluster(t.Context())
		tr.must(err)
		hung := tr.controlAt(before.Leader)
		tr.must(syscall.Kill(hung.PID, syscall.SIGSTOP))
		woken := func() error { return syscall.Kill(hung.PID, syscall.SIGCONT) }
		t.Cleanup(func() { _ = woken() }) // if the test fails before it is
		out := tr.uri("late")
		late := client.Submission{Key: tr.folder, Spec: json.RawMessage(`{"kind": "task", "name": "late", "output": "` + out +
			`", "task": {"tasks": 1, "command": "echo one > $RUNNER_OUTPUT/x"}}`)}
		asked := make(chan error, 1)
		conn := tr.dial(before.Leader)
		go func() {
			_, err := conn.Submit(t.Context(), late)
			asked <- err
		}()
		tr.ledAfter(c, before.Epoch)
		now, err := c.Cluster(t.Context())
		tr.must(err)
		tr.must(woken())
		// It may say that it leads no more, or hand the request on: that is the leader's answer.
		t.Logf("who has slept answers: %v", <-asked)
		id, err := c.Submit(t.Context(), late)
		tr.must(err)
		tr.succeeded(id, "others run, too")
		after, err := c.Cluster(t.Context())
		tr.must(err)
		if after.Epoch != now.Epoch || after.Leader == before.Leader {
			t.Errorf("%s led at epoch %d before the other woke, now %s at %d", now.Leader, now.Epoch, after.Leader, after.Epoch)
		}
	}, nothing)
}

// TestControlFenced has somebody else lead the queues' journal while the control that leads holds its lease and suspects
// nothing, as if it had slept: what it decides next collides in the store, so it leads no more before it leads again.
func TestControlFenced(t *testing.T) {
	tr := newTrial(t)
	c := tr.control()
	before, err := c.Cluster(t.Context())
	tr.must(err)
	place, ok := strings.CutPrefix(tr.cluster.State.Fleet.Store, "s3://")
	if !ok {
		t.Fatal(tr.cluster.State.Fleet.Store)
	}
	other, err := journal.Lead(t.Context(), tr.open(place), "control/queues", roster.New(), journal.Options{Writer: "other"})
	tr.must(err)
	defer other.Close() // returns nil always
	late := client.Submission{Key: tr.folder, Spec: json.RawMessage(`{"kind": "task", "name": "late", "output": "` +
		tr.uri("late") + `", "task": {"tasks": 1, "command": "echo one > $RUNNER_OUTPUT/x"}}`)}
	_, err = tr.dial(before.Leader).Submit(t.Context(), late)
	t.Logf("who was fenced answers: %v", err) // its successor's answer, if that was quick
	tr.ledAfter(c, other.Epoch())
	if err := other.Append(t.Context()); errs.KindOf(err) != errs.Fenced || other.Epoch() <= before.Epoch {
		t.Errorf("epoch %d after %d goes on: %v", other.Epoch(), before.Epoch, err)
	}
	id, err := c.Submit(t.Context(), late)
	tr.must(err)
	tr.succeeded(id)
}

// dial returns a client of one control alone, whether it leads or not.
func (tr *trial) dial(url string) *client.Client {
	tr.t.Helper()
	f, err := fleet.Load(site.home, tr.cluster.State.Fleet.Name)
	tr.must(err)
	anywhere, err := f.Anywhere()
	tr.must(err)
	return client.New(client.Options{URL: url, Token: f.Control.Token, HTTP: &http.Client{Transport: anywhere}})
}
