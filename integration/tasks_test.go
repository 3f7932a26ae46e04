package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/seedtest"
)

// manyTasks is how many tasks a trial of commands has.
const manyTasks = 40

// newTasks writes a job of commands, each of which takes its time, and tells of every time that it is run to its end.
func newTasks(t *testing.T) *trial {
	t.Helper()
	tr := emptyTrial(t, seedtest.New(t))
	spec := fmt.Sprintf(`kind: task
name: tasks
output: out
task:
  command: 'sleep 0.05; echo $RUNNER_TASK_INDEX squared > $RUNNER_OUTPUT/$((RUNNER_TASK_INDEX * RUNNER_TASK_INDEX)); echo $RUNNER_ATTEMPT >> %s'
  tasks: %d
resources: {executors: 2}
retry: {job: 5}
`, filepath.Join(tr.dir, "ran"), manyTasks)
	if err := os.WriteFile(filepath.Join(tr.dir, "tasks.yaml"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	return tr
}

// checkTasks compares the output with what it must be, file by file.
func (tr *trial) checkTasks() {
	tr.t.Helper()
	found, err := filepath.Glob(filepath.Join(tr.dir, "out", "task-*", "*"))
	if err != nil || len(found) != manyTasks {
		tr.t.Errorf("%d files, %v; want %d", len(found), err, manyTasks)
	}
	for i := range manyTasks {
		text, err := os.ReadFile(filepath.Join(tr.dir, "out", fmt.Sprintf("task-%d", i), fmt.Sprint(i*i)))
		if err != nil || string(text) != fmt.Sprintf("%d squared\n", i) {
			tr.t.Errorf("task %d: %q, %v", i, text, err)
		}
	}
	if out, err := tr.command("verify", "out").CombinedOutput(); err != nil {
		tr.t.Errorf("verify: %v\n%s", err, out)
	}
}

// TestTasksExecutorKilled: the attempts of an executor are lost, and no other task notices.
func TestTasksExecutorKilled(t *testing.T) {
	tr := newTasks(t)
	w := tr.start("run", "tasks.yaml")
	w.progressed("task", 1+tr.chance.IntN(manyTasks/2))
	tr.kill("executor")
	w.end()
	tr.checkTasks()
	ran, err := os.ReadFile(filepath.Join(tr.dir, "ran"))
	if err != nil {
		t.Fatal(err)
	}
	// Two executors of a core each: at most one attempt was running on the one that was killed.
	if n := strings.Count(string(ran), "\n"); n > manyTasks+1 {
		t.Errorf("%d attempts ran to their end, of %d tasks", n, manyTasks)
	}
}

// TestTasksMasterKilled: finished commands do not run again.
func TestTasksMasterKilled(t *testing.T) {
	tr := newTasks(t)
	w := tr.start("run", "tasks.yaml")
	e := w.progressed("task", 1+tr.chance.IntN(manyTasks/2))
	tr.kill("am")
	result := w.end()
	tr.checkTasks()
	keptFinished(t, result.Report, e, "task")
}

// TestTasksEverythingKilled: they do not when everything was killed, and somebody goes on with the job.
func TestTasksEverythingKilled(t *testing.T) {
	tr := newTasks(t)
	w := tr.start("run", "tasks.yaml")
	e := w.progressed("task", 1+tr.chance.IntN(manyTasks/2))
	tr.killEverything(w)
	result := tr.start("resume", string(e.Job)).end()
	tr.checkTasks()
	keptFinished(t, result.Report, e, "task")
}
