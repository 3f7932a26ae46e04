package fleet_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/seed3322913c/runner/scheduler/launch"
)

// TestMasterFenced stops an application master without ending it, until another one is at work. When it goes on it
// finds that its epoch is over, says so, and the job has the other one's result.
func TestMasterFenced(t *testing.T) {
	l := launcher(t, "")
	tr := newTrial(t)
	g := tr.turnstile(1)
	w, job := g.start("crash.yaml")
	first := tr.one("am")
	tr.must(syscall.Kill(first.PID, syscall.SIGSTOP))
	tr.must(l.Scale(t.Context(), launch.GroupID{Job: job, Role: "am"}, 2)) // Nomad sees nothing wrong with the first
	w.until(func(e event) bool { return e.Event == "state" && e.Masters == 2 })
	tr.must(syscall.Kill(first.PID, syscall.SIGCONT))
	tr.must(tr.cluster.Eventually(t.Context(), func() error {
		for line := range strings.Lines(tr.run("logs", string(job))) {
			if strings.HasPrefix(line, "am-0 ") && strings.Contains(line, "another process leads") {
				return nil
			}
		}
		return fmt.Errorf("no application master says that it was fenced:\n%s", tr.run("logs", string(job)))
	}))
	g.open()
	after := w.end()
	if after.Masters != 2 {
		t.Errorf("%d application masters have worked, not 2", after.Masters)
	}
	tr.check()
	tr.nothingLeft(job)
}
