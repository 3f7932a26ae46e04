package local

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// startDeadman arms the dead-man switch, if it is not: a process of its own, which no client ends.
func (h Host) startDeadman(at time.Time) error {
	if err := nodeinit.WriteDeadline(h.file(deadlineFile), at); err != nil {
		return err
	}
	if len(h.On(deadmanPart)) > 0 {
		return nil
	}
	if err := os.MkdirAll(h.file(deadmanPart), 0o700); err != nil {
		return errs.E("local.startDeadman", errs.Other, h.Dir, err)
	}
	_, err := h.Spawn(deadmanPart, h.file(deadmanPart, initLog), environment(), []string{
		h.file(binDir, "runner"), "node-init", "--host", h.Dir, "--deadman",
	})
	return err
}

// Deadman waits for the deadline of the cluster, or until no job has run for as long as it may be idle, and then
// removes all of it but its bucket. It returns when ctx ends.
func (h Host) Deadman(ctx context.Context) error {
	var c Cluster
	if err := h.read(clusterFile, &c); err != nil {
		return err
	}
	over := make(chan error, 2)
	go func() {
		_, err := nodeinit.AwaitDeadline(ctx, h.file(deadlineFile))
		over <- err
	}()
	go func() { over <- h.awaitIdle(ctx, c.Idle) }()
	if err := <-over; err != nil {
		if errors.Is(err, context.Canceled) {
			return nil // it was told to end
		}
		return err
	}
	return h.Remove()
}

// lookForJobs is the time between two looks whether a job runs.
const lookForJobs = time.Second

// awaitIdle waits until no job has run for a time; 0 waits for ever.
func (h Host) awaitIdle(ctx context.Context, most time.Duration) error {
	tick := time.NewTicker(lookForJobs)
	defer tick.Stop()
	for idle := time.Now(); most == 0 || time.Since(idle) < most; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if most > 0 && h.busy() {
			idle = time.Now()
		}
	}
	return nil
}

// busy reports whether a job runs: each has an application master on one of the machines.
func (h Host) busy() bool {
	return slices.ContainsFunc(h.Alive(), func(pid int) bool {
		words := CommandLine(pid)
		return len(words) > 1 && (words[0] == nomad.Program || words[0] == h.file(binDir, "runner")) && words[1] == "am"
	})
}
