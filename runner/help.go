package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
)

// flagGroup is the annotation of a flag that says under which title help shows it.
const flagGroup = "group"

// grouped puts every flag that add defines under a title of the help.
func grouped(flags *pflag.FlagSet, title string, add func(*pflag.FlagSet)) {
	of := pflag.NewFlagSet(title, pflag.ContinueOnError)
	of.SortFlags = false
	add(of)
	of.VisitAll(func(f *pflag.Flag) {
		f.Annotations = map[string][]string{flagGroup: {title}}
		flags.AddFlag(f)
	})
}

// newHelp makes `runner help [VERB [COMMAND]]`.
func newHelp(root *cobra.Command) *cobra.Command {
	return verb{use: "help", does: "Lists all verbs, or explains one.", hidden: true}.command(
		func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return say.Errorf(errs.Invalid, "there is no help on %q.%s `runner help` lists all verbs",
					strings.Join(args, " "), say.DidYouMean(args[len(args)-1], verbNames(cmd)))
			}
			return cmd.Help()
		})
}

// help is the text of `runner help VERB`.
func help(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n  runner %s\n", cmd.Short, form(cmd))
	if cmd.Long != "" {
		fmt.Fprintf(&b, "\n%s\n", cmd.Long)
	}
	if cmd.Example != "" {
		b.WriteString("\nExamples\n")
		for line := range strings.Lines(cmd.Example + "\n") {
			b.WriteString("  " + line)
		}
	}
	writeCommands(&b, cmd)
	writeFlags(&b, cmd.LocalFlags())
	fmt.Fprintf(&b, "\nExit codes\n  %s\n", say.ExitCodes)
	return b.String()
}

// form is how a verb is typed, with the verb that it is a command of.
func form(cmd *cobra.Command) string {
	if up := cmd.Parent(); up != nil && up.Name() != "runner" {
		return up.Name() + " " + cmd.Use
	}
	return cmd.Use
}

// writeCommands lists the commands of a family.
func writeCommands(b *strings.Builder, cmd *cobra.Command) {
	if cmd.HasParent() && cmd.HasSubCommands() {
		b.WriteString("\nCommands\n")
		for _, c := range cmd.Commands() {
			if !c.Hidden {
				fmt.Fprintf(b, "  %-10s %s\n", c.Name(), c.Short)
			}
		}
	}
}

// writeFlags lists flags by group, in the order in which they were defined.
func writeFlags(b *strings.Builder, flags *pflag.FlagSet) {
	title := ""
	flags.VisitAll(func(f *pflag.Flag) {
		of, ok := f.Annotations[flagGroup]
		if !ok || f.Hidden {
			return // --help, which whoever reads this has found
		}
		if of[0] != title {
			title = of[0]
			fmt.Fprintf(b, "\n%s\n", title)
		}
		value, usage := pflag.UnquoteUsage(f)
		if value != "" {
			value = " " + value
		}
		name := "--" + f.Name + value
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		fmt.Fprintf(b, "  %-20s %s\n", name, usage)
	})
}

// matter are the verbs that people need first, in the order in which they meet them.
var matter = [...]string{"demo", "run", "status", "logs", "kill", "ui", "invoke", "schedule", "deploy", "teardown"}

// firstPage is what `runner` alone shows.
func firstPage(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("runner runs batch jobs on this machine, without any set-up, or on a fleet of machines.\n\n")
	for _, name := range matter {
		if v, _, err := root.Find([]string{name}); err == nil {
			writeVerb(&b, v)
		}
	}
	b.WriteString("\n`runner help` lists all verbs, and `runner help VERB` says more, with examples.\n")
	return b.String()
}

// contentsPage is what `runner help` shows.
func contentsPage(contents []chapter) string {
	var b strings.Builder
	for _, c := range contents {
		fmt.Fprintf(&b, "%s\n", c.title)
		for _, v := range c.verbs {
			writeVerb(&b, v)
		}
		b.WriteByte('\n')
	}
	b.WriteString("`runner help VERB` says more, with examples. Every verb knows --json.\n")
	return b.String()
}

func writeVerb(b *strings.Builder, v *cobra.Command) {
	fmt.Fprintf(b, "  %-9s %s\n", v.Name(), v.Short)
}
