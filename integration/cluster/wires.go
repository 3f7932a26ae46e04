package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/seed3322913c/runner/runner/nodeinit"
)

// A wired cluster gives each client a network namespace of its own, with a cable to the servers and the other clients
// that can be pulled:
//
//	servers 127.a.b.1 ... ──lo── the host ──── bridge rwAxB ──┬── rwAxBc1 ═══ eth0 127.a.b.11, all of c1
//	                                                          └── rwAxBc2 ═══ eth0 127.a.b.12, all of c2
//
// The addresses stay in 127/8, which the kernel routes if it is told to (route_localnet): nothing else differs from a
// cluster on the loopback interface. But what listens on 127.0.0.1 is reached on its own machine alone, as in real
// life.
type wires struct {
	IP     string `json:"ip"`     // path of iproute2's program; "" if the cluster has no wires
	Bridge string `json:"bridge"` // also the beginning of the cables' names
}

// cable is the name of a machine's cable, and of its namespace.
func (w wires) cable(machine string) string { return w.Bridge + machine }

// wrap is the command line that runs another one on a machine.
func (w wires) wrap(m nodeinit.Machine, args []string) []string {
	if w.IP == "" || m.Role == nodeinit.Server {
		return args
	}
	return append([]string{"nsenter", "--net=/run/netns/" + w.cable(m.Name), "--"}, args...)
}

// lay makes the bridge, and a namespace and a cable for each client.
func (w wires) lay(machines []nodeinit.Machine) error {
	err := errors.Join(w.ip("link", "add", w.Bridge, "type", "bridge"), w.ip("link", "set", w.Bridge, "up"),
		os.WriteFile(routing(w.Bridge), []byte("1"), 0))
	host := machines[0].Address // a server's
	network := host[:strings.LastIndexByte(host, '.')] + ".0/24"
	for _, m := range machines {
		if m.Role == nodeinit.Server || err != nil {
			continue
		}
		name := w.cable(m.Name)
		err = errors.Join(w.ip("netns", "add", name),
			w.ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name),
			w.ip("link", "set", name, "master", w.Bridge, "up"),
			w.ip("route", "add", m.Address, "dev", w.Bridge, "table", "local", "src", host),
			w.ip("-n", name, "link", "set", "lo", "up"),
			w.ip("-n", name, "link", "set", "eth0", "up"),
			w.ip("-n", name, "address", "add", m.Address, "dev", "eth0"),
			w.ip("-n", name, "route", "add", network, "dev", "eth0", "table", "local", "src", m.Address),
			w.ip("netns", "exec", name, "sh", "-c", "echo 1 > "+routing("eth0")))
	}
	return err
}

// routing is the file that allows addresses of 127/8 on an interface.
func routing(name string) string {
	return filepath.Join("/proc/sys/net/ipv4/conf", name, "route_localnet")
}

// remove takes all wires away, also those that were laid in part.
func (w wires) remove(machines []nodeinit.Machine) error {
	if w.IP == "" {
		return nil
	}
	var trouble []error
	for _, m := range machines {
		if name := w.cable(m.Name); exists("/run/netns/" + name) {
			trouble = append(trouble, w.ip("netns", "del", name)) // and its cable
		}
	}
	if exists("/sys/class/net/" + w.Bridge) {
		trouble = append(trouble, w.ip("link", "del", w.Bridge)) // and the routes over it
	}
	return errors.Join(trouble...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (w wires) ip(args ...string) error {
	if out, err := exec.Command(w.IP, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// Cut pulls a client's cable: everything on it goes on, and reaches nobody but itself. Mend is the end of it.
func (c *Cluster) Cut(machine string) error { return c.plug(machine, "down") }

// Mend plugs a client's cable in again.
func (c *Cluster) Mend(machine string) error { return c.plug(machine, "up") }

func (c *Cluster) plug(machine, how string) error {
	w := c.State.Wires
	if w.IP == "" {
		return errors.New("the cluster has no wires; start it with scripts/cluster up --wired")
	}
	return w.ip("link", "set", w.cable(machine), how)
}
