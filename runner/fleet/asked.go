package fleet

import (
	"context"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/cache"
)

// This file is the fleet as verbs see it: all that they want to know or have done about jobs they ask its control for.

// Find returns the one job whose id begins with prefix.
func (f *Fleet) Find(ctx context.Context, prefix string) (scheduler.Job, error) {
	c, err := f.Control()
	if err != nil {
		return scheduler.Job{}, err
	}
	return c.Find(ctx, prefix)
}

// All returns how every job stands, the newest first.
func (f *Fleet) All(ctx context.Context) ([]embedded.Status, error) {
	c, err := f.Control()
	if err != nil {
		return nil, err
	}
	var all []embedded.Status
	for s, err := range c.Jobs(ctx) {
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Ready is how many machines take work, as control sees it.
func (f *Fleet) Ready(ctx context.Context) (int, error) {
	c, err := f.Control()
	if err != nil {
		return 0, err
	}
	list, err := c.Nodes(ctx)
	n := 0
	for _, node := range list.Nodes {
		if node.State == client.Ready {
			n++
		}
	}
	return n, err
}

// Prepare gives a job an id that nobody has, if it has none, and puts the files of this machine that it names into the
// fleet's store.
func (f *Fleet) Prepare(ctx context.Context, resolve store.Resolve, job scheduler.Job) (scheduler.Job, error) {
	if job.ID == "" {
		c, err := f.Control()
		if err != nil {
			return job, err
		}
		if job.ID, err = c.NewID(ctx, job.Name); err != nil {
			return job, err
		}
	}
	return cache.Stage(ctx, resolve, f.store, job)
}

// Submit leaves a job to the fleet, if it is not there already: also one that was cut off, whose finished tasks are
// kept.
func (f *Fleet) Submit(ctx context.Context, job scheduler.Job) error {
	env, err := Given(job)
	if err != nil {
		return err
	}
	c, err := f.Control()
	if err != nil {
		return err
	}
	_, err = c.Submit(ctx, client.Submission{Job: &job, Env: env})
	return err
}

// Supervise leaves a job to the fleet, or takes it up where it is, and watches it to its end. When ctx ends, the job is
// killed, unless it is past the point of no return. Should this process die, the job goes on.
func (f *Fleet) Supervise(ctx context.Context, job scheduler.Job, o embedded.Options) (am.Report, error) {
	work := context.WithoutCancel(ctx)
	c, err := f.Control()
	if err != nil {
		return am.Report{}, err
	}
	if err := f.Submit(work, job); err != nil {
		return am.Report{}, err
	}
	if o.Ready != nil {
		o.Ready()
	}
	if o.Say == nil {
		o.Say = func(string) {}
	}
	defer context.AfterFunc(ctx, func() {
		o.Say("Interrupted: ending the job.")
		if _, err := c.Kill(work, job.ID, "interrupted"); err != nil && errs.KindOf(err) != errs.Invalid { // it is over
			o.Say(say.Sentence(err))
		}
	})()
	seen := teller{options: o}
	for s, err := range c.Events(work, job.ID) {
		if err != nil {
			return seen.last.Report, err
		}
		seen.tell(s)
	}
	if !seen.last.State.Final() {
		return seen.last.Report, say.Errorf(errs.Failed, "job %s has no application master any more: none of %d has come to "+
			"an end. `runner logs %[1]s` says why, `runner resume %[1]s` goes on", job.ID, seen.last.Masters)
	}
	whole, err := c.WholeJob(work, job.ID)
	return whole.Report, err
}

// teller tells people how a job goes on.
type teller struct {
	options embedded.Options
	last    embedded.Status
}

func (t *teller) tell(s embedded.Status) {
	before := t.last
	t.last = s
	if s.State == scheduler.JobQueued {
		if s.Waits != before.Waits && s.Waits != "" {
			t.options.Say("waits in queue " + s.Queue + ": " + s.Waits)
		}
		return
	}
	if before.Masters > 0 && s.Masters > before.Masters {
		t.options.Say("the application master has ended; another one goes on")
	}
	if t.options.Show != nil {
		t.options.Show(s.Report)
	}
}

// Status says how a job stands, with all its attempts.
func (f *Fleet) Status(ctx context.Context, job scheduler.Job) (embedded.Status, error) {
	c, err := f.Control()
	if err != nil {
		return embedded.Status{}, err
	}
	return c.WholeJob(ctx, job.ID)
}

// Kill ends a job, wherever it runs or waits, also when nobody works on it any more.
func (f *Fleet) Kill(ctx context.Context, job scheduler.Job, reason string) (embedded.Status, error) {
	c, err := f.Control()
	if err != nil {
		return embedded.Status{}, err
	}
	return c.Kill(ctx, job.ID, reason)
}

// Resize gives a running job another number of executors.
func (f *Fleet) Resize(ctx context.Context, job scheduler.Job, executors int) error {
	c, err := f.Control()
	if err != nil {
		return err
	}
	return c.Resize(ctx, job.ID, executors)
}

// Lines are the logs of a job on all machines that have some. Names are MACHINE/FILE.
type Lines struct {
	control *client.Client
	job     scheduler.JobID
}

// Lines returns the logs of a job, also of one that is over.
func (f *Fleet) Lines(id scheduler.JobID) (Lines, error) {
	c, err := f.Control()
	return Lines{c, id}, err
}

// List returns the names that there are at the moment.
func (l Lines) List(ctx context.Context) ([]string, error) {
	all, err := l.control.Logs(ctx, l.job)
	var names []string
	for _, log := range all {
		file, machine, _ := strings.Cut(log.Name, "@")
		names = append(names, machine+"/"+file+logSuffix)
	}
	return names, err
}

// Read returns a piece of a log, from a byte on; nothing at its end.
func (l Lines) Read(ctx context.Context, name string, from int64) ([]byte, error) {
	machine, file, _ := strings.Cut(name, "/")
	return l.control.Log(ctx, l.job, strings.TrimSuffix(file, logSuffix)+"@"+machine, from)
}
