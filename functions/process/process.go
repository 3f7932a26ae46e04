// Package process runs a program of the user's as the end of two pipes, and leaves nothing of it behind.
//
//	caller ──▶ Stdin ──▶  ┌─────────┐  ──▶ Stdout ──▶ caller
//	                      │ program │
//	                      └─────────┘  ──▶ stderr ──▶ Command.Stderr, and its last lines for Ended
//
// The program leads a process group of its own. The group is killed when the context ends, by Kill, and when the
// program itself has ended; on Linux the kernel kills the program when its parent dies, however that came.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// Command says how to start a program.
type Command struct {
	Argv   []string  // the program and its arguments
	Dir    string    // where it runs; empty: here
	Env    []string  // its environment; nil: that of this process
	Stderr io.Writer // gets what it prints, in one goroutine; nil: nobody does
	Aside  string    // lines of stderr that begin so are messages, and no last words for Ended; empty: there are none
	Extra  int       // further pipes that it can write to, its file descriptors from FirstExtra on
}

// FirstExtra is a program's file descriptor of the first of Command.Extra.
const FirstExtra = 3

// Grace is how long a program is waited for that ends by itself.
const Grace = 2 * time.Second

// Process is a running program and the process group that it leads.
type Process struct {
	Name   string        // the program's
	Stdin  *os.File      // the caller's end of its standard input, which the caller closes
	Stdout *Output       // and of its standard output
	Extra  []*Output     // and of what Command.Extra has asked for
	Gone   chan struct{} // closed when the group is dead and everything it printed was logged

	log      tail
	cmd      *exec.Cmd
	canceled func() error // why the context ended

	mu struct {
		sync.Mutex
		ended bool // the leader's id may be somebody else's by now: never signal it again
	}
}

// Start starts the program. The group is killed when ctx ends.
func Start(ctx context.Context, command Command) (*Process, error) {
	const op = "process.Start"
	if len(command.Argv) == 0 {
		return nil, errs.Errorf(op, errs.Invalid, nil, "no program is named")
	}
	p := &Process{Name: command.Argv[0], log: tail{to: command.Stderr, aside: command.Aside}, Gone: make(chan struct{})}
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
	p.Stdin, p.Stdout = stdin, newOutput(stdout)
	widen(stdin)
	widen(stdout)
	var extra []*os.File // the program's ends
	for range command.Extra {
		mine, its, err := os.Pipe()
		if err != nil {
			closeAll(childIn, stdin, stdout, childOut)
			closeAll(extra...)
			closeAll(p.Extra...)
			return nil, errs.E(op, errs.Other, nil, err)
		}
		p.Extra, extra = append(p.Extra, newOutput(mine)), append(extra, its)
	}

	c := exec.CommandContext(ctx, command.Argv[0], command.Argv[1:]...)
	c.Dir, c.Env, c.Stdin, c.Stdout, c.Stderr = command.Dir, command.Env, childIn, childOut, &p.log
	c.ExtraFiles = extra
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(c.SysProcAttr)
	c.Cancel = func() error { p.Kill(); return nil }
	c.WaitDelay = Grace // for the log, if somebody who left the group still writes to it
	p.cmd = c
	started := make(chan error)
	go p.live(started)
	err = <-started
	closeAll(append(extra, childIn, childOut)...)
	if err != nil {
		<-p.Gone
		closeAll(stdin, stdout)
		closeAll(p.Extra...)
		if cause := p.Canceled(); cause != nil {
			return nil, errs.E(op, errs.Canceled, p.Name, cause)
		}
		return nil, errs.E(op, errs.Other, nil, err)
	}
	return p, nil
}

// closeAll closes ends of pipes that nothing was written to.
func closeAll[F io.Closer](files ...F) {
	for _, f := range files {
		_ = f.Close() // nothing can be lost
	}
}

// Canceled returns why the context ended that the program was started with, or nil while it lasts.
func (p *Process) Canceled() error {
	if p.canceled == nil {
		return nil
	}
	return p.canceled()
}

// Success reports whether a process that is gone ended by itself with status 0.
func (p *Process) Success() bool { return p.cmd.ProcessState.Success() }

// live starts the process and sees it to its end. It keeps its thread all the time: the kernel takes the end of the
// thread that started a process for the death of its parent.
func (p *Process) live(started chan<- error) {
	defer close(p.Gone)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	if awaitExit(p.cmd.Process.Pid) {
		p.Kill() // what it left behind
	}
	p.mu.Lock()
	p.mu.ended = true
	p.mu.Unlock()
	_ = p.cmd.Wait() // the state says how it ended; an error of the log is not the child's
}

// Kill kills the whole group, if it lives.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.mu.ended {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // fails if it is dead already, which is as well
	}
}

// Await waits for the process to end, but not for long.
func (p *Process) Await(within time.Duration) {
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-p.Gone:
	case <-t.C:
	}
}

// Ended says in words how a process ended that is gone, and what it said last. It is of kind Failed.
func (p *Process) Ended() error {
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
	to    io.Writer // may be nil
	aside string
	last  []byte
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
	lines := slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool {
		return t.aside != "" && strings.HasPrefix(line, t.aside)
	})
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
