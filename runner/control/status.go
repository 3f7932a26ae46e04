package control

import (
	"context"
	"iter"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// Status says how a job stands.
func (s *Server) Status(ctx context.Context, job scheduler.Job) (embedded.Status, error) {
	l, err := s.leading()
	if err != nil {
		return embedded.Status{}, err
	}
	var status embedded.Status
	if t, ok := s.cfg.Fleet.(Teller); ok {
		status, err = t.Standing(ctx, job)
	} else {
		status.Output = job.Output
		status.Report, err = am.Load(ctx, s.cfg.Store, job)
	}
	if err == nil {
		l.place(&status)
	}
	return status, err
}

// place adds to how a job stands what is known of it in its queue.
func (l *leader) place(status *embedded.Status) {
	t := l.turn(status.Job)
	if status.State.Final() || !t.there {
		return
	}
	status.Waits, status.Queue, status.Interrupted = t.waits, t.queue, false
	if !t.begun {
		status.State = scheduler.JobQueued
	}
}

// turn is how a job stands in its queue.
type turn struct {
	there bool // it is not over
	queue string
	waits string // for what
	begun bool   // its application master was started
}

func (l *leader) turn(id scheduler.JobID) turn {
	e, there := l.entry(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.mu.herd[id]
	return turn{there, e.Queue, l.mu.waits[id], e.Running() && h != nil && h.begun()}
}

// tell wakes those who wait for the turns of jobs.
func (l *leader) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.mu.news)
	l.mu.news = make(chan struct{})
}

// awaitTurn returns when a job's turn is not what it was before, or another control leads, or ctx ends. Who waits costs
// nothing: there may be hundreds.
func (s *Server) awaitTurn(ctx context.Context, id scheduler.JobID, before turn) error {
	for {
		s.mu.Lock()
		l, changed := s.mu.lead, s.mu.changed
		s.mu.Unlock()
		if l == nil {
			return nil
		}
		l.mu.Lock()
		news := l.mu.news
		l.mu.Unlock()
		if l.turn(id) != before {
			return nil
		}
		select {
		case <-news:
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// whileThere returns a context that ends when a job has left its queue, or this control leads no more. Of one whose last
// application master was killed nobody else would tell the end.
func (s *Server) whileThere(ctx context.Context, id scheduler.JobID) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for {
			l, err := s.leading()
			if err != nil {
				return
			}
			now := l.turn(id)
			if !now.there || s.awaitTurn(ctx, id, now) != nil {
				return
			}
		}
	}()
	return ctx, cancel
}

// begun reports whether the job's application master was started.
func (h *herded) begun() bool {
	select {
	case <-h.launched:
		return true
	default:
		return false
	}
}

// Reporter tells how jobs go on. A Fleet may be one; otherwise jobs are looked at again and again.
type Reporter interface {
	// Reports yields what a job's application master says, now and at each change, until it ends or is replaced.
	Reports(ctx context.Context, id scheduler.JobID) iter.Seq2[am.Report, error]
}

// lookAgain is how often a job is looked at of which nobody tells.
const lookAgain = 100 * time.Millisecond

// Watch yields how a job stands, now and at each change, until it is over or was cut off, or this control leads no
// more.
func (s *Server) Watch(ctx context.Context, job scheduler.Job) iter.Seq2[embedded.Status, error] {
	return func(yield func(embedded.Status, error) bool) {
		for {
			var before turn
			if l, err := s.leading(); err == nil {
				before = l.turn(job.ID)
			}
			status, err := s.Status(ctx, job)
			if !yield(status, err) || err == nil && (status.State.Final() || status.Interrupted) {
				return
			}
			ended := false
			if r, ok := s.cfg.Fleet.(Reporter); ok && err == nil && status.State != scheduler.JobQueued {
				there, cancel := s.whileThere(ctx, job.ID)
				ended, ok = s.reports(r.Reports(there, job.ID), status, yield)
				if cancel(); !ok {
					return
				}
			}
			if _, err := s.leading(); err != nil {
				return
			}
			switch {
			case ended: // what it has left says the rest
				err = ctx.Err()
			case err == nil && before.there && !before.begun:
				err = s.awaitTurn(ctx, job.ID, before)
			default:
				err = pause(ctx, lookAgain)
			}
			if err != nil { // nobody wants to know more
				return
			}
		}
	}
}

// reports yields what an application master says, which is put into status. ended: it said that the job is over; ok is
// false if nobody wants to know more.
func (s *Server) reports(
	all iter.Seq2[am.Report, error], status embedded.Status, yield func(embedded.Status, error) bool,
) (ended, ok bool) {
	for report, err := range all {
		l, lost := s.leading()
		if err != nil || lost != nil {
			return false, true
		}
		if report.State.Final() {
			return true, true
		}
		status.Report = report
		l.place(&status)
		if !yield(status, nil) {
			return false, false
		}
	}
	return false, true
}

// Resizer gives jobs another number of executors. A Fleet may be one.
type Resizer interface {
	// SetExecutors asks the application master of a job that works.
	SetExecutors(ctx context.Context, id scheduler.JobID, executors int) error
}

// Resize gives a running job another number of executors.
func (s *Server) Resize(ctx context.Context, job scheduler.Job, executors int) error {
	status, err := s.Status(ctx, job)
	if err != nil {
		return err
	}
	if err := status.Works(); err != nil {
		return err
	}
	r, ok := s.cfg.Fleet.(Resizer)
	if !ok {
		return say.Errorf(errs.Unsupported, "jobs of this fleet keep their executors")
	}
	return r.SetExecutors(ctx, job.ID, executors)
}
