package fleet

import (
	"cmp"
	"context"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/consul"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// NodePort is where `runner node` listens on every machine.
const NodePort = "7337"

// What every machine says of itself to Nomad (meta of its client), and so to the containers that Nomad starts there.
const (
	program = "${meta.runner}"      // path of this program
	dir     = "${meta.runner_dir}"  // folder on its local disk
	address = "${meta.runner_addr}" // by which the others reach it
	caFile  = "${meta.runner_ca}"   // who vouches for the agents

	node = address + ":" + NodePort
)

// The environment variables of containers, beside those of Consul's, Nomad's and the store's own tools.
const (
	storeEnv   = "RUNNER_STORE"
	addressEnv = "RUNNER_ADDRESS"
	machineEnv = "RUNNER_MACHINE" // Nomad's id of it
	driverEnv  = "RUNNER_DRIVER"  // of application masters: that of their executors
)

// Folders are those of a machine's folder for jobs that containers write to.
func Folders() []string {
	return []string{"blocks", "functions", "logs", "node", "packages", "scratch"}
}

// systemLogs are the logs of the containers that belong to the fleet itself.
const systemLogs = dir + "/logs/fleet-system"

// environment is what the containers of a job find, wherever they run: their machine's own agents.
func environment(uri string) map[string]string {
	return map[string]string{
		storeEnv: uri, addressEnv: address, machineEnv: "${node.unique.id}", embedded.HomeEnv: dir,
		"CONSUL_HTTP_ADDR": "https://" + address + ":8501", "CONSUL_CACERT": caFile, "CONSUL_TLS_SERVER_NAME": ServerName,
		"NOMAD_ADDR": "https://" + address + ":4646", "NOMAD_CACERT": caFile, "NOMAD_TLS_SERVER_NAME": ServerName,
	}
}

// The secrets that a role takes out of its environment, so that no child of it has them.
const (
	consulToken = "CONSUL_HTTP_TOKEN"
	nomadToken  = "NOMAD_TOKEN"
)

// LeaseTTL is how long after the loss of its machine an application master's lease may be taken over. It is longer than
// Consul takes to elect a leader; one that is started again on its machine needs not wait.
const LeaseTTL = 12 * time.Second

// OpenStore gives a URI its meaning.
type OpenStore func(ctx context.Context, uri string) (store.Store, error)

// Member is what a role finds on a machine of a fleet.
type Member struct {
	Store    store.Store
	Coord    *consul.Coordinator
	Launcher *nomad.Launcher // its token is for application masters; others can do nothing with it
	Address  string          // of this machine
	consul   string          // the token, for executors
}

// Inside reports whether this process was started by a fleet.
func Inside() bool { return os.Getenv(storeEnv) != "" }

// Join reads what the fleet has handed over to a role. Without open it has no store.
func Join(ctx context.Context, open OpenStore) (*Member, error) {
	const op = "fleet.Join"
	m := &Member{Address: os.Getenv(addressEnv), consul: os.Getenv(consulToken)}
	var err error
	if open != nil {
		if m.Store, err = open(ctx, os.Getenv(storeEnv)); err != nil {
			return nil, errs.E(op, errs.Other, nil, err)
		}
	}
	if m.Coord, err = consul.Open(consul.Options{
		Prefix: keyPrefix, Self: os.Getenv("NOMAD_ALLOC_ID"),
	}); err != nil {
		return nil, errs.E(op, errs.Other, nil, err)
	}
	driver := nomad.Driver(os.Getenv(driverEnv))
	if m.Launcher, err = nomad.Open(nomad.Options{
		Driver: driver, Folder: dir, Program: program, CA: caFile, Namespace: namespace,
	}); err != nil {
		return nil, errs.E(op, errs.Other, nil, err)
	}
	for _, name := range []string{consulToken, nomadToken} {
		if err := os.Unsetenv(name); err != nil {
			return nil, errs.E(op, errs.Internal, name, err)
		}
	}
	return m, nil
}

// Listen is an address of this machine, with any free port.
func (m *Member) Listen() string { return net.JoinHostPort(m.Address, "0") }

// containers is what all containers of a job have in common.
func containers(uri string, id scheduler.JobID, s embedded.Session, verb string) launch.Group {
	g := launch.Group{
		ID: launch.GroupID{Job: id, Role: verb}, Command: []string{program, verb, string(id)},
		Env: s.Env(), Secrets: s.Secrets(), LogDir: dir + "/logs/" + string(id),
	}
	for k, v := range environment(uri) {
		g.Env[k] = v
	}
	return g
}

// ownCores reports whether executors on a machine get cores of their own. Machines that share a host by its loopback
// addresses would give the same ones away, and take them from each other: their agents share one tree of cgroups.
func ownCores(driver nomad.Driver, address string) bool {
	ip, err := netip.ParseAddr(address)
	return driver != nomad.RawExec && !(err == nil && ip.IsLoopback())
}

// Executors says how an application master's executors are started. They get the secrets that it has itself, but for
// the token that starts containers.
func (m *Member) Executors(job scheduler.Job, s embedded.Session) launch.Group {
	s.Node = node // each on its own machine
	g := containers(os.Getenv(storeEnv), job.ID, s, executorRole)
	g.Exclusive = ownCores(nomad.Driver(os.Getenv(driverEnv)), m.Address)
	g.Secrets[consulToken] = m.consul
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "AWS_") || slices.Contains(job.Secrets, name) {
			g.Secrets[name] = value
		}
	}
	maps.Copy(g.Secrets, gateways())
	return g
}

// ways is what this process knows of how gateways are reached.
func ways() map[string]string {
	vars := map[string]string{}
	for _, name := range []string{"RUNNER_GATEWAYS", "RUNNER_GATEWAY_TOKEN"} {
		if value := os.Getenv(name); value != "" {
			vars[name] = value
		}
	}
	return vars
}

// gateways is ways, and as whom.
func gateways() map[string]string {
	vars := ways()
	// On the machines there is another user; who submits a job reads and writes as himself.
	name := os.Getenv("HADOOP_USER_NAME")
	if me, err := user.Current(); name == "" && err == nil {
		name = me.Username
	}
	vars["HADOOP_USER_NAME"] = cmp.Or(name, "nobody")
	return vars
}

// ReaderPatience is how long readers of map output wait for a node that is out of reach: longer than it takes to be
// started again. They need not find out that a machine is lost, since GoneNodes tells.
const ReaderPatience = 8 * time.Second

// GoneNodes sends the node's address of each machine that Nomad has given up, until ctx ends.
func (m *Member) GoneNodes(ctx context.Context) <-chan string {
	gone := make(chan string)
	go func() {
		for ctx.Err() == nil {
			for machine, err := range m.Launcher.LostMachines(ctx) {
				if err != nil {
					break // a server is replaced, or ctx has ended
				}
				select {
				case gone <- net.JoinHostPort(machine, NodePort):
				case <-ctx.Done():
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return gone
}

// eligible tells Nomad whether this machine takes work.
func (m *Member) eligible(ctx context.Context, yes bool) error {
	return m.Launcher.Eligible(ctx, os.Getenv(machineEnv), yes)
}

// Over tells the nodes that a job is over, so that they remove what it has left; its logs stay.
func (m *Member) Over(ctx context.Context, id scheduler.JobID) error {
	return putGrant(ctx, m.Coord, id, func(g *grant) { g.Over = true })
}

func putGrant(ctx context.Context, c coord.Coordinator, id scheduler.JobID, change func(*grant)) error {
	for {
		v, err := c.Get(ctx, grantKey(id))
		if err != nil {
			return err
		}
		g, err := parseGrant(v.Data)
		if err != nil {
			return err
		}
		change(&g)
		if _, err = c.Swap(ctx, grantKey(id), v.Version, g.encode()); errs.KindOf(err) != errs.Exist {
			return err
		}
	}
}
