package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
)

type resumeOptions struct {
	watch  watchOptions
	detach bool
}

func (o *resumeOptions) AddFlags(flags *pflag.FlagSet) {
	o.watch.AddFlags(flags)
	grouped(flags, tellGroup, func(f *pflag.FlagSet) {
		f.BoolVar(&o.detach, "detach", false, "print the id and leave the job running")
	})
}

func newResume(p *program) *cobra.Command {
	var o resumeOptions
	cmd := verb{
		use:      "resume ID [flags]",
		does:     "Goes on with a job that was cut off, and waits for it.",
		more:     "Tasks that were finished are kept; what was running runs again.",
		examples: []string{"runner resume 7k2f", "runner resume 7k2f --detach", "runner resume 7k2f --json"},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 1, "the ID of a job"); err != nil {
			return err
		}
		return p.resume(cmd.Context(), o, args[0])
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

func (p *program) resume(ctx context.Context, o resumeOptions, id string) error {
	home, err := embedded.OpenHome()
	if err != nil {
		return err
	}
	job, err := home.Jobs().Find(ctx, id)
	if err != nil {
		return err
	}
	s, err := home.Status(ctx, job)
	if err != nil {
		return err
	}
	if s.State.Final() {
		return say.Errorf(errs.Invalid, "job %s is over: %s. Run it again under a new id with `runner run`", job.ID, s.State)
	}
	if o.detach {
		return p.detach(home, job, o.watch)
	}
	return p.supervise(ctx, home, job, o.watch)
}
