//go:build unix

// Package local is the launcher of one machine: a container is an operating system process.
//
// Every process leads a process group of its own, so that all that it starts can be ended with it, and dies with this
// process (package proc). It inherits the environment of this process. Standard output and error go to
// LogDir/ROLE-INDEX.log, which restarts continue; Resources are for the process itself to respect.
package local

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/supervise"
	"github.com/seed3322913c/runner/scheduler/proc"
)

// Launcher is a launch.Launcher.
type Launcher struct {
	*supervise.Launcher
	spawner *proc.Spawner
}

// New returns a launcher without groups. Close must be called.
func New() *Launcher {
	l := &Launcher{spawner: proc.New()}
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
	if g.LogDir != "" {
		log, err := openLog(filepath.Join(g.LogDir, c.LogName()), c)
		if err != nil {
			return nil, err
		}
		defer log.Close() // the process has its own descriptor by then
		cmd.Stdout, cmd.Stderr = log, log
	}
	p, err := l.spawner.Start(cmd)
	if err != nil {
		return nil, err
	}
	return process{p}, nil
}

// openLog opens a container's log for appending, and marks where a restart begins.
func openLog(path string, c launch.Container) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	if c.Restart > 0 {
		if _, err := fmt.Fprintf(log, "--- %s\n", c); err != nil {
			log.Close()
			return nil, err
		}
	}
	return log, nil
}

type process struct{ *proc.Process }

func (p process) Wait() launch.Exit {
	err := p.Process.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return launch.Exit{}
	case !errors.As(err, &exit):
		return launch.Exit{Code: -1, Error: err.Error()}
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return launch.Exit{Code: -1, Signal: s.Signal().String()}
	}
	return launch.Exit{Code: exit.ExitCode()}
}
