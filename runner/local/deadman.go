package local

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/nodeinit"
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

// Deadman waits for the deadline of the cluster, and then removes all of it but its bucket. It returns when ctx ends.
func (h Host) Deadman(ctx context.Context) error {
	if _, err := nodeinit.AwaitDeadline(ctx, h.file(deadlineFile)); err != nil {
		if errors.Is(err, context.Canceled) {
			return nil // it was told to end
		}
		return err
	}
	return h.Remove()
}
