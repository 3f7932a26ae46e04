package embedded

import (
	"context"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// Status is how a job stands.
type Status struct {
	am.Report
	Output      string `json:"output"`
	Chain       string `json:"chain,omitempty"`       // the chain that it is a job of
	Interrupted bool   `json:"interrupted,omitempty"` // unfinished, and no process works on it
	Queue       string `json:"queue,omitempty"`       // of a fleet, while the job is not over
	Waits       string `json:"waits,omitempty"`       // for what, in a sentence: to begin, or for more executors
}

// Word is the state as people read it.
func (s Status) Word() string { return word(s.State, s.Interrupted) }

func word(state scheduler.JobState, interrupted bool) string {
	if interrupted {
		return "INTERRUPTED"
	}
	return string(state)
}

// reply is how long an application master may take to answer.
const reply = 2 * time.Second

// Status asks the job's application master, or, if there is none, reads what it has left.
func (h *Home) Status(ctx context.Context, job scheduler.Job) (Status, error) {
	report, err := am.Load(ctx, h.Store, job)
	if err != nil {
		return Status{}, err
	}
	s := Status{Report: report, Output: job.Output, Chain: job.Labels[ChainLabel]}
	if report.State.Final() {
		return s, nil
	}
	alive, err := h.supervised(ctx, job.ID)
	if err != nil {
		return s, err
	}
	if !alive {
		s.Interrupted = true
		// It may have ended between the two looks.
		if s.Report, err = am.Load(ctx, h.Store, job); err == nil {
			s.Interrupted = !s.State.Final()
		}
		return s, err
	}
	if away(job) {
		s.State, s.Message = scheduler.JobRunning, "on a fleet of its own"
		return s, nil
	}
	if live, err := h.ask(ctx, job.ID); err == nil {
		s.Report = live // else one is being started or replaced, and the store knows best
	}
	return s, nil
}

// ask returns the report of the job's application master.
func (h *Home) ask(ctx context.Context, id scheduler.JobID) (am.Report, error) {
	client, err := h.dial(ctx, id)
	if err != nil {
		return am.Report{}, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, reply)
	defer cancel()
	return client.Status(ctx)
}

// dial connects to the job's application master with the secret of its session. It does not wait long for one: there
// may be none for a while, or never again.
func (h *Home) dial(ctx context.Context, id scheduler.JobID) (*am.Client, error) {
	secret, err := h.Coord.Get(ctx, secretKey(id))
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, reply)
	defer cancel()
	client, err := am.Dial(limited, h.Coord, id, string(secret.Data))
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return nil, say.Errorf(errs.Unavailable, "job %s has no application master at the moment. Try again", id)
	}
	return client, err
}

// Kill ends a job, wherever it runs, also when nobody works on it any more.
func (h *Home) Kill(ctx context.Context, job scheduler.Job, reason string) (Status, error) {
	s, err := h.Status(ctx, job)
	switch {
	case err != nil:
		return s, err
	case s.State.Final():
		return s, say.Errorf(errs.Invalid, "job %s is over already: %s", job.ID, s.State)
	case s.Interrupted:
		s.Report, err = h.Supervise(ctx, job, Options{Kill: reason})
		if errs.KindOf(err) == errs.Exist {
			return h.Kill(ctx, job, reason) // somebody has just begun to work on it
		}
		return s, err
	}
	if away(job) {
		return h.killAway(ctx, job, reason)
	}
	client, err := h.dial(ctx, job.ID)
	if err != nil {
		return s, err
	}
	defer client.Close()
	if err := client.Kill(ctx, reason); err != nil {
		return s, err
	}
	return h.Status(ctx, job)
}

// Resize gives a running job another number of executors.
func (h *Home) Resize(ctx context.Context, job scheduler.Job, executors int) error {
	s, err := h.Status(ctx, job)
	if err != nil {
		return err
	}
	if err := s.Works(); err != nil {
		return err
	}
	client, err := h.dial(ctx, job.ID)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Resize(ctx, executors)
}

// Works fails, in a sentence, if nobody works on the job.
func (s Status) Works() error {
	switch {
	case s.State.Final():
		return say.Errorf(errs.Invalid, "job %s is over already: %s", s.Job, s.State)
	case s.Interrupted:
		return say.Errorf(errs.Invalid, "nobody works on job %s, which was cut off; `runner resume %[1]s` goes on with it",
			s.Job)
	}
	return nil
}
