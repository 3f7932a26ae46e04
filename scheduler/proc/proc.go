//go:build unix

// Package proc starts child processes that leave nothing behind: each leads a process group of its own, which is ended
// as a whole, and dies when this process dies, however that happens.
//
// The second half is a trap on Linux. The parent-death signal is sent when the *thread* that forked ends, and Go ends
// threads as it likes; a child would die for no visible reason. So a Spawner owns one thread for as long as it lives
// and forks from there.
//
// A process that moves itself to another group (a daemon) escapes; so does, when this process is killed, what its
// children have started themselves and what does not notice that its standard input has ended.
package proc

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// Spawner starts processes. It may be used by many goroutines at once.
type Spawner struct {
	calls chan func() // run by the goroutine that holds the thread
	once  sync.Once
}

// New returns a Spawner, which holds one thread until Close.
func New() *Spawner {
	s := &Spawner{calls: make(chan func())}
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends with this goroutine
		for f := range s.calls {
			f()
		}
	}()
	return s
}

// Close gives the thread back. On Linux, processes that still run are killed by that. Start must not be called again.
func (s *Spawner) Close() { s.once.Do(func() { close(s.calls) }) }

// pipeDelay is how long Wait goes on copying from pipes that a process which left its group holds open.
const pipeDelay = 2 * time.Second

// Start starts cmd, which must not have been started, in a process group of its own; it replaces cmd.SysProcAttr. Wait
// of the Process takes the place of cmd.Wait.
func (s *Spawner) Start(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = attributes()
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = pipeDelay
	}
	started := make(chan error)
	s.calls <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, errs.E("proc.Start", errs.Other, cmd.Path, err)
	}
	return &Process{cmd: cmd}, nil
}

// Process is a started process and all of its group. Wait must be called, once; the other methods may be called by
// anybody at any time.
type Process struct {
	cmd    *exec.Cmd
	mu     sync.Mutex
	reaped bool // the process id may belong to somebody else by now
}

// Pid returns the id of the process, which is that of its group too.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Terminate asks the group to end (SIGTERM).
func (p *Process) Terminate() { p.signal(syscall.SIGTERM) }

// Kill makes the group end (SIGKILL).
func (p *Process) Kill() { p.signal(syscall.SIGKILL) }

func (p *Process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = syscall.Kill(-p.Pid(), sig) // fails only if the group has ended, which is what was wanted
	}
}

// Wait waits until the process has ended, kills what is left of its group, and returns what cmd.Wait does.
func (p *Process) Wait() error {
	awaitExit(p.Pid())
	p.mu.Lock()
	defer p.mu.Unlock()
	// The id is still taken, by the process that has ended but is not reaped: no stranger can be hit.
	_ = syscall.Kill(-p.Pid(), syscall.SIGKILL) // fails if nothing is left
	p.reaped = true
	return p.cmd.Wait()
}
