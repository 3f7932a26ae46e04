// Package cluster runs a whole fleet on one machine: several Consul and Nomad agents and an S3 server, each a real one,
// with ACLs, TLS and encrypted gossip. scripts/cluster is for people, tests use it as a library.
//
//	127.a.b.1   server s1   Consul server   Nomad server   S3
//	127.a.b.2   server s2   Consul server   Nomad server
//	127.a.b.3   server s3   Consul server   Nomad server          one of three may be lost
//	127.a.b.11  client c1   Consul client   Nomad client          runs containers
//	127.a.b.12  client c2   Consul client   Nomad client
//
// A pretended machine is an address of the loopback interface, so agents keep their usual ports, and several clusters
// can be up at once. That works on Linux alone, where all of 127/8 is loopback. Clients may also get a network each,
// from which they can be cut off: see wires.
//
// Everything lies in one folder, which Down removes:
//
//	cluster.json   names, addresses, processes, secrets     0600
//	s1/ c1/ ...    each machine's certificates, configurations, data; of a client also runner/, its local disk
//	s3/            the S3 server's objects
//	logs/          consul-s1.log nomad-c1.log s3.log
package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	consulapi "github.com/hashicorp/consul/api"
	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// Options say how large a cluster is, and from what it is made.
type Options struct {
	Name    string            // by which people know it; "local"
	Dir     string            // absolute; there must be nothing
	Servers int               // 1 or 3
	Clients int               // machines that run containers, up to 200
	Engines map[string]string // binaries by name: consul, nomad, versitygw
	Runner  string            // the program, copied to all machines
	Driver  nomad.Driver      // of containers; exec
	IP      string            // path of iproute2's program, to give each client a network that can be cut; "" for none
}

// Cluster is a cluster that runs.
type Cluster struct {
	Dir   string
	State State
}

// State is what cluster.json has.
type State struct {
	Machines  []nodeinit.Machine `json:"machines"`
	Processes map[string]int     `json:"processes"` // ids by name
	Engines   map[string]string  `json:"engines"`
	Program   string             `json:"program"`
	Token     string             `json:"token"` // may do everything, in Consul and in Nomad; jobs never see it
	S3        string             `json:"s3"`    // the S3 server's key
	Wires     wires              `json:"wires"`
	Fleet     fleet.Cluster      `json:"fleet"`
}

// Bucket is the one bucket that a new cluster has for people. Another one has what is known of jobs.
const (
	Bucket     = "runner"
	jobsBucket = "runner-jobs"
)

// Up starts a cluster and waits until all of it works. If it fails nothing is left.
func Up(ctx context.Context, o Options) (c *Cluster, err error) {
	if err := errors.Join(os.MkdirAll(filepath.Dir(o.Dir), 0o700), os.Mkdir(o.Dir, 0o700)); err != nil {
		return nil, err // it may be another cluster's
	}
	c = &Cluster{Dir: o.Dir, State: State{Processes: map[string]int{}, Engines: o.Engines}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("the cluster does not come up: %w", err), c.Down())
		}
	}()
	if err := errors.Join(c.prepare(o), favour()); err != nil {
		return c, err
	}
	for _, m := range c.State.Machines {
		if err := errors.Join(c.StartConsul(m.Name), c.StartNomad(m.Name)); err != nil {
			return c, err
		}
	}
	if err := c.StartS3(nodeinit.S3Port); err != nil {
		return c, err
	}
	if err := c.Await(ctx); err != nil {
		return c, err
	}
	return c, c.install(ctx)
}

// install starts a node of the program on every client, and the controls, and waits for them: who starts a job on a
// machine that is busy with starting would otherwise lose patience.
func (c *Cluster) install(ctx context.Context) error {
	f, err := fleet.Open(ctx, c.State.Fleet, func(context.Context, string) (store.Store, error) { return mem.New(), nil })
	if err != nil {
		return err
	}
	defer f.Close()
	leader, _, _, err := f.API()
	if err != nil {
		return err
	}
	if err := c.Eventually(ctx, func() error { return f.Install(ctx) }); err != nil {
		return err // a new leader has no keys for variables at first
	}
	return c.Eventually(ctx, func() error {
		for _, m := range c.State.Machines {
			if m.Role == nodeinit.Server {
				continue
			}
			conn, err := net.Dial("tcp", net.JoinHostPort(m.Address, fleet.NodePort))
			if err != nil {
				return err
			}
			if err := conn.Close(); err != nil {
				return err
			}
		}
		_, err := leader(ctx)
		return err
	})
}

// Open returns a cluster that another process has started.
func Open(dir string) (*Cluster, error) {
	data, err := os.ReadFile(filepath.Join(dir, "cluster.json"))
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir}
	return c, json.Unmarshal(data, &c.State)
}

func (c *Cluster) save() error {
	data, err := json.MarshalIndent(c.State, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.Dir, "cluster.json"), data, 0o600)
}

// Down ends every process of the cluster, those of its jobs included, and removes its folder.
func (c *Cluster) Down() error {
	return errors.Join(c.sweep(), c.host().Remove(), c.State.Wires.remove(c.State.Machines))
}

// LogFile is where a server's output goes.
func (c *Cluster) LogFile(name string) string { return filepath.Join(c.Dir, "logs", name+".log") }

// prepare chooses addresses and secrets, and writes all that the servers read.
func (c *Cluster) prepare(o Options) error {
	for _, dir := range []string{"logs", "s3/" + Bucket, "s3/" + jobsBucket, "bin"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, dir), 0o700); err != nil {
			return err
		}
	}
	c.State.Program = filepath.Join(c.Dir, "bin/runner")
	if err := copyProgram(o.Runner, c.State.Program); err != nil {
		return err
	}
	for name, path := range o.Engines {
		if err := os.Symlink(path, filepath.Join(c.Dir, "bin", name)); err != nil {
			return err
		}
	}
	if err := errors.Join(c.place(o), c.save()); err != nil { // so that Down knows what there may be from now on
		return err
	}
	if o.IP != "" {
		if err := c.State.Wires.lay(c.State.Machines); err != nil {
			return err
		}
	}
	secrets, err := nodeinit.NewSecrets()
	if err != nil {
		return err
	}
	c.State.Token, c.State.S3 = secrets[nodeinit.SecretToken], secrets[nodeinit.SecretS3]
	for _, m := range c.State.Machines {
		if err := c.configure(m, secrets); err != nil {
			return err
		}
	}
	c.State.Fleet = c.fleet(o.Name, secrets[nodeinit.SecretCA])
	c.State.Fleet.Driver = o.Driver
	return nil
}

// configure writes what a machine's agents read. All of them have the one token, since nobody makes others here.
func (c *Cluster) configure(m nodeinit.Machine, secrets map[string]string) error {
	s, err := nodeinit.SecretsFor(context.Background(), m.Role, func(_ context.Context, name string) (string, error) {
		return secrets[name], nil
	})
	if err != nil {
		return err
	}
	s.Agent = c.State.Token
	if err := os.MkdirAll(m.Dir, 0o700); err != nil {
		return err
	}
	return m.Configure(s, nodeinit.Agents{})
}

// fleet is how the program reaches the cluster.
func (c *Cluster) fleet(name, ca string) fleet.Cluster {
	return fleet.Cluster{
		Name: name, Store: "s3://" + jobsBucket, CA: ca,
		Consul: fleet.Service{Addresses: c.addresses(":" + nodeinit.ConsulPort), Token: c.State.Token},
		Nomad:  fleet.Service{Addresses: c.addresses(":" + nodeinit.NomadPort), Token: c.State.Token},
		Env:    nodeinit.StoreEnv(c.State.Machines[0].Address, c.State.S3),
	}
}

// addresses returns those of the servers, each with suffix.
func (c *Cluster) addresses(suffix string) []string {
	var all []string
	for _, m := range c.State.Machines {
		if m.Role == nodeinit.Server {
			all = append(all, m.Address+suffix)
		}
	}
	return all
}

// place gives every machine its address, in a network of 127/8 that nobody uses.
func (c *Cluster) place(o Options) error {
	var taken error
	for range 10 {
		n, err := rand.Int(rand.Reader, big.NewInt(250*250))
		if err != nil {
			return err
		}
		high, low := 1+n.Int64()/250, 1+n.Int64()%250
		network := fmt.Sprintf("127.%d.%d.", high, low)
		if taken = free(network + "1"); taken != nil {
			continue // another cluster's, or somebody has a port on all addresses
		}
		c.State.Wires = wires{IP: o.IP, Bridge: fmt.Sprintf("rw%dx%d", high, low)}
		for i := range o.Servers {
			c.add(nodeinit.Server, fmt.Sprintf("s%d", i+1), fmt.Sprint(network, i+1), o.Servers)
		}
		for i := range o.Clients {
			c.add(nodeinit.Worker, fmt.Sprintf("c%d", i+1), fmt.Sprint(network, i+11), o.Servers)
		}
		for i := range c.State.Machines {
			c.State.Machines[i].Servers = c.addresses("")
		}
		return nil
	}
	return fmt.Errorf("no free network in 127.0.0.0/8: %w", taken)
}

// free tries the ports that the servers will have at an address.
func free(address string) error {
	const consul, consulGossip, nomad, nomadGossip = "8300", "8301", "4647", "4648"
	for _, port := range []string{
		nodeinit.ConsulPort, consul, consulGossip, nodeinit.NomadPort, nomad, nomadGossip, nodeinit.S3Port,
		fleet.ControlPort,
	} {
		l, err := net.Listen("tcp", net.JoinHostPort(address, port))
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) add(role nodeinit.Role, name, address string, servers int) {
	c.State.Machines = append(c.State.Machines, nodeinit.Machine{
		Name: name, Role: role, Address: address, Expect: servers, Dir: filepath.Join(c.Dir, name),
		Bin: filepath.Join(c.Dir, "bin"), Data: filepath.Join(c.Dir, "s3"),
	})
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func (c *Cluster) machine(name string) (nodeinit.Machine, error) {
	for _, m := range c.State.Machines {
		if m.Name == name {
			return m, nil
		}
	}
	return nodeinit.Machine{}, fmt.Errorf("there is no machine %s", name)
}

// StartConsul starts a machine's Consul agent, also again.
func (c *Cluster) StartConsul(machine string) error {
	m, err := c.machine(machine)
	if err != nil {
		return err
	}
	return c.spawn("consul-"+machine, m, nil, m.ConsulCommand())
}

// StartNomad starts a machine's Nomad agent, also again.
func (c *Cluster) StartNomad(machine string) error {
	m, err := c.machine(machine)
	if err != nil {
		return err
	}
	return c.spawn("nomad-"+machine, m, nil, m.NomadCommand())
}

// StartS3 starts the S3 server at a port of the first machine, also again. Everybody looks for it at 7070.
func (c *Cluster) StartS3(port string) error {
	m := c.State.Machines[0]
	return c.spawn("s3", m, nodeinit.S3Env(c.State.S3), m.S3Command(port))
}

// Consul returns a client that may do everything.
func (c *Cluster) Consul() (*consulapi.Client, error) {
	f := c.State.Fleet
	client, err := f.Client(f.Consul)
	if err != nil {
		return nil, err
	}
	return consulapi.NewClient(&consulapi.Config{
		Address: f.Consul.Addresses[0], Scheme: "https", Token: f.Consul.Token, HttpClient: client,
	})
}

// Nomad returns a client that may do everything.
func (c *Cluster) Nomad() (*nomadapi.Client, error) {
	f := c.State.Fleet
	client, err := f.Client(f.Nomad)
	if err != nil {
		return nil, err
	}
	return nomadapi.NewClient(&nomadapi.Config{
		Address: "https://" + f.Nomad.Addresses[0], SecretID: f.Nomad.Token, HttpClient: client,
	})
}

// Await waits until there are leaders, the tokens are accepted, and all clients are ready.
func (c *Cluster) Await(ctx context.Context) error {
	consul, err := c.Consul()
	if err != nil {
		return err
	}
	nomad, err := c.Nomad()
	if err != nil {
		return err
	}
	return c.Eventually(ctx, func() error {
		if err := c.ended(); err != nil {
			return err
		}
		members, err := consul.Agent().Members(false)
		if err != nil {
			return err
		}
		if len(members) < len(c.State.Machines) {
			return fmt.Errorf("%d of %d Consul agents are there", len(members), len(c.State.Machines))
		}
		if _, _, err := consul.KV().Get("ready", &consulapi.QueryOptions{RequireConsistent: true}); err != nil {
			return err
		}
		_, _, err = nomad.ACLTokens().BootstrapOpts(c.State.Token, nil)
		if err != nil && !strings.Contains(err.Error(), "ACL bootstrap already done") {
			return err
		}
		return c.clientsReady(nomad)
	})
}

// Eventually tries until there is no error, ctx ends, a server has ended, or two minutes have passed.
func (c *Cluster) Eventually(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := try()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil || time.Now().After(deadline) || errors.As(err, new(endedError)):
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (c *Cluster) clientsReady(nomad *nomadapi.Client) error {
	nodes, _, err := nomad.Nodes().List(nil)
	if err != nil {
		return err
	}
	ready, want := 0, 0
	for _, n := range nodes {
		if n.Status == nomadapi.NodeStatusReady {
			ready++
		}
	}
	for _, m := range c.State.Machines {
		if m.Role == nodeinit.Worker {
			want++
		}
	}
	if ready != want {
		return fmt.Errorf("%d of %d Nomad clients are ready", ready, want)
	}
	return nil
}
