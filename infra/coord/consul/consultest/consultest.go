// Package consultest starts a real Consul server on loopback, for tests of whatever coordinates through Consul.
//
//	agent := consultest.Start(t)
//	c := agent.Open(t, "some/prefix/")
//
// It is one server with ACLs on, denying by default, which keeps its state in a temporary directory and so survives a
// restart.
package consultest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/seed3322913c/runner/infra/coord/consul"
	"github.com/seed3322913c/runner/infra/enginetest"
)

// MinTTL is the least session TTL that the agent allows.
const MinTTL = time.Second

// Agent is a running server.
type Agent struct {
	Address string // host:port of its HTTP API
	Token   string // may do everything
	process *enginetest.Process
	binary  string
	config  string // its file
}

// startTries is how often other ports are tried: another process may take one between its choice and its use.
const startTries = 3

// Start starts a server that ends with the test. What the configurations say is added to its own.
func Start(t testing.TB, configs ...map[string]any) *Agent {
	t.Helper()
	a := &Agent{Token: "11111111-2222-3333-4444-555555555555", binary: enginetest.Binary(t, "consul")}
	var err error
	for range startTries {
		dir := t.TempDir()
		a.config = filepath.Join(dir, "consul.json")
		if err := os.WriteFile(a.config, a.configure(t, dir, configs), 0o600); err != nil {
			t.Fatal(err)
		}
		if err = a.launch(t); err == nil {
			return a
		}
	}
	t.Fatal(err)
	return nil
}

// configure chooses ports, and returns what the agent reads.
func (a *Agent) configure(t testing.TB, dir string, configs []map[string]any) []byte {
	ports := enginetest.Free(t, 3)
	a.Address = fmt.Sprintf("127.0.0.1:%d", ports[0])
	type object = map[string]any
	config := object{
		"server": true, "bootstrap_expect": 1, "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
		"data_dir": filepath.Join(dir, "data"), "log_level": "warn",
		"disable_update_check": true, "session_ttl_min": MinTTL.String(),
		"connect": object{"enabled": false}, "performance": object{"raft_multiplier": 1},
		"ports": object{"http": ports[0], "server": ports[1], "serf_lan": ports[2], "serf_wan": -1, "dns": -1, "grpc": -1,
			"grpc_tls": -1},
		"acl": object{"enabled": true, "default_policy": "deny",
			"tokens": object{"initial_management": a.Token, "agent": a.Token}},
	}
	for _, more := range configs {
		maps.Copy(config, more)
	}
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// launch starts the agent and waits until it has a leader.
func (a *Agent) launch(t testing.TB) error {
	a.process = enginetest.Start(t, exec.Command(a.binary, "agent", "-config-file", a.config))
	client := a.Client(t)
	return a.process.Await(func() error {
		_, _, err := client.KV().Get("ready", &api.QueryOptions{RequireConsistent: true})
		return err
	})
}

// Restart ends the agent as a power cut would, and starts it again over what it has kept.
func (a *Agent) Restart(t testing.TB) {
	t.Helper()
	a.process.Kill()
	if err := a.launch(t); err != nil {
		t.Fatal(err)
	}
}

// Client returns a client that may do everything.
func (a *Agent) Client(t testing.TB) *api.Client {
	t.Helper()
	client, err := api.NewClient(&api.Config{Address: a.Address, Token: a.Token})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Open returns a coordinator over what lies below prefix.
func (a *Agent) Open(t testing.TB, prefix string) *consul.Coordinator {
	t.Helper()
	c, err := consul.Open(consul.Options{Address: a.Address, Token: a.Token, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
