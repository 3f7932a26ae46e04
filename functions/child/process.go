package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// process is a running program and the process group that it leads.
type process struct {
	name     string
	stdin    *os.File
	stdout   *os.File
	log      tail
	cmd      *exec.Cmd
	canceled func() error  // why the context ended; nil while it lasts
	gone     chan struct{} // closed when the group is dead and everything it printed was logged

	mu struct {
		sync.Mutex
		ended bool // the leader's id may be somebody else's by now: never signal it again
	}
}

// start starts the program in the given mode.
func start(ctx context.Context, command Command, mode string) (*process, error) {
	const op = "child.Start"
	if len(command.Argv) == 0 {
		return nil, errs.Errorf(op, errs.Invalid, nil, "no program is named")
	}
	p := &process{name: command.Argv[0], log: tail{to: command.Stderr}, gone: make(chan struct{})}
	p.canceled = func() error { return context.Cause(ctx) }
	childIn, stdin, err := os.Pipe()
	if err != nil {
		return nil, errs.E(op, errs.Other, nil, err)
	}
	stdout, childOut, err := os.Pipe()
	if err != nil {
		closeAll(childIn, stdin)
		return nil, errs.E(op, errs.Other, nil, err)
	}
	p.stdin, p.stdout = stdin, stdout
	widen(stdin)
	widen(stdout)

	c := exec.CommandContext(ctx, command.Argv[0], command.Argv[1:]...)
	c.Dir, c.Stdin, c.Stdout, c.Stderr = command.Dir, childIn, childOut, &p.log
	if c.Env = command.Env; c.Env == nil {
		c.Env = os.Environ()
	}
	c.Env = append(c.Env[:len(c.Env):len(c.Env)], wire.EnvVar+"="+mode)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(c.SysProcAttr)
	c.Cancel = func() error { p.kill(); return nil }
	c.WaitDelay = grace // for the log, if somebody who left the group still writes to it
	p.cmd = c
	started := make(chan error)
	go p.live(started)
	err = <-started
	closeAll(childIn, childOut)
	if err != nil {
		<-p.gone
		closeAll(stdin, stdout)
		if cause := p.canceled(); cause != nil {
			return nil, errs.E(op, errs.Canceled, p.name, cause)
		}
		return nil, errs.E(op, errs.Other, nil, err)
	}
	return p, nil
}

// closeAll closes ends of pipes that nothing was written to.
func closeAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close() // nothing can be lost
	}
}

// live starts the process and sees it to its end. It keeps its thread all the time: the kernel takes the end of the
// thread that started a process for the death of its parent.
func (p *process) live(started chan<- error) {
	defer close(p.gone)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	if awaitExit(p.cmd.Process.Pid) {
		p.kill() // what it left behind
	}
	p.mu.Lock()
	p.mu.ended = true
	p.mu.Unlock()
	_ = p.cmd.Wait() // the state says how it ended; an error of the log is not the child's
}

// kill kills the whole group, if it lives.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.mu.ended {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // fails if it is dead already, which is as well
	}
}

// ends waits for the process to end, but not for long.
func (p *process) ends(within time.Duration) {
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-p.gone:
	case <-t.C:
	}
}

// ended says in words how a process ended that is gone, and what it said last. It is of kind Failed.
func (p *process) ended() error {
	how := "ended before it was done"
	state := p.cmd.ProcessState
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		how = "was killed by signal " + ws.Signal().String()
	} else if !state.Success() {
		how = fmt.Sprintf("exited with status %d", state.ExitCode())
	}
	if last := p.log.summary(); last != "" {
		how += ", after it said:\n    " + strings.ReplaceAll(last, "\n", "\n    ")
	}
	return errs.E("", errs.Failed, nil, errors.New(how))
}

// tail passes on what is written, and keeps the end of it. It is read when nobody writes any more.
type tail struct {
	to   io.Writer // may be nil
	last []byte
}

// keep is how many bytes a tail has at least, if that many came: a crash of a Go program with some goroutines.
const keep = 16 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.last = append(t.last, b...)
	if over := len(t.last) - 2*keep; over > 0 {
		t.last = append(t.last[:0], t.last[len(t.last)-keep:]...)
	}
	if t.to == nil {
		return len(b), nil
	}
	return t.to.Write(b)
}

// summary returns the lines that tell most about a death: the beginning of a crash of a Go program, or else the last.
func (t *tail) summary() string {
	const most = 6
	text := bytes.TrimSpace(t.last)
	for _, mark := range []string{"panic: ", "fatal error: "} {
		if i := bytes.LastIndex(text, []byte("\n"+mark)); i >= 0 || bytes.HasPrefix(text, []byte(mark)) {
			lines := strings.Split(string(text[i+1:]), "\n")
			return strings.Join(lines[:min(most, len(lines))], "\n")
		}
	}
	lines := strings.Split(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
