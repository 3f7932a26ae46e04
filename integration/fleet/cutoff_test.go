package fleet_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/scheduler"
)

// cutOff runs a job that may have one application master, and kills that.
func (tr *trial) cutOff() (*turnstile, scheduler.JobID) {
	tr.t.Helper()
	spec, err := os.ReadFile(filepath.Join(tr.dir, "crash.yaml"))
	tr.must(err)
	tr.write("once.yaml", strings.Replace(string(spec), "{job: 5}", "{job: 1}", 1))
	gate := tr.turnstile(2)
	w, id := gate.start("once.yaml")
	tr.kill("am")
	for w.events.Scan() { // whoever watches is told
	}
	if err := w.cmd.Wait(); err == nil || !strings.Contains(w.stderr.String(), "has no application master any more") {
		tr.t.Errorf("the run ended with %v\n%s", err, w.stderr.String())
	}
	return gate, id
}

// TestCutOff lets a job that was cut off go on. It is in its queue then like any other, as long as it works, and what
// was finished is kept.
func TestCutOff(t *testing.T) {
	tr := newTrial(t)
	gate, id := tr.cutOff()
	w := tr.start("resume", string(id))
	w.progressed(1)
	list, err := tr.control().Queues(t.Context())
	tr.must(err)
	if len(list.Jobs) != 1 || list.Jobs[0].Job != id || !list.Jobs[0].Running {
		t.Errorf("the queues have %+v", list.Jobs)
	}
	gate.open()
	for _, s := range w.end().Stages {
		if s.Name == "map" && s.Lost > 0 {
			t.Errorf("%d maps were lost with the application master", s.Lost)
		}
	}
	tr.check()
	tr.nothingLeft(id)
}

// TestCutOffKilled ends a job that was cut off, whose executors still wait for another application master.
func TestCutOffKilled(t *testing.T) {
	tr := newTrial(t)
	_, id := tr.cutOff()
	if out := tr.run("kill", string(id)); !strings.Contains(out, "KILLED") {
		t.Errorf("kill says %q", out)
	}
	tr.nothingLeft(id)
}
