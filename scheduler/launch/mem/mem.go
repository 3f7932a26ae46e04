// Package mem is a launcher whose containers are goroutines, for tests.
package mem

import (
	"context"
	"errors"
	"sync"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/supervise"
)

// Main is what a container does. It is asked to end by the end of ctx. A nil error is exit code 0; an error with a
// method ExitCode() int has that one; any other is 1.
type Main func(ctx context.Context, g launch.Group, c launch.Container) error

// ErrCrashed is the cause (context.Cause) of the end of a container that Crash or a Kill ended: it should do nothing
// more, as if the machine had stopped.
var ErrCrashed = errors.New("crashed")

// Launcher is a launch.Launcher. Close ends everything.
type Launcher struct {
	*supervise.Launcher
	mu struct {
		sync.Mutex
		running map[key]*process
	}
}

type key struct {
	group launch.GroupID
	index int
}

// New returns a launcher that runs main for every container.
func New(main Main) *Launcher {
	l := &Launcher{}
	l.mu.running = map[key]*process{}
	l.Launcher = supervise.New(func(g launch.Group, c launch.Container) (supervise.Process, error) {
		return l.run(main, g, c), nil
	})
	return l
}

func (l *Launcher) run(main Main, g launch.Group, c launch.Container) *process {
	ctx, cancel := context.WithCancelCause(context.Background()) // ended by Terminate and Kill
	p := &process{cancel: cancel, exit: make(chan launch.Exit, 1), crashed: make(chan struct{})}
	k := key{g.ID, c.Index}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.running[k] = p
	go func() {
		err := main(ctx, g, c)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.mu.running[k] == p {
			delete(l.mu.running, k)
		}
		p.exit <- exitOf(err)
	}()
	return p
}

// Crash ends a container as SIGKILL would. That it does not run is an error of kind NotFound.
func (l *Launcher) Crash(id launch.GroupID, index int) error {
	l.mu.Lock()
	p := l.mu.running[key{id, index}]
	l.mu.Unlock()
	if p == nil {
		return errs.Errorf("mem.Crash", errs.NotFound, id, "container %d does not run", index)
	}
	p.Kill()
	return nil
}

type process struct {
	cancel  context.CancelCauseFunc
	exit    chan launch.Exit
	once    sync.Once
	crashed chan struct{} // closed by Kill
}

func (p *process) Terminate() { p.cancel(context.Canceled) }

func (p *process) Kill() {
	p.once.Do(func() { close(p.crashed) })
	p.cancel(ErrCrashed)
}

// Wait returns at once after a Kill, since a goroutine cannot be made to end.
func (p *process) Wait() launch.Exit {
	select {
	case <-p.crashed:
	case e := <-p.exit:
		select {
		case <-p.crashed: // it noticed, which a process could not have
		default:
			return e
		}
	}
	return launch.Exit{Code: -1, Signal: "killed"}
}

func exitOf(err error) launch.Exit {
	var coded interface{ ExitCode() int }
	switch {
	case err == nil:
		return launch.Exit{}
	case errors.As(err, &coded):
		return launch.Exit{Code: coded.ExitCode()}
	}
	return launch.Exit{Code: 1}
}
