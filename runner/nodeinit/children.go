package nodeinit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// child is a program that a machine always runs: it is started again when it ends.
type child struct {
	name  string
	args  []string
	env   []string      // beside the machine's own
	log   string        // file for what it says
	grace time.Duration // how long it may take to end when it is told to
	busy  func() bool   // it has a reason to take that long; nil: always

	mu struct {
		sync.Mutex
		died  int       // so often by itself, one soon after the other
		cause error     // the last time
		since time.Time // when it was started
	}
}

const (
	again   = time.Second      // the pause before a child is started again
	settled = 10 * time.Second // who has lived for so long works
	often   = 3                // who has died so often before that does not
)

// run keeps the child running until ctx ends; then it is told to end, and run returns when it has.
func (c *child) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.mu.Lock()
		c.mu.since = time.Now()
		c.mu.Unlock()
		err := c.once(ctx)
		if ctx.Err() != nil {
			break // as it was told
		}
		c.mu.Lock()
		if time.Since(c.mu.since) > settled {
			c.mu.died = 0
		}
		c.mu.died, c.mu.cause = c.mu.died+1, err
		c.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// once starts the child and waits for its end.
func (c *child) once(ctx context.Context) error {
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return errs.E("nodeinit.child", errs.Other, c.log, err)
	}
	defer log.Close() // the child has its own descriptor
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Env = append(os.Environ(), append(c.env, "CHECKPOINT_DISABLE=1")...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what is pressed in a terminal is not for it
	ended := make(chan struct{})
	defer close(ended)
	cmd.Cancel = func() error {
		if c.busy != nil {
			go c.hasten(cmd.Process, ended)
		}
		return cmd.Process.Signal(syscall.SIGTERM)
	}
	cmd.WaitDelay = c.grace
	if err := cmd.Run(); err != nil {
		return err
	}
	return errors.New("it has ended by itself")
}

// hasten kills a child that was told to end, and takes its time without being busy.
func (c *child) hasten(p *os.Process, ended <-chan struct{}) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for idle := time.Now(); time.Since(idle) < idleTime; {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		if c.busy() {
			idle = time.Now()
		}
	}
	_ = p.Kill() // it has ended meanwhile
}

// trouble says why the child does not stay, if it died again and again.
func (c *child) trouble() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.died < often || time.Since(c.mu.since) > settled {
		return nil
	}
	return fmt.Errorf("%s has ended %d times, at last so: %w", c.name, c.mu.died, c.mu.cause)
}
