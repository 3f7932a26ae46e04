package fleet_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/enginetest"
)

// TestGatewayJob reads from a gateway and writes there, on machines that know of it from who submits the job.
func TestGatewayJob(t *testing.T) {
	tr := newTrial(t)
	// Another machine's 127.0.0.1 is not this one.
	address := fmt.Sprintf("%s:%d", tr.cluster.State.Machines[0].Address, enginetest.Free(t, 1)[0])
	gateway := tr.command("gateway", "--json", "--store", "file://"+t.TempDir(), "--http", address)
	turns, err := gateway.StdoutPipe()
	tr.must(err)
	tr.must(gateway.Start())
	t.Cleanup(func() {
		_ = gateway.Process.Kill() // fails if it has ended
		_ = gateway.Wait()         // killed, as it was meant
	})
	for said := json.NewDecoder(turns); ; {
		var turn struct{ Leader bool }
		tr.must(said.Decode(&turn))
		if turn.Leader {
			break
		}
	}
	do := func(input string, args ...string) string {
		t.Helper()
		cmd := tr.command(args...)
		cmd.Env = append(cmd.Env, "RUNNER_GATEWAYS=demo="+address)
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%q: %v\n%s", args, err, exit.Stderr)
		}
		tr.must(err)
		return string(out)
	}
	do("x y x\n", "fs", "put", "-", "webhdfs://demo/in.txt")
	do("", "run", "wordcount", "--input", "webhdfs://demo/in.txt", "--output", "webhdfs://demo/out")
	if got := do("", "fs", "cat", "webhdfs://demo/out/part-r-00000"); got != "x\t2\ny\t1\n" {
		t.Errorf("%q", got)
	}
}
