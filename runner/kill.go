package main

import (
	"cmp"
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/runner/embedded"
)

type killOptions struct {
	json bool
}

func (o *killOptions) AddFlags(flags *pflag.FlagSet) { addJSON(flags, &o.json) }

func newKill(p *program) *cobra.Command {
	var o killOptions
	cmd := verb{
		use:      "kill ID [flags]",
		does:     "Ends a job; nothing of its output appears.",
		more:     "A job that is publishing its output already, or is over, is not killed.",
		examples: []string{"runner kill 7k2f", "runner kill 7k2f-wordcount", "runner kill 7k2f --json"},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 1, "the ID of a job"); err != nil {
			return err
		}
		return p.kill(cmd.Context(), o, args[0])
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

func (p *program) kill(ctx context.Context, o killOptions, id string) error {
	home, err := embedded.OpenHome()
	if err != nil {
		return err
	}
	job, err := home.Jobs().Find(ctx, id)
	if err != nil {
		return err
	}
	s, err := home.Kill(ctx, job, "killed by "+cmp.Or(os.Getenv("USER"), "somebody"))
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(p.out, s)
	}
	_, err = fmt.Fprintf(p.out, "%s %s\n", s.Job, s.State)
	return err
}
