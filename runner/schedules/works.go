package schedules

import (
	"context"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// Label is the label of a job that holds the name of the schedule that has started it.
const Label = "schedule"

// Works does the work of firings at a place. It is a cron.Runner.
type Works struct {
	At     embedded.Place
	Chains embedded.Chains // none where only single jobs are scheduled
	// Check finds what is wrong with a work that is about to start. Errors are as those of `runner run`.
	Check func(ctx context.Context, w Work) error
	// Start leaves a recorded job or chain to whoever runs it, or takes it up if it was cut off.
	Start func(ctx context.Context, id scheduler.JobID) error
}

// Name is for cron.
func (r Works) Name(ctx context.Context, schedule string) (string, error) {
	id, err := r.At.Jobs().NewID(ctx, schedule)
	return string(id), err
}

// Ensure is for cron.
func (r Works) Ensure(ctx context.Context, s cron.Schedule, f cron.Firing) (cron.Outcome, error) {
	at, err := r.standing(ctx, f)
	if errs.KindOf(err) == errs.NotFound {
		switch wrong := r.begin(ctx, s, f); {
		case Hopeless(wrong):
			// Somebody else may have begun it at the same time: then it is the work itself that is in the way.
			if at, err = r.standing(ctx, f); errs.KindOf(err) == errs.NotFound {
				return cron.Outcome{State: cron.Failed, Message: say.Sentence(wrong)}, nil
			}
		case wrong != nil:
			return cron.Outcome{}, wrong
		default:
			at.cut, err = true, nil
		}
	}
	switch {
	case err != nil:
		return cron.Outcome{}, err
	case at.cut: // or not begun
		return cron.Outcome{State: cron.Running}, r.Start(ctx, scheduler.JobID(f.ID))
	}
	return cron.Outcome{State: stateOf(at.state), Message: at.message}, nil
}

// Hopeless reports whether an error would come again.
func Hopeless(err error) bool {
	switch errs.KindOf(err) {
	case errs.Invalid, errs.NotFound, errs.Exist, errs.Permission, errs.Unsupported, errs.Corrupt:
		return true
	}
	return false
}

func stateOf(state scheduler.JobState) cron.State {
	switch state {
	case scheduler.JobSucceeded:
		return cron.Succeeded
	case scheduler.JobFailed:
		return cron.Failed
	case scheduler.JobKilled:
		return cron.Killed
	}
	return cron.Running
}

// standing is how the work of a firing stands.
type standing struct {
	state   scheduler.JobState
	cut     bool // unfinished, and no process works on it
	message string
}

// standing fails with errs.NotFound if the work was not recorded.
func (r Works) standing(ctx context.Context, f cron.Firing) (standing, error) {
	id := scheduler.JobID(f.ID)
	job, err := r.At.Jobs().Get(ctx, id)
	if err == nil {
		s, err := r.At.Status(ctx, job)
		return standing{s.State, s.Interrupted, s.Message}, err
	}
	if errs.KindOf(err) != errs.NotFound {
		return standing{}, err
	}
	chain, err := r.At.Jobs().GetChain(ctx, id)
	if err != nil {
		return standing{}, err
	}
	s, err := r.Chains.Status(ctx, chain)
	at := standing{state: s.State, cut: s.Interrupted}
	for _, j := range s.Jobs {
		if j.State == string(scheduler.JobFailed) {
			at.message = j.Name + ": " + j.Message
		}
	}
	return at, err
}

// begin records the work of a firing.
func (r Works) begin(ctx context.Context, s cron.Schedule, f cron.Firing) error {
	if len(s.Work) == 0 {
		return say.Errorf(errs.NotFound, "schedule %s was removed before this was started", f.Schedule)
	}
	w, err := Fill(s, f.Slot)
	if err != nil {
		return err
	}
	if err := r.Check(ctx, w); err != nil {
		return err
	}
	now := time.Now().UTC()
	if w.Job != nil {
		job := *w.Job
		job.ID, job.Name, job.Submitted, job.User = scheduler.JobID(f.ID), s.Name, now, s.User
		job.Labels = map[string]string{Label: s.Name}
		fleet, err := w.Fleet.encode()
		if err != nil {
			return err
		}
		if fleet != "" {
			job.Labels[embedded.AwayLabel] = fleet
		}
		return r.At.Jobs().SubmitAs(ctx, job)
	}
	chain := *w.Chain
	chain.ID, chain.Name, chain.Submitted = scheduler.JobID(f.ID), s.Name, now
	for i := range chain.Links {
		job := &chain.Links[i].Job
		job.User, job.Labels = s.User, map[string]string{Label: s.Name}
	}
	return r.At.Jobs().SubmitChainAs(ctx, chain)
}

// Kill is for cron.
func (r Works) Kill(ctx context.Context, f cron.Firing, reason string) error {
	id := scheduler.JobID(f.ID)
	job, err := r.At.Jobs().Get(ctx, id)
	if err == nil {
		_, err = r.At.Kill(ctx, job, reason)
	} else if errs.KindOf(err) == errs.NotFound {
		var chain embedded.Chain
		if chain, err = r.At.Jobs().GetChain(ctx, id); err == nil {
			_, err = r.Chains.Kill(ctx, chain, reason)
		}
	}
	if errs.KindOf(err) == errs.Invalid {
		return nil // it is over
	}
	return err
}
