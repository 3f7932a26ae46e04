package fleet_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
)

// TestChain runs two jobs of which one needs the other. Who runs the chain is killed in the middle of the first, and
// somebody else goes on with it.
func TestChain(t *testing.T) {
	tr := newTrial(t)
	gate := tr.turnstile(1)
	spec := fmt.Sprintf(`kind: task
name: make
output: s3://%[1]s/%[2]s/made
intermediate: true
task:
  tasks: 6
  command: |
    %[3]s
    echo word > $RUNNER_OUTPUT/words
resources: {executors: 2, memory: 256MiB}
---
kind: mapreduce
name: count
needs: make
input: s3://%[1]s/%[2]s/made
output: s3://%[1]s/%[2]s/out
mapreduce: {mapper: {builtin: wordcount}, reducer: {builtin: sum}, reducers: 1}
resources: {executors: 1, memory: 256MiB}
`, cluster.Bucket, tr.folder, gate.knock())
	if err := os.WriteFile(filepath.Join(tr.dir, "day.yaml"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	w := tr.start("run", "day.yaml")
	first := w.until(func(e event) bool { return e.Event == "stage" && e.Name == "task" && e.Done >= 1 }).Job
	if err := w.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = w.cmd.Wait() // killed, as it was meant
	chain := embedded.Short(first)[:4]
	var s embedded.ChainStatus
	status := func() {
		t.Helper()
		if err := json.Unmarshal([]byte(tr.run("status", chain, "--json")), &s); err != nil {
			t.Fatal(err)
		}
	}
	tr.must(tr.cluster.Eventually(t.Context(), func() error { // the dead's lease ends some time
		if status(); s.State != scheduler.JobRunning || s.Interrupted {
			return nil
		}
		return fmt.Errorf("it is still held by who was killed: %+v", s)
	}))
	if s.Jobs[0].Job != first || s.Jobs[1].State != embedded.Waiting {
		t.Errorf("%+v", s)
	}
	gate.open()
	tr.run("resume", chain)
	status()
	if s.State != scheduler.JobSucceeded || s.Jobs[0].Tries != 1 || s.Jobs[1].Tries != 1 {
		t.Errorf("%+v", s)
	}
	got, err := store.Get(t.Context(), tr.bucket, store.Name(tr.folder+"/out/part-r-00000"), 1<<10)
	if err != nil || string(got) != "word\t6\n" {
		t.Errorf("%q, %v", got, err)
	}
	for info, err := range tr.bucket.List(t.Context(), tr.folder+"/made/") {
		t.Errorf("the intermediate output is still there: %v, %v", info, err)
	}
	if list := tr.run("jobs"); !strings.Contains(list, "(2 jobs)") {
		t.Errorf("jobs lists no chain:\n%s", list)
	}
	for _, j := range s.Jobs {
		tr.nothingLeft(j.Job)
	}
}
