package integration

import (
	"testing"

	"github.com/seed3322913c/runner/infra/coord/consul/consultest"
)

// TestGatewaysAgreeThroughConsul kills the leader of two gateways; the other takes over when Consul has noticed.
func TestGatewaysAgreeThroughConsul(t *testing.T) {
	agent := consultest.Start(t)
	env := []string{"CONSUL_HTTP_ADDR=" + agent.Address, "CONSUL_HTTP_TOKEN=" + agent.Token}
	args := []string{"--store", "file://" + t.TempDir(), "--http", "127.0.0.1:0", "--coord", "consul"}
	first := startGateway(t, env, args...)
	first.leads(t)
	second := startGateway(t, env, args...)
	first.kill(t)
	second.leads(t)
}
