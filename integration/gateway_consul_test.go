package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/seed3322913c/runner/infra/coord/consul/consultest"
	"github.com/seed3322913c/runner/infra/enginetest"
)

// TestGatewaysAgreeThroughConsul kills the leader of two gateways; the other takes over when Consul has noticed.
func TestGatewaysAgreeThroughConsul(t *testing.T) {
	agent := consultest.Start(t)
	files := t.TempDir()
	type gateway struct {
		cmd   *exec.Cmd
		turns *json.Decoder
	}
	start := func() gateway {
		cmd := exec.Command(filepath.Join(os.Getenv(binEnv), "runner"), "gateway", "--json", "--store", "file://"+files,
			"--http", fmt.Sprintf("127.0.0.1:%d", enginetest.Free(t, 1)[0]), "--coord", "consul")
		cmd.Env = append(os.Environ(), "CONSUL_HTTP_ADDR="+agent.Address, "CONSUL_HTTP_TOKEN="+agent.Token)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill() // fails if it is dead already
			_ = cmd.Wait()         // killed, as it was meant
		})
		return gateway{cmd, json.NewDecoder(out)}
	}
	leads := func(g gateway) {
		t.Helper()
		for {
			var turn struct{ Leader bool }
			if err := g.turns.Decode(&turn); err != nil {
				t.Fatal(err)
			}
			if turn.Leader {
				return
			}
		}
	}
	first := start()
	leads(first)
	second := start()
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	leads(second)
}
