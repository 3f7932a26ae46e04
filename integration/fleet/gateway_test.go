package fleet_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/enginetest"
)

// gateway is a process of the program.
type gateway struct {
	*exec.Cmd
	t     *testing.T
	turns *json.Decoder
}

// gateway starts one of a build of the program, which ends with the test.
func (tr *trial) gateway(program string, args ...string) gateway {
	tr.t.Helper()
	cmd := tr.command(append([]string{"gateway", "--json"}, args...)...)
	cmd.Path = program
	turns, err := cmd.StdoutPipe()
	tr.must(err)
	tr.must(cmd.Start())
	g := gateway{cmd, tr.t, json.NewDecoder(turns)}
	tr.t.Cleanup(g.end)
	return g
}

// end kills it, if it is not dead yet.
func (g gateway) end() {
	_ = g.Process.Kill() // fails if it is dead already
	_ = g.Wait()         // killed, as it was meant
}

// leads waits until it serves.
func (g gateway) leads() {
	g.t.Helper()
	for {
		var turn struct{ Leader bool }
		if err := g.turns.Decode(&turn); err != nil {
			g.t.Fatal(err)
		}
		if turn.Leader {
			return
		}
	}
}

// addresses returns free ones of this machine that all machines reach; another machine's 127.0.0.1 is not this one.
func (tr *trial) addresses(n int) (all []string) {
	for _, port := range enginetest.Free(tr.t, n) {
		all = append(all, fmt.Sprintf("%s:%d", tr.cluster.State.Machines[0].Address, port))
	}
	return all
}

// TestGatewayJob reads from a gateway and writes there, on machines that know of it from who submits the job.
func TestGatewayJob(t *testing.T) {
	tr := newTrial(t)
	address := tr.addresses(1)[0]
	tr.gateway(filepath.Join(site.bin, "runner"), "--store", "file://"+t.TempDir(), "--http", address).leads()
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
