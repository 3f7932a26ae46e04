package nodeinit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	consulapi "github.com/hashicorp/consul/api"
	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/infra/coord/consul"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
)

// patience bounds one look at an agent.
const patience = 5 * time.Second

// works returns nil if the machine's agents answer as members of a cluster, and, on a server, they have votes there and
// what must be done once per cluster has been done.
func (n *node) works(ctx context.Context) error {
	if n.Role == Store {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return get(ctx, http.DefaultClient, "http://"+net.JoinHostPort(n.Address, S3Port), "")
	}
	look, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := n.asFleet()
	toConsul, err := c.Client(c.Consul)
	if err != nil {
		return err
	}
	defer toConsul.CloseIdleConnections()
	toNomad, err := c.Client(c.Nomad)
	if err != nil {
		return err
	}
	defer toNomad.CloseIdleConnections()
	consul := "https://" + net.JoinHostPort(n.Address, ConsulPort)
	nomad := "https://" + net.JoinHostPort(n.Address, NomadPort)
	if err := get(look, toConsul, consul+"/v1/status/leader", ":"); err != nil {
		return err
	}
	kind := map[Role]string{Server: "server", Worker: "client"}[n.Role]
	if err := get(look, toNomad, nomad+"/v1/agent/health?type="+kind, `"ok":true`); err != nil || n.Role == Worker {
		return err
	}
	gateway := "http://" + net.JoinHostPort(n.Address, GatewayPort)
	if err := get(look, http.DefaultClient, gateway, ""); err != nil { // also one that stands by
		return err
	}
	if err := n.found(ctx, toConsul); err != nil {
		return err
	}
	const raft = "/v1/operator/raft/configuration"
	if err := n.votes(look, toConsul, consul+raft, "X-Consul-Token"); err != nil {
		return err
	}
	return n.votes(look, toNomad, nomad+raft, "X-Nomad-Token")
}

// votes fails unless this server has a vote among those of an agent's kind. One that is started in the place of another
// gets it only when it has been there for a while, and until then one more that is lost may be one too many.
func (n *node) votes(ctx context.Context, client *http.Client, url, header string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set(header, n.secrets.Token)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var raft struct {
		Servers []struct {
			Address string
			Voter   bool
		}
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&raft); err != nil {
		return err
	}
	for _, s := range raft.Servers {
		if host, _, err := net.SplitHostPort(s.Address); err == nil && host == n.Address && s.Voter {
			return nil
		}
	}
	return fmt.Errorf("%s: this server has no vote yet", url)
}

// get fails unless a service answers with a text that has want in it.
func get(ctx context.Context, client *http.Client, url, want string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), want) {
		return fmt.Errorf("%s answers %s: %.200s", url, resp.Status, text)
	}
	return nil
}

// asFleet is how this machine reaches the fleet: by its own agents.
func (n *node) asFleet() fleet.Cluster {
	return fleet.Cluster{
		Name: n.Cluster, Store: n.Jobs, CA: n.secrets.CA, Env: n.storeEnv(), Driver: n.Driver,
		Consul: fleet.Service{Addresses: []string{net.JoinHostPort(n.Address, ConsulPort)}, Token: n.secrets.Token},
		Nomad:  fleet.Service{Addresses: []string{net.JoinHostPort(n.Address, NomadPort)}, Token: n.secrets.Token},
	}
}

// storeEnv is what the tools of the cluster's store need.
func (n *node) storeEnv() map[string]string {
	if n.Store == "" {
		return n.Env
	}
	return StoreEnv(n.Store, n.secrets.S3)
}

// The lease and the value that say who installs, and that it was done.
const (
	installKey = "fleet/install"
	installTTL = 15 * time.Second
	prefix     = "runner/"
)

// found does what a cluster needs once. It may be called again and again, by all servers at once.
func (n *node) found(ctx context.Context, client *http.Client) error {
	c := n.asFleet()
	co, err := consul.Open(consul.Options{
		Address: "https://" + c.Consul.Addresses[0], Token: c.Consul.Token, Prefix: prefix,
		Client: client,
	})
	if err != nil {
		return err
	}
	defer co.Close()
	done, err := co.Get(ctx, installKey)
	if err != nil || done.Version != 0 {
		return err
	}
	lease, err := co.Acquire(ctx, installKey, installTTL)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		_ = lease.Release(ctx) // it would end by itself
	}()
	done, err = co.Get(ctx, installKey)
	if err != nil || done.Version != 0 {
		return err // another server has done it meanwhile
	}
	if err := errors.Join(n.allowAgents(ctx, client), n.allowNomad(ctx), n.install(ctx)); err != nil {
		return err
	}
	_, err = co.Swap(ctx, installKey, 0, []byte(n.Name))
	return err
}

// agentRules let a Consul agent say what it is, and see the others.
const agentRules = `node_prefix "" { policy = "write" }
service_prefix "" { policy = "read" }
agent_prefix "" { policy = "read" }
`

// allowAgents makes the token that the Consul agents of all workers have been told.
func (n *node) allowAgents(ctx context.Context, client *http.Client) error {
	const op = "nodeinit.allowAgents"
	c := n.asFleet()
	api, err := consulapi.NewClient(&consulapi.Config{
		Address: "https://" + c.Consul.Addresses[0], Token: c.Consul.Token, HttpClient: client,
	})
	if err != nil {
		return errs.E(op, errs.Internal, n.Cluster, err)
	}
	w := new(consulapi.WriteOptions).WithContext(ctx)
	policy := &consulapi.ACLPolicy{Name: "runner-agent", Rules: agentRules}
	if _, _, err := api.ACL().PolicyCreate(policy, w); err != nil && !strings.Contains(err.Error(), "already exists") {
		return errs.E(op, errs.Unavailable, n.Cluster, err)
	}
	_, _, err = api.ACL().TokenCreate(&consulapi.ACLToken{
		Description: "the agents of workers", SecretID: n.secrets.Agent,
		Policies: []*consulapi.ACLLink{{Name: policy.Name}},
	}, w)
	if err != nil && !strings.Contains(err.Error(), "already in use") {
		return errs.E(op, errs.Unavailable, n.Cluster, err)
	}
	return nil
}

// allowNomad makes the token that may do everything in Nomad. That it was made before is success.
func (n *node) allowNomad(ctx context.Context) error {
	const op = "nodeinit.allowNomad"
	c := n.asFleet()
	client, err := c.Client(c.Nomad)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	api, err := nomadapi.NewClient(&nomadapi.Config{Address: "https://" + c.Nomad.Addresses[0], HttpClient: client})
	if err != nil {
		return errs.E(op, errs.Internal, n.Cluster, err)
	}
	_, _, err = api.ACLTokens().BootstrapOpts(n.secrets.Token, new(nomadapi.WriteOptions).WithContext(ctx))
	if err != nil && !strings.Contains(err.Error(), "ACL bootstrap already done") {
		return errs.E(op, errs.Unavailable, n.Cluster, err)
	}
	return nil
}

// install starts a node of the program on every machine. Jobs are not its business, so it needs no store.
func (n *node) install(ctx context.Context) error {
	none := func(context.Context, string) (store.Store, error) { return mem.New(), nil }
	f, err := fleet.Open(ctx, n.asFleet(), none)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.InstallNodes(ctx)
}

// controlEnv is what the control of this machine must find in its environment, beside what the machine's own programs
// do.
func (n *node) controlEnv() []string {
	return append(n.asFleet().ControlEnv(n.Address, n.File(caFile)), embedded.HomeEnv+"="+n.File("runner"),
		fleet.PoolEnv+"="+n.Pool, fleet.DepotEnv+"="+n.Depot,
		GatewaysEnv+"="+Gateways(n.Cluster, n.Servers), GatewayTokenEnv+"="+n.secrets.Gateway)
}
