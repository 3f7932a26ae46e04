package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/schedules"
	"github.com/seed3322913c/runner/runner/spec"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cron"
)

type scheduleOptions struct {
	schedule cron.Schedule
	overlap  string
	replace  bool
	own      ownFleetOptions
}

func (o *scheduleOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, "When", func(f *pflag.FlagSet) {
		f.StringVar(&o.schedule.Cron, "cron", "",
			"`'0 2 * * *'`: minute, hour, day of the month, month, day of the week; or @daily")
		f.StringVar(&o.schedule.Zone, "tz", "", "`ZONE` whose clock is meant, as in Europe/Paris; UTC by default")
		f.DurationVar(&o.schedule.Jitter, "jitter", 0, "`TIME` up to which it fires later, to be out of step with others")
	})
	grouped(flags, "What if", func(f *pflag.FlagSet) {
		f.StringVar(&o.overlap, "overlap", string(cron.Skip),
			"`WAY` if the work before it still runs: skip (the slot), queue, or replace (the work); skip by default")
		f.IntVar(&o.schedule.CatchUp, "catch-up", 1,
			"`N` slots that nobody was there for fire late, the latest ones; 1 by default")
		f.DurationVar(&o.schedule.Wake, "wake", 0,
			"`TIME` for which a cluster's machines run that the cloud starts at the slot since none is there")
		f.BoolVar(&o.replace, "replace", false, "change the schedule if there is one of that name")
	})
	o.own.AddFlags(flags)
}

func newScheduleAdd(p *program, json *bool) *cobra.Command {
	var o scheduleOptions
	cmd := verb{
		use:  "add NAME --cron WHEN [flags] -- run ...",
		does: "Adds a schedule.",
		more: "What follows -- is what would be typed for `runner run`, and is checked now. " +
			"Relative paths are meant from this\n" +
			"folder. Hours that clocks jump over fire after the jump, hours that come twice fire once; those written as * or\n" +
			"*/N fire as often as they come.",
	}.command(func(cmd *cobra.Command, args []string) error {
		name, line, err := splitLine(cmd, args)
		if err != nil {
			return err
		}
		at, end, err := p.open(cmd.Context())
		if err != nil {
			return err
		}
		defer end()
		o.schedule.Name = name
		if err := p.checkWake(cmd.Context(), at, o.schedule); err != nil {
			return err
		}
		if err := addSchedule(cmd.Context(), at, o, line); err != nil {
			return err
		}
		if err := p.wake(cmd.Context(), at); err != nil {
			return err
		}
		v, err := scheduleOf(cmd.Context(), at, name)
		if err != nil {
			return err
		}
		return p.tellSchedule(cmd.Context(), at, v, *json)
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

// splitLine returns a schedule's name and what it runs, of the arguments of add.
func splitLine(cmd *cobra.Command, args []string) (name string, line []string, err error) {
	dash := cmd.ArgsLenAtDash()
	if dash < 0 || dash == len(args) {
		return "", nil, say.Errorf(errs.Invalid, "what shall it run? Say it behind --, as in -- run job.yaml")
	}
	if err := wantArgs(cmd, args[:dash], 1, "the NAME of the schedule"); err != nil {
		return "", nil, err
	}
	if args[dash] != "run" {
		return "", nil, say.Errorf(errs.Invalid, "behind -- stands run and what is to be run, not %q", args[dash])
	}
	return args[0], args[dash:], nil
}

func addSchedule(ctx context.Context, at place, o scheduleOptions, line []string) error {
	s, now := o.schedule, time.Now().UTC()
	s.Overlap, s.Since, s.User = cron.Overlap(o.overlap), now, os.Getenv("USER")
	if s.Cron == "" {
		return say.Errorf(errs.Invalid, "when? Say --cron '0 2 * * *' for two o'clock every night")
	}
	if err := s.Check(now); err != nil {
		return err
	}
	w, err := workOf(ctx, line)
	if err != nil {
		return err
	}
	if w.Fleet, err = o.own.want(at); err != nil {
		return err
	}
	if w.Fleet != nil && w.Chain != nil {
		return say.Errorf(errs.Unsupported, "a file of several jobs can't have a fleet of its own yet; "+
			"schedule its jobs one by one")
	}
	if s, err = withWork(ctx, s, w, checkHere); err != nil {
		return err
	}
	if f, ok := at.(*fleet.Fleet); ok {
		return addToFleet(ctx, f, s, w, !o.replace)
	}
	if o.replace {
		return bookOf(at).Replace(ctx, s)
	}
	err = bookOf(at).Add(ctx, s)
	if errs.KindOf(err) == errs.Exist {
		return say.Errorf(errs.Exist, "there is a schedule %s already. Choose another name or say --replace", s.Name)
	}
	return err
}

// addToFleet ships what a work has on this machine, and asks a fleet's control for its schedule.
func addToFleet(ctx context.Context, f *fleet.Fleet, s cron.Schedule, w schedules.Work, isNew bool) error {
	w, err := shipWork(ctx, f, w)
	if err != nil {
		return err
	}
	c, err := f.Control()
	if err != nil {
		return err
	}
	_, err = c.PutSchedule(ctx, s.Name, client.ScheduleRequest{
		Cron: s.Cron, Zone: s.Zone, Overlap: s.Overlap, CatchUp: &s.CatchUp, Jitter: s.Jitter.Seconds(),
		Wake: s.Wake.Seconds(), Work: &w, User: s.User, New: isNew,
	})
	return err
}

// withWork gives a schedule its work, if nothing is wrong with that as far as it can be known before the first slot.
func withWork(
	ctx context.Context, s cron.Schedule, w schedules.Work, check checkOf,
) (cron.Schedule, error) {
	var err error
	if s.Work, err = w.Encode(); err != nil {
		return s, err
	}
	filled, err := schedules.Fill(s, s.Upcoming(s.Since, 1)[0])
	if err != nil {
		return s, err
	}
	return s, checkScheduled(ctx, w, filled, check)
}

// compileSchedule gives a schedule that came over the API its work, of a specification. Its paths must be absolute.
func compileSchedule(ctx context.Context, s cron.Schedule, text []byte) (cron.Schedule, error) {
	specs, err := spec.Parse("the specification", text)
	if err != nil {
		return s, err
	}
	if len(specs) != 1 {
		return s, say.Errorf(errs.Unsupported, "%d jobs in one schedule; schedule them one by one", len(specs))
	}
	job, err := specs[0].Job("/")
	if err != nil {
		return s, err
	}
	return withWork(ctx, s, schedules.Work{Line: "run " + job.Name + ".yaml", Job: &job}, checkHere)
}

// compileSharedSchedule is compileSchedule for a fleet, whose machines see nothing of each other's files.
func compileSharedSchedule(ctx context.Context, s cron.Schedule, text []byte) (cron.Schedule, error) {
	s, err := compileSchedule(ctx, s, text)
	if err != nil {
		return s, err
	}
	w, err := schedules.WorkOf(s)
	if err != nil {
		return s, err
	}
	return s, onlyShared(*w.Job)
}

// takeSharedWork gives a schedule of a fleet a work that was compiled elsewhere.
func takeSharedWork(ctx context.Context, s cron.Schedule, w schedules.Work) (cron.Schedule, error) {
	switch {
	case (w.Job == nil) == (w.Chain == nil):
		return s, say.Errorf(errs.Invalid, "a schedule's work is either a job or a chain of jobs")
	case w.Fleet != nil:
		return s, say.Errorf(errs.Unsupported, "a fleet's schedule runs on that fleet")
	case w.Chain != nil:
		if err := checkShape(*w.Chain); err != nil {
			return s, err
		}
	}
	for _, job := range w.Jobs() {
		if err := onlyShared(job); err != nil {
			return s, err
		}
	}
	return withWork(ctx, s, w, checkShipped)
}

// checkShape finds what is wrong with a chain that was put together elsewhere, so that it may be of any shape.
func checkShape(c embedded.Chain) error {
	if len(c.Links) == 0 || len(c.Links) > spec.MaxJobs {
		return say.Errorf(errs.Invalid, "a chain has 1 to %d jobs, not %d", spec.MaxJobs, len(c.Links))
	}
	for _, l := range c.Links {
		if _, err := scheduler.ParseJobID("aaaa-" + l.Job.Name); err != nil {
			return say.Errorf(errs.Invalid, "%q is no name of a job", l.Job.Name)
		}
		for _, j := range l.Needs {
			if j < 0 || j >= len(c.Links) {
				return say.Errorf(errs.Invalid, "%s needs job %d of a chain of %d", l.Job.Name, j, len(c.Links))
			}
		}
	}
	if len(spec.Order(c.Needs())) < len(c.Links) {
		return say.Errorf(errs.Invalid, "jobs of the chain need each other in a circle")
	}
	return nil
}

// workOf makes the work of a schedule of what would be typed for `runner run`.
func workOf(ctx context.Context, line []string) (schedules.Work, error) {
	w := schedules.Work{Line: strings.Join(line, " ")}
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	var o runOptions
	o.addJob(flags)
	if err := flags.Parse(spreadWords(line[1:], "--input")); err != nil {
		return w, say.Errorf(errs.Invalid,
			"%s; behind -- stands what `runner help run` has, without where and how it is told",
			strings.ReplaceAll(err.Error(), "\"", ""))
	}
	if flags.NArg() != 1 {
		return w, say.Errorf(errs.Invalid, "run needs a JOB.yaml, the NAME of a job, or a ./binary, and nothing else")
	}
	what := flags.Arg(0)
	specs, err := specsOf(ctx, what, o.function)
	if err != nil {
		return w, err
	}
	if len(specs) > 1 {
		chain, err := chainOf(o.spec, specs)
		w.Chain = &chain
		return w, err
	}
	if err := o.spec.Apply(&specs[0]); err != nil {
		return w, err
	}
	fillPlaces(&specs[0], what)
	dir, err := os.Getwd()
	if err != nil {
		return w, errs.E("schedule", errs.Other, nil, err)
	}
	job, err := specs[0].Job(dir)
	w.Job = &job
	return w, err
}

// shipWork puts where a fleet finds it what a work has on this machine.
func shipWork(ctx context.Context, f *fleet.Fleet, w schedules.Work) (schedules.Work, error) {
	ship := func(job *scheduler.Job) (err error) {
		if err := onlyShared(*job); err != nil {
			return err
		}
		*job, err = f.Ship(ctx, *job)
		return err
	}
	if w.Job != nil {
		return w, ship(w.Job)
	}
	for i := range w.Chain.Links {
		if err := ship(&w.Chain.Links[i].Job); err != nil {
			return w, say.Errorf(errs.KindOf(err), "%s: %s", w.Chain.Links[i].Job.Name, say.Sentence(err))
		}
	}
	return w, nil
}

// checkScheduled finds what can be known to be wrong before the first slot, for which filled is the work. What it reads
// may come later.
func checkScheduled(ctx context.Context, w, filled schedules.Work, check checkOf) error {
	later := func(ctx context.Context, job scheduler.Job, _ func(string) bool) error {
		return check(ctx, job, func(string) bool { return true })
	}
	if err := checkWork(ctx, filled, later); err != nil {
		return err
	}
	for i, job := range filled.Jobs() {
		if out := w.Jobs()[i].Output; out == job.Output && !job.Overwrite {
			return say.Errorf(errs.Invalid, "each firing would write %s, and only the first one could. "+
				"Write --output '%[1]s/{{.FireTime}}', or --overwrite", say.Path(out))
		}
	}
	return nil
}

// checkWork finds what is wrong with a work that is about to start.
func checkWork(ctx context.Context, w schedules.Work, check checkOf) error {
	if w.Chain != nil {
		return checkChain(ctx, *w.Chain, check)
	}
	return say.Usage(check(ctx, *w.Job, nil))
}

func newScheduleServe(p *program) *cobra.Command {
	return ofSchedules(p, verb{
		use: "serve", does: "Fires this machine's schedules until it is interrupted. The jobs go on.",
	}, func(ctx context.Context, at place) error {
		home, ok := at.(*embedded.Home)
		if !ok {
			return say.Errorf(errs.Unsupported, "a cluster's schedules are fired by its control")
		}
		fmt.Fprintln(p.err, "Firing schedules   (Ctrl-C ends this, not the jobs)")
		return toldError{fireSchedules(ctx, home, p.complain)} // who has ended it knows
	})
}

// fireSchedules fires a home's schedules, if nobody else does, until ctx ends.
func fireSchedules(ctx context.Context, home *embedded.Home, onError func(error)) error {
	at := *home
	at.Resolve = newResolver("")
	works := schedules.Works{
		At: &at, Chains: at.Chains(),
		Check: func(ctx context.Context, w schedules.Work) error { return checkWork(ctx, w, checkHere) },
		Start: func(_ context.Context, id scheduler.JobID) error { return background(home, id) },
	}
	return cron.Serve(ctx, bookOf(home), home.Coord, works, cron.Options{OnError: onError})
}

// complain tells of trouble that will be looked at again.
func (p *program) complain(err error) { fmt.Fprintln(p.err, "runner: "+say.Sentence(err)) }
