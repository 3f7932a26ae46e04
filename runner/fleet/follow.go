package fleet

import (
	"context"
	"iter"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// reply is how long an application master may take to answer.
const reply = 2 * time.Second

// Reports yields what a job's application master says, now and at each change, until it ends or cannot be reached. It
// is for control.
func (f *Fleet) Reports(ctx context.Context, id scheduler.JobID) iter.Seq2[am.Report, error] {
	return func(yield func(am.Report, error) bool) {
		master, err := f.ask(ctx, id)
		if err != nil {
			yield(am.Report{}, err)
			return
		}
		defer master.Close()
		for report, err := range master.Watch(ctx) {
			if !yield(report, err) || err != nil {
				return
			}
		}
	}
}

// ask connects to the job's application master. It does not wait long for one.
func (f *Fleet) ask(ctx context.Context, id scheduler.JobID) (*am.Client, error) {
	v, err := f.coord.Get(ctx, grantKey(id))
	if err != nil {
		return nil, err
	}
	g, err := parseGrant(v.Data)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, reply)
	defer cancel()
	client, err := am.Dial(limited, f.coord, id, g.Secret)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return nil, say.Errorf(errs.Unavailable, "job %s has no application master at the moment. Try again", id)
	}
	return client, err
}

// lookAgain is how long after the end of an application master it is asked again whether another one is to come.
const lookAgain = 100 * time.Millisecond

// guard returns when the application master will not run again. It fails if the last one did not end content.
func (f *Fleet) guard(ctx context.Context, job scheduler.Job) error {
	id := group(job.ID, masterRole)
	events, done := f.masters.follow(ctx, id)
	defer done()
	var latest launch.Event
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case latest = <-events:
		case <-again:
		}
		if latest.State != launch.Done && latest.State != launch.Failed {
			continue
		}
		// A job that was cut off and goes on has the end of its earlier master until Nomad has placed the next one.
		alive, err := f.launcher.Alive(ctx, id)
		switch {
		case err != nil:
			return err
		case alive:
			again = time.After(lookAgain)
		case latest.State == launch.Done:
			return nil
		default:
			return errs.Errorf("fleet.Await", errs.Failed, job.ID, "its last application master %s", latest.Exit)
		}
	}
}

// Standing asks the job's application master, or, if there is none, reads what it has left. Of a queue it knows
// nothing.
func (f *Fleet) Standing(ctx context.Context, job scheduler.Job) (embedded.Status, error) {
	report, err := am.Load(ctx, f.store, job)
	s := embedded.Status{Report: report, Output: job.Output, Chain: job.Labels[embedded.ChainLabel]}
	if err != nil || report.State.Final() {
		return s, err
	}
	alive, err := f.launcher.Alive(ctx, group(job.ID, masterRole))
	if err != nil {
		return s, err
	}
	if !alive {
		// It may have ended between the two looks.
		s.Report, err = am.Load(ctx, f.store, job)
		s.Interrupted = err == nil && !s.State.Final()
		return s, err
	}
	client, err := f.ask(ctx, job.ID)
	if err != nil {
		return s, nil // one is being started or replaced, and the store knows best
	}
	defer client.Close()
	limited, cancel := context.WithTimeout(ctx, reply)
	defer cancel()
	if live, err := client.Status(limited); err == nil {
		s.Report = live
	}
	return s, nil
}

// SetExecutors asks a job's application master for another number of executors. It is for control.
func (f *Fleet) SetExecutors(ctx context.Context, id scheduler.JobID, executors int) error {
	master, err := f.ask(ctx, id)
	if err != nil {
		return err
	}
	defer master.Close()
	return master.Resize(ctx, executors)
}
