package main

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

type resumeOptions struct {
	watch    watchOptions
	detach   bool
	parallel int
}

func (o *resumeOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, "What it may use", func(f *pflag.FlagSet) { addParallel(f, &o.parallel) })
	o.watch.AddFlags(flags)
	grouped(flags, tellGroup, func(f *pflag.FlagSet) {
		f.BoolVar(&o.detach, "detach", false, "print the id and leave the job running")
	})
}

func newResume(p *program) *cobra.Command {
	var o resumeOptions
	cmd := verb{
		use:  "resume ID [flags]",
		does: "Goes on with a job that was cut off, and waits for it.",
		more: "Tasks that were finished are kept; what was running runs again.\n" +
			"Of a chain the jobs that have succeeded are kept, and those that have failed are tried again.",
		examples: []string{"runner resume 7k2f", "runner resume 7k2f --detach", "runner resume 7k2f --json"},
	}.ofJobOrChain(p, func(ctx context.Context, at place, job scheduler.Job) error {
		return p.resume(ctx, o, at, job)
	}, func(ctx context.Context, at place, chain embedded.Chain) error {
		if o.parallel < 0 || o.parallel > 0 && o.detach {
			return say.Errorf(errs.Invalid, "--parallel wants a number of jobs, and does not go with --detach")
		}
		if o.detach {
			return p.detach(at, chain.ID, o.watch)
		}
		chain.Parallel = cmp.Or(o.parallel, chain.Parallel)
		return p.superviseChain(ctx, at, chain, chainOptions{watch: o.watch})
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

func (p *program) resume(ctx context.Context, o resumeOptions, at place, job scheduler.Job) error {
	s, err := at.Status(ctx, job)
	if err != nil {
		return err
	}
	if s.State.Final() {
		return say.Errorf(errs.Invalid, "job %s is over: %s. Run it again under a new id with `runner run`", job.ID, s.State)
	}
	if o.detach {
		return p.leaveTo(ctx, at, job, o.watch)
	}
	return p.supervise(ctx, at, job, o.watch)
}
