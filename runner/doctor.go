package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/doctor"
	"github.com/seed3322913c/runner/runner/embedded"
)

type doctorOptions struct {
	json bool
}

func (o *doctorOptions) AddFlags(flags *pflag.FlagSet) { addJSON(flags, &o.json) }

func newDoctor(p *program) *cobra.Command {
	var o doctorOptions
	cmd := verb{
		use:      "doctor [flags]",
		does:     "Checks whether this machine is fit to run jobs, and says what to do.",
		more:     "A line begins with ok, with note for what could be better, or with bad for what keeps jobs from running.",
		examples: []string{"runner doctor", "runner doctor --json", "RUNNER_HOME=/mnt/fast runner doctor"},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		return p.doctor(o)
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

func (p *program) doctor(o doctorOptions) error {
	dir, err := embedded.HomeDir()
	if err != nil {
		return err
	}
	findings := doctor.Examine(dir)
	if o.json {
		if err := writeJSON(p.out, findings); err != nil {
			return err
		}
	}
	bad := 0
	for _, f := range findings {
		if f.Grade == doctor.Bad {
			bad++
		}
		if o.json {
			continue
		}
		line := fmt.Sprintf("%-5s %-10s %s", f.Grade, f.What, f.Says)
		if f.Do != "" {
			line += ": " + f.Do
		}
		fmt.Fprintln(p.out, line)
	}
	if bad > 0 {
		return toldError{errs.Errorf("doctor", errs.Failed, nil, "%d checks failed", bad)}
	}
	return nil
}
