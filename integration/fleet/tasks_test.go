package fleet_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/scheduler"
)

// manyTasks is how many tasks a job of commands has.
const manyTasks = 12

// TestTasks runs a command many times, with a file of this machine, a secret and a program of its own. An executor is
// killed meanwhile.
func TestTasks(t *testing.T) {
	tr := newTrial(t)
	gate := tr.turnstile(1)
	t.Setenv("FLEET_PASSWORD", "s3cret")
	for name, text := range map[string]string{
		"greeting.txt": "hello ",
		"tasks.yaml": fmt.Sprintf(`kind: task
name: tasks
output: s3://%s/%s/out
files: [greeting.txt#greeting]
secrets: [FLEET_PASSWORD]
task:
  command: |
    %s
    echo about to write
    { cat greeting; echo $RUNNER_TASK_INDEX of $RUNNER_TASKS, $FLEET_PASSWORD; } > $RUNNER_OUTPUT/said
  tasks: %d
resources: {executors: 3, memory: 256MiB}
`, cluster.Bucket, tr.folder, gate.knock(), manyTasks),
	} {
		if err := os.WriteFile(filepath.Join(tr.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := tr.start("run", "tasks.yaml")
	w.until(func(e event) bool { return e.Event == "stage" && e.Name == "task" && e.Done >= 1 })
	gate.fills(w)
	tr.kill("executor")
	gate.open()
	e := w.end()
	for i := range manyTasks {
		name := store.Name(fmt.Sprintf("%s/out/task-%d/said", tr.folder, i))
		text, err := store.Get(t.Context(), tr.bucket, name, 1<<10)
		if err != nil || string(text) != fmt.Sprintf("hello %d of %d, s3cret\n", i, manyTasks) {
			t.Errorf("task %d: %q, %v", i, text, err)
		}
	}
	tr.run("verify", "s3://"+cluster.Bucket+"/"+tr.folder+"/out")
	if logs := tr.run("logs", string(e.Job), "--task", "t3"); !strings.Contains(logs, "about to write") {
		t.Errorf("logs %q", logs)
	}
	tr.noSecret(e.Job, "s3cret")
	tr.nothingLeft(e.Job)
}

// noSecret looks for a text in all that the fleet keeps of a job.
func (tr *trial) noSecret(id scheduler.JobID, secret string) {
	tr.t.Helper()
	for info, err := range tr.bucket.List(tr.t.Context(), "jobs/"+string(id)+"/") {
		if err != nil {
			tr.t.Fatal(err)
		}
		if data, err := store.Get(tr.t.Context(), tr.bucket, info.Name, 1<<20); err != nil ||
			strings.Contains(string(data), secret) {
			tr.t.Errorf("%s has the secret, or %v", info.Name, err)
		}
	}
}
