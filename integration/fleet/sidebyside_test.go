package fleet_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
)

// TestSideBySide runs two jobs of one file that do not need each other, and each waits until the other has begun. A
// third, which needs both, reads what they have written.
func TestSideBySide(t *testing.T) {
	tr := newTrial(t)
	left, right := filepath.Join(tr.dir, "left"), filepath.Join(tr.dir, "right")
	meet := `touch %s; until test -e %s; do sleep 0.1; done; echo %s > $RUNNER_OUTPUT/words`
	task := `kind: task
name: %s
output: %s
intermediate: true
task: {command: '%s', tasks: 1}
resources: {executors: 1, memory: 256MiB}
---
`
	spec := fmt.Sprintf(task, "left", tr.uri("left"), fmt.Sprintf(meet, left, right, "pear")) +
		fmt.Sprintf(task, "right", tr.uri("right"), fmt.Sprintf(meet, right, left, "plum")) +
		fmt.Sprintf(`kind: mapreduce
name: both
needs: [left, right]
input: [%s, %s]
output: %s
mapreduce: {mapper: {builtin: wordcount}, reducer: {builtin: sum}, reducers: 1}
resources: {executors: 1, memory: 256MiB}
`, tr.uri("left"), tr.uri("right"), tr.uri("out"))
	if err := os.WriteFile(filepath.Join(tr.dir, "two.yaml"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	w := tr.start("run", "two.yaml")
	id := w.until(func(e event) bool { return e.Job != "" }).Job
	w.until(func(e event) bool { return e.Event == "chain" })
	if err := w.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, w.stderr.String())
	}
	if got := tr.read("out/part-r-00000"); got != "pear\t1\nplum\t1\n" {
		t.Errorf("got %q", got)
	}
	var s embedded.ChainStatus
	if err := json.Unmarshal([]byte(tr.run("status", embedded.Short(id)[:4], "--json")), &s); err != nil {
		t.Fatal(err)
	}
	if s.State != scheduler.JobSucceeded {
		t.Errorf("%+v", s)
	}
	for _, j := range s.Jobs {
		tr.nothingLeft(j.Job)
	}
}
