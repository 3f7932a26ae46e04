package fleet_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
)

// meeting is where n tasks find each other: who connects is told to go on when all have.
func meeting(tr *trial, n int) (host, port string) {
	tr.t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(tr.cluster.State.Machines[0].Address, "0"))
	tr.must(err)
	tr.t.Cleanup(func() { _ = l.Close() }) // nobody connects any more
	go func() {
		var here []net.Conn
		for len(here) < n {
			nc, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			here = append(here, nc)
		}
		for _, nc := range here {
			_, _ = io.WriteString(nc, "go\n") // who is gone is missed by the test
			_ = nc.Close()
		}
	}()
	host, port, err = net.SplitHostPort(l.Addr().String())
	tr.must(err)
	return host, port
}

// TestSideBySide runs two jobs of one file that do not need each other, and each waits until the other has begun. A
// third, which needs both, reads what they have written.
func TestSideBySide(t *testing.T) {
	tr := newTrial(t)
	host, port := meeting(tr, 2)
	meet := fmt.Sprintf(`bash -c "read go < /dev/tcp/%s/%s" && echo %%s > $RUNNER_OUTPUT/words`, host, port)
	task := `kind: task
name: %s
output: %s
intermediate: true
task: {command: '%s', tasks: 1}
resources: {executors: 1, memory: 256MiB}
---
`
	spec := fmt.Sprintf(task, "left", tr.uri("left"), fmt.Sprintf(meet, "pear")) +
		fmt.Sprintf(task, "right", tr.uri("right"), fmt.Sprintf(meet, "plum")) +
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
