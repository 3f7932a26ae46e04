package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/runner/spec"
)

// newSpecHelp is no verb: `runner help spec` shows what a JOB.yaml may say.
func newSpecHelp(p *program) *cobra.Command {
	cmd := &cobra.Command{Use: "spec", Short: "What a JOB.yaml may say.", Hidden: true}
	cmd.SetHelpFunc(func(*cobra.Command, []string) { fmt.Fprint(p.out, spec.Reference()) })
	return cmd
}

// newFunctionHelp is no verb: `runner help function` shows what a function.yaml may say.
func newFunctionHelp(p *program) *cobra.Command {
	cmd := &cobra.Command{Use: "function", Short: "What a function.yaml may say.", Hidden: true}
	cmd.SetHelpFunc(func(*cobra.Command, []string) { fmt.Fprint(p.out, pack.Reference()) })
	return cmd
}
