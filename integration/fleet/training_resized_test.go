package fleet_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/runner/embedded/embeddedtest"
	"github.com/seed3322913c/runner/scheduler"
)

// TestTrainingResized gives a running training more executors and takes them away, and kills one in between, with tasks
// of its own and with the maps of a MapReduce job: what comes out is the same to the bit. The program is a package that
// combines its results itself; it waits in the middle until an object appears, so that it can't be over too early.
func TestTrainingResized(t *testing.T) {
	tr := newTrial(t)
	tr.must(embeddedtest.Build(tr.dir, map[string]string{"gathered": "../testdata/gathered"}))
	tr.put("rows.csv", strings.Repeat("1\n", 100))
	spec := fmt.Sprintf(`kind: guagua
name: gather
input: %s
package: %s
guagua:
  master: {go: gathered}
  workers: 5
  iterations: 6
resources: {cpu: 3, executors: 2, memory: 256MiB}
retry: {job: 5}
`, tr.uri("rows.csv"), filepath.Join(tr.dir, "gathered"))
	if err := os.WriteFile(filepath.Join(tr.dir, "gather.yaml"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	tr.start("run", "gather.yaml", "--output", tr.uri("calm")).end()
	want := tr.read("calm/sums.json")
	adapters := []string{"mapreduce", "executors"}
	if testing.Short() {
		adapters = adapters[:1]
	}
	for _, adapter := range adapters {
		w := tr.start("run", "gather.yaml", "--output", tr.uri(adapter), "--set", "adapter="+adapter,
			"--set", "gate="+tr.uri("gate-"+adapter))
		tasks := placed{}
		w.follow(tasks, func() bool { return tasks.on("executor-0.")+tasks.on("executor-1.") == 6 })
		tr.run("resize", string(tasks.job()), "--executors", "3")
		w.follow(tasks, func() bool { return tasks.on("executor-2.") > 0 })
		tr.kill("executor")
		tr.run("resize", string(tasks.job()), "--executors", "2")
		w.follow(tasks, func() bool { return tasks.on("executor-0.")+tasks.on("executor-1.") == 6 })
		tr.put("gate-"+adapter, "open")
		w.end()
		if got := tr.read(adapter + "/sums.json"); got != want {
			t.Errorf("%s: the outcome is\n%s, undisturbed\n%s", adapter, got, want)
		}
		tr.run("verify", tr.uri(adapter))
		tr.nothingLeft(tasks.job())
	}
}

// placed is where the tasks of a job run, by their names.
type placed map[string]place

type place struct {
	Job      scheduler.JobID
	ID       string // of the attempt
	Executor string
	State    scheduler.AttemptState
}

// on counts the tasks that run on an executor, of whose name this is the beginning.
func (p placed) on(executor string) (n int) {
	for _, at := range p {
		if strings.HasPrefix(at.Executor, executor) && at.State == scheduler.AttemptRunning {
			n++
		}
	}
	return n
}

func (p placed) job() scheduler.JobID {
	for _, at := range p {
		return at.Job
	}
	return ""
}

// follow keeps p up to date until enough says so.
func (w *watched) follow(p placed, enough func() bool) {
	w.t.Helper()
	w.until(func(e event) bool {
		if e.Event != "attempt" {
			return false
		}
		var at place
		if err := json.Unmarshal(w.events.Bytes(), &at); err != nil {
			w.t.Fatalf("%q: %v", w.events.Bytes(), err)
		}
		task, _, _ := strings.Cut(at.ID, ".")
		if at.State == scheduler.AttemptRunning || p[task].ID == at.ID {
			p[task] = at
		}
		return enough()
	})
}
