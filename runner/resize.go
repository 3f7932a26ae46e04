package main

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

type resizeOptions struct {
	executors int
	json      bool
}

func (o *resizeOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, "What it may use", func(f *pflag.FlagSet) {
		f.IntVar(&o.executors, "executors", 0, "`N` processes from now on, instead of those that it has")
	})
	addJSON(flags, &o.json)
}

func newResize(p *program) *cobra.Command {
	var o resizeOptions
	cmd := verb{
		use:  "resize ID --executors N [flags]",
		does: "Gives a running job more executors, or fewer.",
		more: "Executors that are too many get nothing new, and leave when they are done. The workers of a training move\n" +
			"between two iterations, to executors that come or away from those that leave, and its model is the same to\n" +
			"the bit; each of them, and the master, needs a core (--cpu) of an executor.",
		examples: []string{
			"runner resize 7k2f --executors 8", "runner resize 7k2f-churn --executors 2",
			"runner resize 7k2f --executors 3 --json",
		},
	}.ofJob(p, func(ctx context.Context, at place, job scheduler.Job) error { return p.resize(ctx, o, at, job) })
	o.AddFlags(cmd.Flags())
	return cmd
}

// resizer is the ability of a place to change the number of a job's executors.
type resizer interface {
	// Resize gives a running job so many executors.
	Resize(ctx context.Context, job scheduler.Job, executors int) error
}

// patience is how long an application master may be away: one that ends is replaced.
const patience = 15 * time.Second

func (p *program) resize(ctx context.Context, o resizeOptions, at place, job scheduler.Job) error {
	if o.executors < 1 {
		return say.Errorf(errs.Invalid, "how many executors is job %s to have? Say --executors N", job.ID)
	}
	jobs, ok := at.(resizer)
	if !ok {
		return say.Errorf(errs.Unsupported, "jobs keep their executors there")
	}
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxElapsedTime(patience))
	err := backoff.Retry(func() error {
		err := jobs.Resize(ctx, job, o.executors)
		if err != nil && !errs.Retryable(err) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(wait, ctx))
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(p.out, map[string]any{"job": job.ID, "executors": o.executors})
	}
	_, err = fmt.Fprintf(p.out, "%s has %s from now on\n", job.ID, format.Plural(int64(o.executors), "executor"))
	return err
}
