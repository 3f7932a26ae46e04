package fleet_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// TestMasterFenced has two application masters commit one job. The first is stopped, without being ended, when its point
// of no return is on its way to the store, and another one comes as far as that; then the first one's arrives. It finds
// that its epoch is over, says so to whoever reads the job's logs, and the job has the other one's result.
func TestMasterFenced(t *testing.T) {
	l := launcher(t, "")
	commits := troubled(t).hold(`{"commit":{"time":`, 2)
	tr := newTrial(t)
	w := tr.start("run", "crash.yaml", "--set", "pace=1ms")
	job := w.until(func(e event) bool { return e.Job != "" }).Job
	tr.waits(commits[0])
	first := tr.one("am")
	tr.must(syscall.Kill(first.PID, syscall.SIGSTOP))
	tr.must(l.Scale(t.Context(), launch.GroupID{Job: job, Role: "am"}, 2)) // Nomad sees nothing wrong with the first
	tr.waits(commits[1])
	close(commits[0].open)
	tr.must(syscall.Kill(first.PID, syscall.SIGCONT))
	tr.says(job, "am-0 ", "fenced: another application master leads this job")
	close(commits[1].open)
	if after := w.end(); after.Masters < 2 { // more if the second one has waited for longer than a store may take
		t.Errorf("%d application masters have worked, not 2", after.Masters)
	}
	tr.check()
	tr.nothingLeft(job)
}

// waits returns when a request waits at a door.
func (tr *trial) waits(d door) {
	tr.t.Helper()
	select {
	case <-d.came:
	case <-time.After(2 * time.Minute):
		tr.t.Fatal("no application master commits")
	}
}

// says waits until a line of a job's logs, which begins so, has some words.
func (tr *trial) says(job scheduler.JobID, begin, words string) {
	tr.t.Helper()
	tr.must(tr.cluster.Eventually(tr.t.Context(), func() error {
		logs := tr.run("logs", string(job))
		for line := range strings.Lines(logs) {
			if strings.HasPrefix(line, begin) && strings.Contains(line, words) {
				return nil
			}
		}
		return fmt.Errorf("no line of %shas %q:\n%s", begin, words, logs)
	}))
}
