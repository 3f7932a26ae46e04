package embedded

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

// ChainStatus is how a chain stands.
type ChainStatus struct {
	Chain       scheduler.JobID    `json:"chain"`
	Name        string             `json:"name"`
	State       scheduler.JobState `json:"state"`                 // RUNNING until nobody works on it any more
	Interrupted bool               `json:"interrupted,omitempty"` // unfinished, and no process works on it
	Submitted   time.Time          `json:"submitted"`
	Started     time.Time          `json:"started,omitzero"` // when the first job did
	Ended       time.Time          `json:"ended,omitzero"`   // when the last job did
	Jobs        []LinkStatus       `json:"jobs"`

	between bool // it was killed between two jobs, of which none says so
}

// LinkStatus is how one job of a chain stands: the latest try at it.
type LinkStatus struct {
	Name         string          `json:"name"`
	Job          scheduler.JobID `json:"job,omitempty"` // none: it was not begun
	State        string          `json:"state"`         // a job's, INTERRUPTED, or WAITING if it was not begun
	Message      string          `json:"message,omitempty"`
	Tries        int             `json:"tries"`
	Needs        []string        `json:"needs,omitempty"`
	Intermediate bool            `json:"intermediate,omitempty"`
	Output       string          `json:"output"`
	Started      time.Time       `json:"started,omitzero"`
	Ended        time.Time       `json:"ended,omitzero"`
}

// Waiting is the state of a job of a chain that was not begun.
const Waiting = "WAITING"

// Word is the state as people read it.
func (s ChainStatus) Word() string { return word(s.State, s.Interrupted) }

// Status asks for every job of a chain.
func (r Chains) Status(ctx context.Context, c Chain) (ChainStatus, error) {
	alive, err := held(ctx, r.Coord, supervisorKey(c.ID), r.Leases) // before the jobs, of which the last may end meanwhile
	if err != nil {
		return ChainStatus{}, err
	}
	return r.status(ctx, c, alive)
}

// status is Status of a chain that somebody runs, or nobody.
func (r Chains) status(ctx context.Context, c Chain, alive bool) (ChainStatus, error) {
	s := ChainStatus{Chain: c.ID, Name: c.Name, Submitted: c.Submitted, State: scheduler.JobRunning}
	count := map[string]int{}
	for place, l := range c.Links {
		tries, last, err := r.lastTry(ctx, c, place)
		if err != nil {
			return s, err
		}
		one := LinkStatus{
			Name: l.Job.Name, Job: last.Job, State: last.Word(), Message: last.Message, Tries: tries,
			Intermediate: l.Intermediate, Output: l.Job.Output, Started: last.Started, Ended: last.Ended,
		}
		if tries == 0 {
			one.State = Waiting
		}
		for _, need := range l.Needs {
			one.Needs = append(one.Needs, c.Links[need].Job.Name)
		}
		count[one.State]++
		s.add(one)
	}
	switch {
	case count[string(scheduler.JobSucceeded)] == len(c.Links):
		s.State = scheduler.JobSucceeded
	case alive:
	case count[string(scheduler.JobFailed)] > 0:
		s.State = scheduler.JobFailed
	case count[string(scheduler.JobKilled)] > 0:
		s.State = scheduler.JobKilled
	default:
		reason, err := r.Stopped(ctx, c.ID)
		if err != nil {
			return s, err
		}
		if s.Interrupted = reason == "" || s.unfinished(); !s.Interrupted {
			s.State, s.between = scheduler.JobKilled, true
		}
	}
	if !s.State.Final() {
		s.Ended = time.Time{}
	}
	return s, nil
}

// unfinished reports whether a job was begun that is not over.
func (s ChainStatus) unfinished() bool {
	return slices.ContainsFunc(s.Jobs, func(l LinkStatus) bool {
		return l.State != Waiting && !scheduler.JobState(l.State).Final()
	})
}

func (s *ChainStatus) add(one LinkStatus) {
	s.Jobs = append(s.Jobs, one)
	if s.Started.IsZero() || !one.Started.IsZero() && one.Started.Before(s.Started) {
		s.Started = one.Started
	}
	if one.Ended.After(s.Ended) {
		s.Ended = one.Ended
	}
}

// Kill ends a chain: the job that runs is killed, and no other is begun.
func (r Chains) Kill(ctx context.Context, c Chain, reason string) (ChainStatus, error) {
	s, err := r.Status(ctx, c)
	if err != nil {
		return s, err
	}
	if s.State.Final() {
		return s, say.Errorf(errs.Invalid, "chain %s is over already: %s", c.ID, s.State)
	}
	if s.Interrupted && !s.unfinished() {
		return s, say.Errorf(errs.Invalid, "nothing of chain %s runs, and nothing will unless somebody says "+
			"runner resume %s", c.ID, Short(c.ID))
	}
	if err := put(ctx, r.Coord, stopKey(c.ID), []byte(reason)); err != nil {
		return s, err
	}
	for {
		if err := r.killBegun(ctx, c, reason); err != nil {
			return s, err
		}
		lease, err := hold(ctx, r.Coord, c.ID, r.Leases)
		if err == nil {
			return r.killed(ctx, c, lease)
		}
		if errs.KindOf(err) != errs.Exist {
			return s, err
		}
	}
}

// killed returns how a chain stands that nobody runs any more, since its lease is this one, and releases it.
func (r Chains) killed(ctx context.Context, c Chain, lease coord.Lease) (ChainStatus, error) {
	s, err := r.status(ctx, c, false)
	if err == nil && !s.between {
		err = put(ctx, r.Coord, stopKey(c.ID), nil)
	}
	return s, errors.Join(err, lease.Release(context.WithoutCancel(ctx)))
}

// killBegun kills the jobs of a chain that were begun and are not over. One that is about to be over, or has no
// application master at the moment, may get away.
func (r Chains) killBegun(ctx context.Context, c Chain, reason string) error {
	for place := range c.Links {
		_, last, err := r.lastTry(ctx, c, place)
		if err != nil {
			return err
		}
		if last.Job == "" || last.State.Final() {
			continue
		}
		job, err := r.At.Jobs().Get(ctx, last.Job)
		if err == nil {
			_, err = r.At.Kill(ctx, job, reason)
		}
		switch errs.KindOf(err) {
		case errs.Invalid, errs.Unavailable, errs.Exist:
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
