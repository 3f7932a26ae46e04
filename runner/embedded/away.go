package embedded

import (
	"context"
	"errors"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// AwayLabel is the label of a job that is recorded here and runs elsewhere, on a fleet that is made for it: it says
// what fleet. The process that sees to that holds the job's lease, as any supervisor does, so that one that dies has a
// successor; what has become of the job is in its ledger at the end.
const AwayLabel = "fleet"

// Away runs a job elsewhere, to its end, and leaves nothing behind there. Called again with a job that it was cut off
// with, it goes on. When ctx ends, it kills the job.
type Away func(ctx context.Context, job scheduler.Job, o Options) (am.Report, error)

func away(job scheduler.Job) bool { return job.Labels[AwayLabel] != "" }

// superviseAway sees to it that a job runs elsewhere, and writes down what has become of it.
func (h *Home) superviseAway(ctx context.Context, job scheduler.Job, o Options) (am.Report, error) {
	if h.Away == nil {
		return am.Report{}, say.Errorf(errs.Unsupported, "job %s needs a fleet of its own, which nobody makes here", job.ID)
	}
	work := context.WithoutCancel(ctx)
	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	if o.Kill != "" {
		end(errors.New(o.Kill))
	}
	go h.awaitStop(running, job.ID, end)
	o.Ready()
	report, err := h.Away(running, job, o)
	state, why := report.State, report.Message
	if err == nil && !state.Final() {
		err = errs.Errorf("embedded.Supervise", errs.Internal, job.ID, "it was left %s", state)
	}
	switch cause := context.Cause(running); {
	case cause != nil && state != scheduler.JobSucceeded:
		state, why = scheduler.JobKilled, cause.Error()
	case err != nil:
		state, why = scheduler.JobFailed, say.Sentence(err)
	}
	ended, err := am.End(work, h.Store, job, am.Ending{State: state, Why: why, Time: time.Now()})
	return ended, errors.Join(err, h.put(work, stopKey(job.ID), nil))
}

// awaitStop ends what is done for a job when somebody has asked for that, or with ctx.
func (h *Home) awaitStop(ctx context.Context, id scheduler.JobID, end context.CancelCauseFunc) {
	key := stopKey(id)
	for e, err := range h.Coord.Watch(ctx, string(key)) {
		if err != nil {
			return // ctx has ended
		}
		if e.Key == key && len(e.Value.Data) > 0 {
			end(errors.New(string(e.Value.Data)))
			return
		}
	}
}

// killAway asks for the end of a job that runs elsewhere, and tells how it stands: its end comes with that of its
// fleet.
func (h *Home) killAway(ctx context.Context, job scheduler.Job, reason string) (Status, error) {
	if err := h.put(ctx, stopKey(job.ID), []byte(reason)); err != nil {
		return Status{}, err
	}
	return h.Status(ctx, job)
}
