package nodeinit

import (
	"maps"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
)

const (
	// GatewayPort is where servers serve WebHDFS, to who has the token: one of them leads, the others stand by.
	GatewayPort = "9870"
	// gatewayUser is who has the token, and may do everything.
	gatewayUser = "runner"
	tokensFile  = "gateway.tokens"
)

// What whoever asks gateways finds in its environment.
const (
	GatewaysEnv     = "RUNNER_GATEWAYS"
	GatewayTokenEnv = "RUNNER_GATEWAY_TOKEN"
)

// Gateways says where the gateways are of which the names hdfs://CLUSTER/... speak, for GatewaysEnv.
func Gateways(cluster string, servers []string) string {
	var all []string
	for _, s := range servers {
		all = append(all, net.JoinHostPort(s, GatewayPort))
	}
	return cluster + "=" + strings.Join(all, ",")
}

// addGateway makes the server one of the cluster's gateways.
func (n *node) addGateway() error {
	if err := os.WriteFile(n.File(tokensFile), []byte(n.secrets.Gateway+" "+gatewayUser+"\n"), 0o600); err != nil {
		return errs.E("nodeinit.addGateway", errs.Other, n.Dir, err)
	}
	vars := map[string]string{
		embedded.HomeEnv: n.File("gateway"), "CONSUL_HTTP_ADDR": "https://" + net.JoinHostPort(n.Address, ConsulPort),
		"CONSUL_CACERT": n.File(caFile), "CONSUL_TLS_SERVER_NAME": fleet.ServerName, "CONSUL_HTTP_TOKEN": n.secrets.Token,
	}
	maps.Copy(vars, n.storeEnv())
	var env []string
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	n.add("gateway", []string{
		n.Program("runner"), "gateway", "--json", "--store", n.Files, "--http", net.JoinHostPort(n.Address, GatewayPort),
		"--coord", "consul", "--auth", "token", "--tokens", n.File(tokensFile), "--superuser", gatewayUser,
	}, env, leaveTime)
	return nil
}
