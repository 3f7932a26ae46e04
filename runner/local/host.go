package local

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
)

// Host is what one cluster has on this host: its folder, and the processes that are marked with it.
type Host struct {
	Dir string // absolute
}

// The marks are in the environment of every process of a cluster, and of all that they start: by them they are found,
// whatever was killed meanwhile.
const (
	clusterMark = "RUNNER_LOCAL_CLUSTER"
	machineMark = "RUNNER_LOCAL_MACHINE"
)

// Spawn starts a process that outlives this one and belongs to no terminal, on one of the cluster's machines. Its
// environment is env and the marks, by which it is found from now on, and its output goes to the file log.
func (h Host) Spawn(machine, log string, env, args []string) (pid int, err error) {
	const op = "local.Spawn"
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, errs.E(op, errs.Other, log, err)
	}
	defer out.Close() // the process has its own descriptor by then
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = slices.Concat(env, fleet.PluginEnv(h.file(machine)), []string{"CHECKPOINT_DISABLE=1",
		clusterMark + "=" + h.Dir, machineMark + "=" + machine})
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, errs.E(op, errs.Other, args[0], err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // so that it is no zombie while this process lives
		close(ended)
	}()
	for { // it is another program already, but has no environment for a moment
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid))
		if err != nil || len(env) > 0 {
			return cmd.Process.Pid, nil
		}
		select {
		case <-ended:
			return cmd.Process.Pid, nil
		default:
			Pause()
		}
	}
}

// Alive returns the processes of the cluster, those that its jobs have started included, but this one.
func (h Host) Alive() []int { return marked(clusterMark + "=" + h.Dir) }

// On returns the processes of one of its machines.
func (h Host) On(machine string) []int {
	return marked(clusterMark+"="+h.Dir, machineMark+"="+machine)
}

// marked returns the processes that have all of the marks in their environment, but this one.
func marked(marks ...string) []int {
	var pids []int
	for pid, env := range environments() {
		all := true
		for _, mark := range marks {
			all = all && bytes.Contains(env, []byte("\x00"+mark+"\x00"))
		}
		if all && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// environments returns those of all processes that can be read. Each begins and ends with a NUL.
func environments() map[int][]byte {
	files, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
	all := map[int][]byte{}
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err != nil || len(env) == 0 {
			continue // it has ended, or is another's
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			all[pid] = append([]byte{0}, env...)
		}
	}
	return all
}

// CommandLine returns the words of a process's command line; none if it has ended, or is another's.
func CommandLine(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// killTries is how often what starts again is killed again.
const killTries = 250

// Kill ends processes as a power cut would, and those that they start meanwhile: until there are none. It believes that
// only when it has found none twice, since a process has no environment for the moment in which it becomes another
// program, and one that was listed may have ended when its child was not there yet.
func Kill(find func() []int) error {
	const op = "local.Kill"
	none := 0
	for range killTries {
		left := find()
		if none++; len(left) > 0 {
			none = 0
		}
		if none == 2 {
			return nil
		}
		for _, pid := range left {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return errs.E(op, errs.Other, pid, err)
			}
		}
		Pause()
	}
	return errs.Errorf(op, errs.Unavailable, nil, "processes that do not end: %v", find())
}

// Pause is the time between two looks at processes that are nobody's children.
func Pause() { time.Sleep(20 * time.Millisecond) }

// Mounts returns what is mounted below a folder, the innermost first: Nomad mounts folders of secrets for its tasks,
// and leaves them when it is killed.
func Mounts(dir string) ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, errs.E("local.Mounts", errs.Other, dir, err)
	}
	var all []string
	for line := range strings.Lines(string(mounts)) {
		if place := strings.Fields(line)[1]; strings.HasPrefix(place, dir+"/") {
			all = append([]string{place}, all...)
		}
	}
	return all, nil
}

// Unmount frees all that is mounted below a folder.
func Unmount(dir string) error {
	places, err := Mounts(dir)
	if err != nil {
		return err
	}
	for _, place := range places {
		if err := unix.Unmount(place, 0); err != nil && !errors.Is(err, syscall.EINVAL) { // another has been quicker
			return errs.E("local.Unmount", errs.Other, place, fmt.Errorf("unmount: %w", err))
		}
	}
	return nil
}

// Ungroup removes the control groups of the cluster's containers, which have no processes any more. Nomad leaves them
// when it is killed. They lie beside those of other clusters on this host, and are named after folders of this one.
func (h Host) Ungroup() error {
	allocs, _ := filepath.Glob(filepath.Join(h.Dir, "*/nomad/alloc/*-*")) // the pattern is well formed
	for _, alloc := range allocs {
		for _, tree := range groupTrees {
			groups, _ := filepath.Glob(filepath.Join(tree, filepath.Base(alloc)+".*")) // the pattern is well formed
			for _, group := range groups {
				if err := removeGroup(group); err != nil {
					return errs.E("local.Ungroup", errs.Other, group, err)
				}
			}
		}
	}
	return nil
}

// removeGroup removes one whose last processes were just killed.
func removeGroup(dir string) (err error) {
	for range killTries {
		if err = os.Remove(dir); !errors.Is(err, syscall.EBUSY) {
			break
		}
		Pause()
	}
	if errors.Is(err, fs.ErrNotExist) { // by Nomad's own processes, which end by themselves
		return nil
	}
	return err
}

// groupTrees are where Nomad puts the groups of containers, as patterns: in either version of control groups.
var groupTrees = []string{
	"/sys/fs/cgroup/*/nomad", "/sys/fs/cgroup/*/nomad/reserve", "/sys/fs/cgroup/nomad.slice/share.slice",
	"/sys/fs/cgroup/nomad.slice/reserve.slice",
}

// Remove ends all that the cluster has on this host: processes, mounts, control groups, its folder.
func (h Host) Remove() error {
	if err := errors.Join(Kill(h.Alive), Unmount(h.Dir), h.Ungroup()); err != nil {
		return err
	}
	if err := os.RemoveAll(h.Dir); err != nil {
		return errs.E("local.Remove", errs.Other, h.Dir, err)
	}
	return nil
}
