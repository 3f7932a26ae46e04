package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/runner/local"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// host is what the cluster has on this host.
func (c *Cluster) host() local.Host { return local.Host{Dir: c.Dir} }

// spawn starts a server that outlives this process. Its output goes to name.log.
func (c *Cluster) spawn(name string, m nodeinit.Machine, env, args []string) error {
	pid, err := c.host().Spawn(m.Name, c.LogFile(name), append(os.Environ(), env...), c.State.Wires.wrap(m, args))
	if err != nil {
		return err
	}
	c.State.Processes[name] = pid
	return c.save() // for whoever opens the cluster next
}

// alive returns the processes of the cluster, those that its jobs have started included.
func (c *Cluster) alive() []int { return c.host().Alive() }

// Kill ends one server as a power cut would: "consul-s1", "nomad-c2", "s3". What Nomad has started goes on.
func (c *Cluster) Kill(name string) error { return c.signal(name, syscall.SIGKILL) }

// Pause stops one server without ending it, as a machine that hangs; Resume lets it go on.
func (c *Cluster) Pause(name string) error { return c.signal(name, syscall.SIGSTOP) }

// Resume is the end of Pause.
func (c *Cluster) Resume(name string) error { return c.signal(name, syscall.SIGCONT) }

func (c *Cluster) signal(name string, sig syscall.Signal) error {
	pid, ok := c.State.Processes[name]
	if !ok || !slices.Contains(c.alive(), pid) {
		return fmt.Errorf("there is no server %s", name)
	}
	return syscall.Kill(pid, sig)
}

// endedError names a server that has ended though nobody has asked it to, and has what it said last.
type endedError struct{ name, log string }

func (e endedError) Error() string { return e.name + " has ended: " + e.log }

// ended returns an error if a server has ended.
func (c *Cluster) ended() error {
	alive := c.alive()
	for name, pid := range c.State.Processes {
		if slices.Contains(alive, pid) {
			continue
		}
		log, err := os.ReadFile(c.LogFile(name))
		if err != nil {
			return err
		}
		const most = 1000 // bytes, a few lines
		return endedError{name, string(bytes.TrimSpace(log[max(0, len(log)-most):]))}
	}
	return nil
}

// Alive reports whether any process of the cluster lives.
func (c *Cluster) Alive() bool { return len(c.alive()) > 0 }

// sweep asks the agents to end, and waits a little; what is left then is killed.
func (c *Cluster) sweep() error {
	for name := range c.State.Processes {
		_ = c.signal(name, syscall.SIGCONT) // it may be paused, or gone
		_ = c.signal(name, syscall.SIGTERM)
	}
	for deadline := time.Now().Add(stopTime); time.Now().Before(deadline) && len(c.alive()) > 0; {
		local.Pause()
	}
	return local.Kill(c.alive)
}

// stopTime is how long the agents may take to end by themselves.
const stopTime = 3 * time.Second

// Process is one process of the program: a role of a job, or a node.
type Process struct {
	PID     int
	Machine string
	Verb    string // am, executor, node
}

// Program returns the processes of the program that run on the machines.
func (c *Cluster) Program() []Process {
	var all []Process
	for _, pid := range c.alive() {
		words := local.CommandLine(pid)
		if len(words) < 2 || words[0] != c.State.Program && words[0] != nomad.Program {
			continue // it has ended, or is another one
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		for _, m := range c.State.Machines {
			if err == nil && bytes.Contains(env, []byte("="+m.File("runner")+"\x00")) {
				all = append(all, Process{pid, m.Name, words[1]})
			}
		}
	}
	return all
}

// KillMachine ends everything on a client machine at once, as a power cut would.
func (c *Cluster) KillMachine(name string) error { return c.signalMachine(name, syscall.SIGKILL) }

// PauseMachine stops everything on a client machine without ending it: nobody hears of it any more, and it knows
// nothing of that. ResumeMachine is the end of it.
func (c *Cluster) PauseMachine(name string) error { return c.signalMachine(name, syscall.SIGSTOP) }

// ResumeMachine lets everything on a machine go on.
func (c *Cluster) ResumeMachine(name string) error { return c.signalMachine(name, syscall.SIGCONT) }

// signalMachine reaches the machine's agents, and all that they have started.
func (c *Cluster) signalMachine(name string, sig syscall.Signal) error {
	m, err := c.machine(name)
	if err != nil {
		return err
	}
	for _, agent := range []string{"nomad-" + name, "consul-" + name} {
		if err := c.signal(agent, sig); err != nil {
			return err
		}
	}
	for _, pid := range c.alive() {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		args, err2 := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || err2 != nil || !bytes.Contains(append(env, args...), []byte(m.Dir+"/")) {
			continue // it has ended, or is of another machine
		}
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// StartMachine starts the agents of a machine again after KillMachine.
func (c *Cluster) StartMachine(name string) error {
	return errors.Join(c.StartConsul(name), c.StartNomad(name))
}

// containersWeigh is the weight of all containers on this host together, of which any other process has 1024.
const containersWeigh = 16 * 1024

// favour lets containers have processors. Nomad puts those of all clusters into one control group, which weighs as much
// as one process, and on a busy host a container then takes seconds to do anything. In the second version of control
// groups that group has its place beside the system's, and is left as it is.
func favour() error {
	const groups = "/sys/fs/cgroup/cpu"
	if _, err := os.Stat(filepath.Join(groups, "cpu.shares")); err != nil {
		return nil // as on every host with the second version
	}
	nomads := filepath.Join(groups, "nomad") // whether Nomad has made it or not
	if err := os.MkdirAll(nomads, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(nomads, "cpu.shares"), []byte(strconv.Itoa(containersWeigh)), 0o644)
}
