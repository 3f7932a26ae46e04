//go:build unix

// Package local is the launcher of one machine: a container is an operating system process.
//
// Every process leads a process group of its own, so that all that it starts can be ended with it, and dies with this
// process (package proc). It inherits the environment of this process. Standard output and error go to
// LogDir/ROLE-INDEX.log, which restarts continue, and when that is full to further files beside it, of which the newest
// are kept; Resources are for the process itself to respect.
package local

import (
	"cmp"
	"errors"
	"maps"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/supervise"
	"github.com/seed3322913c/runner/scheduler/proc"
)

// Options may all be left zero.
type Options struct {
	LogSize  int64 // bytes of one file of a container's log; 8 MiB
	LogFiles int   // how many of them are kept; 4
}

// Launcher is a launch.Launcher.
type Launcher struct {
	*supervise.Launcher
	spawner *proc.Spawner
	opts    Options
}

// New returns a launcher without groups. Close must be called.
func New(o Options) *Launcher {
	o.LogSize, o.LogFiles = cmp.Or(o.LogSize, 8<<20), cmp.Or(o.LogFiles, 4)
	l := &Launcher{spawner: proc.New(), opts: o}
	l.Launcher = supervise.New(l.start)
	return l
}

// Close stops all groups; when it returns no process is left.
func (l *Launcher) Close() {
	l.Launcher.Close()
	l.spawner.Close()
}

func (l *Launcher) start(g launch.Group, c launch.Container) (supervise.Process, error) {
	cmd := exec.Command(g.Command[0], g.Command[1:]...)
	cmd.Env = os.Environ()
	for _, vars := range []map[string]string{g.Env, g.Secrets, {launch.ContainerEnv: c.String()}} {
		for _, k := range slices.Sorted(maps.Keys(vars)) {
			cmd.Env = append(cmd.Env, k+"="+vars[k])
		}
	}
	p := process{}
	if g.LogDir != "" {
		log, err := openLog(g.LogDir, c, l.opts)
		if err != nil {
			return nil, err
		}
		cmd.Stdout, cmd.Stderr, p.log = log, log, log
	}
	var err error
	if p.Process, err = l.spawner.Start(cmd); err != nil {
		p.closeLog()
		return nil, err
	}
	return p, nil
}

type process struct {
	*proc.Process
	log *rotated // nil: nobody wants to know
}

func (p process) closeLog() {
	if p.log != nil {
		p.log.close()
	}
}

func (p process) Wait() launch.Exit {
	err := p.Process.Wait()
	p.closeLog()
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // somebody who has left the group holds on to the log
		return launch.Exit{}
	case !errors.As(err, &exit):
		return launch.Exit{Code: -1, Error: err.Error()}
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return launch.Exit{Code: -1, Signal: s.Signal().String()}
	}
	return launch.Exit{Code: exit.ExitCode()}
}
