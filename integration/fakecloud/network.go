package fakecloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// bridge is what all machines are plugged into. The names of namespaces begin so, too.
	bridge = "rwcloud"
	// Gateway is the host's own address in the machines' network, which is the VPC of terraform/modules/network.
	Gateway = "10.64.0.1"
	prefix  = "/16"
	// lockFile is held as long as a cloud plays, since there is one such network on a host.
	lockFile = "/run/lock/runner-fakecloud"
)

// network is the bridge with its cables.
type network struct {
	ip   string // path of iproute2's program
	lock *os.File
}

// layNetwork waits until no other cloud plays on this host, removes what one has left that was killed, and makes the
// bridge.
func layNetwork(ip string) (*network, error) {
	lock, err := os.OpenFile(lockFile, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	n := &network{ip, lock}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	if err == nil {
		err = n.clear()
	}
	if err == nil {
		err = errors.Join(n.run("link", "add", bridge, "type", "bridge"),
			n.run("address", "add", Gateway+prefix, "dev", bridge),
			n.run("link", "set", bridge, "up"))
	}
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// clear removes all namespaces and the bridge.
func (n *network) clear() error {
	spaces, err := filepath.Glob("/run/netns/" + bridge + "-*")
	all := []error{err}
	for _, space := range spaces {
		all = append(all, n.run("netns", "delete", filepath.Base(space)))
	}
	if _, err := os.Stat("/sys/class/net/" + bridge); err == nil {
		all = append(all, n.run("link", "delete", bridge))
	}
	return errors.Join(all...)
}

// close gives the network of the host back as it was.
func (n *network) close() error { return errors.Join(n.clear(), n.lock.Close()) }

func (n *network) run(args ...string) error {
	if out, err := exec.Command(n.ip, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// space is the namespace of an instance.
func space(id string) string { return bridge + "-" + id }

// cable is the host's end of an instance's cable; names of interfaces are short.
func cable(id string) string { return "rw" + id[max(0, len(id)-12):] }

// plugIn makes the namespace of an instance, with its address and that of its metadata service.
func (n *network) plugIn(id, address string) error {
	name := space(id)
	return errors.Join(n.run("netns", "add", name),
		n.run("link", "add", cable(id), "type", "veth", "peer", "name", "eth0", "netns", name),
		n.run("link", "set", cable(id), "master", bridge, "up"),
		n.run("-n", name, "link", "set", "lo", "up"),
		n.run("-n", name, "address", "add", strings.TrimSuffix(MetadataAddress, ":80")+"/32", "dev", "lo"),
		n.run("-n", name, "address", "add", address+prefix, "dev", "eth0"),
		n.run("-n", name, "link", "set", "eth0", "up"),
		n.run("-n", name, "route", "add", "default", "via", Gateway))
}

// unplug removes the namespace of an instance, and its cable.
func (n *network) unplug(id string) error { return n.run("netns", "delete", space(id)) }

// cut pulls the cable of an instance, or puts it in again.
func (n *network) cut(id string, cut bool) error {
	how := "up"
	if cut {
		how = "down"
	}
	return n.run("link", "set", cable(id), how)
}

// listen listens in the namespace of an instance.
func listen(ctx context.Context, id, address string, c net.ListenConfig) (l net.Listener, err error) {
	done := make(chan struct{})
	go func() { // on a thread of its own, which ends with it, since it may not come back
		defer close(done)
		runtime.LockOSThread()
		var there *os.File
		if there, err = os.Open("/run/netns/" + space(id)); err != nil {
			return
		}
		defer there.Close() // only entered
		if err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err == nil {
			l, err = c.Listen(ctx, "tcp", address)
		}
	}()
	<-done
	return l, err
}
