package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/nearest"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

// program is what verbs use of their surroundings. Standard output is the answer, standard error is the story.
type program struct {
	out     io.Writer
	err     io.Writer
	cluster string // the fleet that was asked for; "" for what the environment says
}

// verb describes one verb for people; from it come its help and docs/cli.md.
type verb struct {
	use      string   // the form: "kill ID [flags]"
	does     string   // one sentence
	more     string   // what else is good to know, in a few lines
	examples []string // three command lines
	hidden   bool     // the system starts it, people do not
}

// command makes the command of a verb. Arguments are checked by action.
func (v verb) command(action func(cmd *cobra.Command, args []string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: v.use, Short: v.does, Long: v.more, Example: strings.Join(v.examples, "\n"), Hidden: v.hidden,
		Args: cobra.ArbitraryArgs, RunE: action, DisableFlagsInUseLine: true,
	}
	cmd.Flags().SortFlags = false // in the order in which they are defined, which has a reason
	return cmd
}

// family makes a verb that is the first word of several commands, which are added to it and which its help lists.
func (v verb) family() *cobra.Command {
	return v.command(func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return say.Errorf(errs.Invalid, "%s needs a command; see `runner help %[1]s`", cmd.Name())
		}
		return say.Errorf(errs.Invalid, "%s has no command %q.%s `runner help %[1]s` lists them", cmd.Name(), args[0],
			say.DidYouMean(args[0], verbNames(cmd)))
	})
}

// onJob and onChain are what a verb does to a job, and to a chain of them.
type (
	onJob   func(ctx context.Context, at place, job scheduler.Job) error
	onChain func(ctx context.Context, at place, chain embedded.Chain) error
)

// ofJob makes the command of a verb whose one argument is a job's id, or as much of its beginning as no other job has.
func (v verb) ofJob(p *program, action onJob) *cobra.Command {
	return v.ofJobOrChain(p, action, func(_ context.Context, _ place, chain embedded.Chain) error {
		return say.Errorf(errs.Invalid, "%s is a chain of %d jobs; say the ID of one of them. "+
			"`runner status %[1]s` lists them", chain.ID, len(chain.Links))
	})
}

// ofJobOrChain is ofJob for a verb that takes a chain's id too.
func (v verb) ofJobOrChain(p *program, job onJob, chain onChain) *cobra.Command {
	cmd := v.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 1, "the ID of a job"); err != nil {
			return err
		}
		at, end, err := p.open(cmd.Context())
		if err != nil {
			return err
		}
		defer end()
		c, ok, err := at.Jobs().FindChain(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if ok {
			return chain(cmd.Context(), at, c)
		}
		j, err := findJob(cmd.Context(), at, args[0])
		if err != nil {
			return err
		}
		return job(cmd.Context(), at, j)
	})
	p.addCluster(cmd.Flags())
	return cmd
}

// chapter is a group of verbs in the list of all.
type chapter struct {
	title string
	verbs []*cobra.Command
}

// chapters lists what people type, in the order in which they meet it.
func chapters(p *program) []chapter {
	return []chapter{
		{"Start here", []*cobra.Command{newDemo(p), newDoctor(p)}},
		{"Jobs", []*cobra.Command{
			newRun(p), newJobs(p), newStatus(p), newLogs(p), newResize(p), newKill(p), newResume(p), newVerify(p), newUI(p),
		}},
		{"Functions", []*cobra.Command{newInvoke(p), newResult(p), newFn(p)}},
		{"By the clock", []*cobra.Command{newSchedule(p)}},
		{"Fleets", []*cobra.Command{
			newDeploy(p), newClusters(p), newExtend(p), newScale(p), newCost(p), newTeardown(p), newGC(p),
			newQueues(p), newNodes(p), newToken(p),
		}},
		{"Files", []*cobra.Command{newFS(p), newGateway(p)}},
		{"This program", []*cobra.Command{newVersion(p)}},
	}
}

// newRoot returns the program as a tree of commands.
func newRoot(p *program) *cobra.Command {
	root := &cobra.Command{
		Use: "runner", SilenceErrors: true, SilenceUsage: true, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				_, err := fmt.Fprint(p.out, firstPage(cmd))
				return unread(err)
			}
			return say.Errorf(errs.Invalid, "there is no verb %q.%s `runner help` lists them", args[0],
				say.DidYouMean(args[0], verbNames(cmd)))
		},
	}
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(explainFlag)
	contents := chapters(p)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		if cmd.HasParent() {
			fmt.Fprint(p.out, help(cmd))
		} else {
			fmt.Fprint(p.out, contentsPage(contents))
		}
	})
	root.SetHelpCommand(newHelp(root))
	for _, c := range contents {
		root.AddCommand(c.verbs...)
	}
	root.AddCommand(newAM(p), newControl(p), newExecutor(p), newNode(p), newNodeInit(p), newSpecHelp(p),
		newFunctionHelp(p))
	return root
}

func verbNames(root *cobra.Command) []string {
	var names []string
	for _, c := range root.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return names
}

// fullName is what a command is called behind the program's name, as in "fs ls".
func fullName(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// explainFlag turns what the flag parser says into a sentence with what was probably meant.
func explainFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return say.Errorf(errs.Invalid, "%s; see `runner help %s`", strings.ReplaceAll(err.Error(), "\"", ""), fullName(cmd))
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	hint := ""
	if near := nearest.Of(unknown.GetSpecifiedName(), known); near != "" {
		hint = " Did you mean --" + near + "?"
	}
	dashes := "--"
	if unknown.GetSpecifiedShortnames() != "" {
		dashes = "-"
	}
	return say.Errorf(errs.Invalid, "%s has no flag %s%s.%s `runner help %[1]s` lists them", fullName(cmd), dashes,
		unknown.GetSpecifiedName(), hint)
}

// wantArgs checks how many arguments a verb got; what names them, as in "ID".
func wantArgs(cmd *cobra.Command, args []string, n int, what string) error {
	switch {
	case len(args) < n:
		return say.Errorf(errs.Invalid, "%s needs %s; see `runner help %[1]s`", fullName(cmd), what)
	case len(args) > n:
		return say.Errorf(errs.Invalid, "%s takes %s and nothing else, but there is %q", fullName(cmd), what, args[n])
	}
	return nil
}

// spreadWords repeats a flag before each word that follows its value, as in `--input a b c`, which is what a shell
// makes of `--input *.txt`.
func spreadWords(args []string, flag string) []string {
	var all []string
	inside := false
	for i, arg := range args {
		switch {
		case arg == "--":
			return append(all, args[i:]...)
		case strings.HasPrefix(arg, "-") && arg != "-":
			inside = arg == flag || strings.HasPrefix(arg, flag+"=")
		case inside && args[i-1] != flag:
			all = append(all, flag)
		}
		all = append(all, arg)
	}
	return all
}

// sentenceFor is what the program says last, on standard error; nothing if all is said.
func sentenceFor(err error) string {
	var told toldError
	if err == nil || errors.As(err, &told) {
		return ""
	}
	return say.Sentence(err)
}

// toldError is an error that people have been told of at length already.
type toldError struct{ error }

func (e toldError) Unwrap() error { return e.error }
