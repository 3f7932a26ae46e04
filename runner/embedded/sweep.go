package embedded

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// Sweep removes what jobs that are over have left, whose supervisors were killed before they could do it. A job has a
// folder below NodeRoot from its first session on, until nothing else of that kind is left of it.
func (h *Home) Sweep(ctx context.Context) error {
	entries, err := os.ReadDir(h.NodeRoot())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.E("embedded.Sweep", errs.Other, nil, err)
	}
	var all []error
	for _, e := range entries {
		if id, err := scheduler.ParseJobID(e.Name()); err == nil {
			all = append(all, h.sweep(ctx, id))
		}
	}
	return errors.Join(all...)
}

// sweep removes what a job has left, if it is over and nobody has it in hand.
func (h *Home) sweep(ctx context.Context, id scheduler.JobID) error {
	if alive, err := h.supervised(ctx, id); alive || err != nil {
		return err
	}
	job, err := h.Jobs().Get(ctx, id)
	if err != nil {
		return err
	}
	report, err := am.Load(ctx, h.Store, job)
	if err != nil || !report.State.Final() {
		return err
	}
	err = h.tidy(ctx, id)
	if errs.KindOf(err) == errs.Exist {
		return nil // another command has begun to
	}
	return err
}
