package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// spawn starts a server that outlives this process, and belongs to no terminal. Its output goes to name.log.
func (c *Cluster) spawn(name string, env []string, args ...string) error {
	log, err := os.OpenFile(c.LogFile(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own descriptor by then
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), append(env, "CHECKPOINT_DISABLE=1", markEnv+"="+c.Dir)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // so that it is no zombie while this process lives
	c.State.Processes[name] = cmd.Process.Pid
	return c.save() // for whoever opens the cluster next
}

// markEnv is in the environment of every process of a cluster, and of all that they start: by it they are found.
const markEnv = "RUNNER_LOCAL_CLUSTER"

// alive returns the processes of the cluster, those that its jobs have started included.
func (c *Cluster) alive() []int {
	files, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
	var pids []int
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err != nil || len(env) == 0 {
			continue // it has ended, or is another's
		}
		if !bytes.Contains(env, []byte(markEnv+"="+c.Dir+"\x00")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

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

// sweep ends every process of the cluster: first the agents are asked, then all that is left is killed.
func (c *Cluster) sweep() error {
	for name := range c.State.Processes {
		_ = c.signal(name, syscall.SIGCONT) // it may be paused, or gone
		_ = c.signal(name, syscall.SIGTERM)
	}
	for deadline := time.Now().Add(stopTime); time.Now().Before(deadline); {
		if len(c.alive()) == 0 {
			return nil
		}
		pause()
	}
	for range 50 {
		left := c.alive()
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
		pause()
	}
	return fmt.Errorf("processes that do not end: %v", c.alive())
}

// unmount frees the folders of secrets that Nomad has mounted for tasks, which it leaves when it is killed.
func (c *Cluster) unmount() error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		if place := strings.Fields(line)[1]; strings.HasPrefix(place, c.Dir+"/") {
			if err := unix.Unmount(place, 0); err != nil {
				return fmt.Errorf("unmount %s: %w", place, err)
			}
		}
	}
	return nil
}

// stopTime is how long the agents may take to end by themselves.
const stopTime = 3 * time.Second

// pause is the time between two looks at processes that are nobody's children.
func pause() { time.Sleep(20 * time.Millisecond) }

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
		args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		words := strings.Split(string(args), "\x00")
		if err != nil || len(words) < 2 || words[0] != c.State.Program {
			continue // it has ended, or is another one
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		for _, m := range c.State.Machines {
			if err == nil && bytes.Contains(env, []byte("="+m.file("runner")+"\x00")) {
				all = append(all, Process{pid, m.Name, words[1]})
			}
		}
	}
	return all
}

// KillMachine ends everything on a client machine at once, as a power cut would.
func (c *Cluster) KillMachine(name string) error { return c.signalMachine(name, syscall.SIGKILL) }

// PauseMachine stops everything on a client machine without ending it: nobody hears of it any more, and it knows nothing
// of that. ResumeMachine is the end of it.
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
