package main

import (
	"cmp"
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
)

type killOptions struct {
	json bool
}

func (o *killOptions) AddFlags(flags *pflag.FlagSet) { addJSON(flags, &o.json) }

func newKill(p *program) *cobra.Command {
	var o killOptions
	cmd := verb{
		use:  "kill ID [flags]",
		does: "Ends a job; nothing of its output appears.",
		more: "A job that is publishing its output already, or is over, is not killed. " +
			"Of a chain no more jobs are begun.",
		examples: []string{"runner kill 7k2f", "runner kill 7k2f-wordcount", "runner kill 7k2f --json"},
	}.ofJobOrChain(p, func(ctx context.Context, at place, job scheduler.Job) error {
		return p.kill(ctx, o, at, job)
	}, func(ctx context.Context, at place, chain embedded.Chain) error {
		return p.killChain(ctx, o, at, chain)
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

func (p *program) kill(ctx context.Context, o killOptions, at place, job scheduler.Job) error {
	s, err := at.Kill(ctx, job, killedBy())
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(p.out, s)
	}
	_, err = fmt.Fprintf(p.out, "%s %s\n", s.Job, s.State)
	return err
}

func (p *program) killChain(ctx context.Context, o killOptions, at place, chain embedded.Chain) error {
	s, err := at.Chains().Kill(ctx, chain, killedBy())
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(p.out, s)
	}
	_, err = fmt.Fprintf(p.out, "%s %s\n", s.Chain, s.Word())
	return err
}

// killedBy is the reason that a job has when people ask what became of it.
func killedBy() string { return "killed by " + cmp.Or(os.Getenv("USER"), "somebody") }
