package fleet

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// reply is how long an application master may take to answer.
const reply = 2 * time.Second

// follow watches a job until it is over, and returns the report that will stay. When stop is closed, the job is killed.
func (f *Fleet) follow(ctx context.Context, job scheduler.Job, o embedded.Options, stop <-chan struct{}) (am.Report,
	error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return f.guard(ctx, job, o) })
	var report am.Report
	all.Go(func() (err error) {
		defer cancel()
		report, err = f.watch(ctx, job, o, stop)
		return err
	})
	return report, all.Wait()
}

func (f *Fleet) watch(ctx context.Context, job scheduler.Job, o embedded.Options, stop <-chan struct{}) (am.Report,
	error) {
	client, err := f.dial(ctx, job)
	if err != nil || client == nil {
		return f.last(ctx, job, err)
	}
	defer client.Close()
	go f.killWhenTold(ctx, client, o, stop)
	for report, err := range client.Watch(ctx) {
		if errs.KindOf(err) == errs.NotFound {
			break // it is over, and its master gone
		}
		if err != nil {
			return report, err
		}
		if o.Show != nil {
			o.Show(report)
		}
	}
	return f.last(ctx, job, nil)
}

// last is the report of a job that is over.
func (f *Fleet) last(ctx context.Context, job scheduler.Job, err error) (am.Report, error) {
	if err != nil {
		return am.Report{}, err
	}
	report, err := am.Load(ctx, f.store, job)
	if err == nil && !report.State.Final() {
		err = errs.Errorf("fleet.Supervise", errs.Internal, job.ID, "the application master left the job %s", report.State)
	}
	return report, err
}

// dial waits for the job's application master, or until the job is over: then there is none.
func (f *Fleet) dial(ctx context.Context, job scheduler.Job) (*am.Client, error) {
	for {
		client, err := f.ask(ctx, job.ID)
		if err == nil || ctx.Err() != nil || errs.KindOf(err) != errs.Unavailable {
			return client, err
		}
		report, err := am.Load(ctx, f.store, job)
		if err != nil || report.State.Final() {
			return nil, err
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

// guard returns when the application master will not run again: nil if it ended content, or ctx has ended.
func (f *Fleet) guard(ctx context.Context, job scheduler.Job, o embedded.Options) error {
	for ctx.Err() == nil {
		for event, err := range f.launcher.Watch(ctx, group(job.ID, masterRole)) {
			switch {
			case err != nil: // a server is replaced, or ctx has ended
			case event.State == launch.Done:
				return nil
			case event.State == launch.Exited && o.Say != nil:
				o.Say("the application master " + event.Exit.String() + "; another one goes on")
			case event.State == launch.Failed:
				return say.Errorf(errs.Failed, "job %s has no application master any more: the last of %d %s. "+
					"`runner logs %[1]s` says why, `runner resume %[1]s` goes on", job.ID, job.Retry.Job, event.Exit)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// killWhenTold kills the job when somebody wants that; it ends with ctx.
func (f *Fleet) killWhenTold(ctx context.Context, client *am.Client, o embedded.Options, stop <-chan struct{}) {
	reason := o.Kill
	if reason == "" {
		select {
		case <-stop:
			reason = "interrupted"
			if o.Say != nil {
				o.Say("Interrupted: ending the job.")
			}
		case <-ctx.Done():
			return
		}
	}
	if err := client.Kill(ctx, reason); err != nil && ctx.Err() == nil && o.Say != nil {
		o.Say(say.Sentence(err))
	}
}

// Standing asks the job's application master, or, if there is none, reads what it has left. Of a queue it knows nothing.
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

// Resize gives a running job another number of executors.
func (f *Fleet) Resize(ctx context.Context, job scheduler.Job, executors int) error {
	s, err := f.Status(ctx, job)
	if err != nil {
		return err
	}
	if err := s.Works(); err != nil {
		return err
	}
	client, err := f.ask(ctx, job.ID)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Resize(ctx, executors)
}
