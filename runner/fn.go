package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/runner/say"
)

func newFn(p *program) *cobra.Command {
	var json bool
	cmd := verb{
		use:  "fn COMMAND [flags]",
		does: "Keeps functions: folders with a function.yaml, pushed as versions that never change.",
		more: "`runner invoke NAME` hands a function an event. " +
			"NAME means the version that the alias live means, NAME@WORD what\n" +
			"another alias means, NAME@3 the third version. `runner help function` has what function.yaml may say,\n" +
			"docs/functions.md the rest.",
		examples: []string{"runner fn init greet --lang python", "runner fn push ./greet", "runner fn rollback greet"},
	}.family()
	addJSON(cmd.PersistentFlags(), &json)
	p.addCluster(cmd.PersistentFlags())
	cmd.AddCommand(newFnInit(p, &json), newFnPush(p, &json),
		ofRegistry(p, verb{use: "ls", does: "Lists the functions, and how they do."}, 0,
			func(ctx context.Context, at functionPlace, _ []string) error { return p.fnList(ctx, at, json) }),
		ofRegistry(p, verb{use: "show NAME", does: "Shows a function with its versions and aliases."}, 1,
			func(ctx context.Context, at functionPlace, args []string) error {
				return p.fnShow(ctx, at, args[0], json)
			}),
		newFnRollback(p, &json), newFnAlias(p, &json), newFnRemove(p, &json),
		ofRegistry(p, verb{use: "log ID", does: "Prints what was said about an invocation."}, 1,
			func(ctx context.Context, at functionPlace, args []string) error { return p.fnLog(ctx, at, args[0]) }),
		newFnDead(p, &json), newFnServe(p), newFnWork(p), newFnStop(p, &json), newFnSchema(p),
	)
	return cmd
}

func newFnInit(p *program, json *bool) *cobra.Command {
	lang := "go"
	cmd := verb{
		use: "init FOLDER [flags]", does: "Makes a folder with a function that works, to begin with.",
		more: "Nothing needs to be installed for it but the language itself.",
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 1, "a FOLDER, whose last part is the function's name"); err != nil {
			return err
		}
		files, err := pack.Init(args[0], lang)
		if err != nil {
			return err
		}
		if *json {
			return writeJSON(p.out, map[string]any{"name": filepath.Base(args[0]), "files": files})
		}
		for _, file := range files {
			fmt.Fprintln(p.out, file)
		}
		fmt.Fprintf(p.err, "Next: runner fn push %s   runner invoke %s -d '{\"name\":\"you\"}'\n", pathWord(args[0]),
			filepath.Base(args[0]))
		return nil
	})
	cmd.Flags().StringVar(&lang, "lang", "go", "`LANGUAGE`: "+strings.Join(pack.Languages(), ", ")+"; go by default")
	groupAll(cmd.Flags(), "What it makes")
	return cmd
}

// pathWord writes a folder so that nobody takes it for a name.
func pathWord(folder string) string {
	if strings.ContainsRune(folder, filepath.Separator) {
		return folder
	}
	return "./" + folder
}

// groupAll shows all flags under one title.
func groupAll(flags *pflag.FlagSet, title string) {
	flags.VisitAll(func(f *pflag.Flag) { f.Annotations = map[string][]string{flagGroup: {title}} })
}

func newFnPush(p *program, json *bool) *cobra.Command {
	alias := pack.Live
	cmd := ofRegistry(p, verb{
		use: "push FOLDER [flags]", does: "Builds a function and pushes it as its next version, which is live at once.",
		more: "A folder that is as it was pushed last makes no new version.",
	}, 1, func(ctx context.Context, at functionPlace, args []string) error {
		return p.fnPush(ctx, at, args[0], alias, *json)
	})
	cmd.Flags().StringVar(&alias, "alias", pack.Live, "`WORD` that means the version from now on; live by default")
	groupAll(cmd.Flags(), "What it is for")
	return cmd
}

func (p *program) fnPush(ctx context.Context, at functionPlace, folder, alias string, json bool) error {
	m, err := pack.ReadFolder(folder)
	if err != nil {
		return err
	}
	if err := pack.Build(ctx, folder, m, p.err); err != nil {
		return err
	}
	if err := checkEntry(folder, m); err != nil {
		return err
	}
	v, pushed, err := at.Push(ctx, folder, alias)
	if err != nil {
		return err
	}
	if json {
		return writeJSON(p.out, v)
	}
	fmt.Fprintln(p.out, v)
	if !pushed {
		fmt.Fprintf(p.err, "Nothing has changed since %s was pushed.\n", v)
	}
	return nil
}

func (p *program) fnList(ctx context.Context, at functionPlace, json bool) error {
	all, err := at.Functions(ctx)
	if err != nil {
		return err
	}
	if json {
		return writeJSON(p.out, all)
	}
	if len(all) == 0 {
		fmt.Fprintln(p.err, "No functions yet. See: runner help fn")
		return nil
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tKIND\tLIVE\tLATEST\tPUSHED\tDONE\tDEAD\tWAIT\tP50\tP99")
	for _, l := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%d\t%d\t%d\t%s\t%s\n", l.Name, l.Kind, orDash(l.Live), l.Latest,
			l.Pushed.Local().Format("2006-01-02 15:04"), l.Stats.Succeeded, l.Stats.Dead, l.Stats.Queued,
			latency(l.Stats.P50), latency(l.Stats.P99))
	}
	return table.Flush()
}

func orDash(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

// latency writes a time as short as it needs to be.
func latency(ms float64) string {
	switch {
	case ms == 0:
		return "-"
	case ms < 10:
		return fmt.Sprintf("%.2g ms", ms)
	}
	return format.Duration(time.Duration(ms * float64(time.Millisecond)))
}

func (p *program) fnShow(ctx context.Context, at functionPlace, name string, json bool) error {
	f, err := at.Function(ctx, name)
	if err != nil {
		return err
	}
	if json {
		return writeJSON(p.out, f)
	}
	m := f.Versions[0].Manifest
	if live, err := f.Version(pack.Live); err == nil { // else there is none
		m = live.Manifest
	}
	fmt.Fprintf(p.out, "%s is a %s: timeout %s, %d at once, %d attempts, %s\n", name, m.Kind, m.Timeout, m.Concurrency,
		m.Retries.Attempts, format.Bytes(m.Memory))
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tMEANT BY\tPUSHED\tBY\tPACKAGE")
	for _, v := range f.Versions {
		var words []string
		for word, a := range f.Aliases {
			if a.Version == v.N {
				words = append(words, word)
			}
		}
		slices.Sort(words)
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%.12s\n", v.N, strings.Join(words, " "),
			v.Pushed.Local().Format("2006-01-02 15:04"), v.By, v.Package)
	}
	return table.Flush()
}

func newFnRollback(p *program, json *bool) *cobra.Command {
	alias := pack.Live
	cmd := ofRegistry(p, verb{use: "rollback NAME [flags]", does: "Lets an alias mean what it meant before."}, 1,
		func(ctx context.Context, at functionPlace, args []string) error {
			v, err := at.Rollback(ctx, args[0], alias)
			if err != nil {
				return err
			}
			return p.tellVersion(v, *json)
		})
	cmd.Flags().StringVar(&alias, "alias", pack.Live, "`WORD`; live by default")
	groupAll(cmd.Flags(), "What goes back")
	return cmd
}

func (p *program) tellVersion(v pack.Version, json bool) error {
	if json {
		return writeJSON(p.out, v)
	}
	_, err := fmt.Fprintln(p.out, v)
	return err
}

func newFnAlias(p *program, json *bool) *cobra.Command {
	return ofRegistry(p, verb{use: "alias NAME WORD VERSION", does: "Lets an alias of a function mean a version."}, 3,
		func(ctx context.Context, at functionPlace, args []string) error {
			n, err := strconv.Atoi(args[2])
			if err != nil {
				return say.Errorf(errs.Invalid, "%q is not the number of a version", args[2])
			}
			v, err := at.SetAlias(ctx, args[0], args[1], n)
			if err != nil {
				return err
			}
			return p.tellVersion(v, *json)
		})
}

func newFnRemove(p *program, json *bool) *cobra.Command {
	does := "Removes a function with all its versions. What it has answered is kept for a day."
	var yes bool
	cmd := ofRegistry(p, verb{use: "rm NAME [flags]", does: does}, 1,
		func(ctx context.Context, at functionPlace, args []string) error {
			known, err := at.Function(ctx, args[0])
			if err != nil {
				return err
			}
			if !yes {
				fmt.Fprintf(p.err, "Remove %s, %s?\n", args[0], format.Plural(int64(len(known.Versions)), "version"))
			}
			if err := confirm(ctx, p.err, changeOptions{yes: yes, json: *json}); err != nil {
				return err
			}
			if err := at.RemoveFunction(ctx, args[0]); err != nil {
				return err
			}
			if *json {
				return writeJSON(p.out, map[string]string{"removed": args[0]})
			}
			return nil
		})
	grouped(cmd.Flags(), tellGroup, func(f *pflag.FlagSet) { f.BoolVar(&yes, "yes", false, "don't ask") })
	return cmd
}

func (p *program) fnLog(ctx context.Context, at functionPlace, id string) error {
	inv, err := at.Invocation(ctx, invoke.ID(id))
	if err != nil {
		return err
	}
	var said []byte
	if at.logs == "" {
		said, err = at.Log(ctx, inv.ID)
	} else if said, err = os.ReadFile(invoke.LogFile(at.logs, inv.Function, inv.ID)); errors.Is(err, os.ErrNotExist) {
		err = nil // nothing was said
	}
	if err != nil {
		return errs.E("fn.log", errs.Other, id, err)
	}
	_, err = p.out.Write(said)
	return err
}

func newFnDead(p *program, json *bool) *cobra.Command {
	return ofRegistry(p, verb{
		use:  "dead ls [NAME] | redrive NAME [ID...]",
		does: "Lists invocations whose attempts all failed, or queues them again.",
		more: "They are tried by the version that is live now, all of a function's or those with the given ids.",
	}, -1, func(ctx context.Context, at functionPlace, args []string) error {
		switch {
		case len(args) > 0 && len(args) < 3 && args[0] == "ls":
			return p.fnDeadList(ctx, at, append(args, "")[1], *json)
		case len(args) > 1 && args[0] == "redrive":
			return p.fnRedrive(ctx, at, args[1], args[2:], *json)
		}
		return say.Errorf(errs.Invalid, "say fn dead ls [NAME], or fn dead redrive NAME [ID...]")
	})
}

func (p *program) fnDeadList(ctx context.Context, at functionPlace, name string, json bool) error {
	if name != "" {
		if _, err := at.Function(ctx, name); err != nil {
			return err
		}
	}
	all, err := at.DeadLetters(ctx, name)
	if err != nil {
		return err
	}
	if json {
		return writeJSON(p.out, all)
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, inv := range all {
		fmt.Fprintf(table, "%s\t%s@%d\t%s\t%d attempts\t%s\n", inv.ID, inv.Function, inv.Version,
			inv.Ended.Local().Format("2006-01-02 15:04:05"), inv.Attempts, inv.Error)
	}
	return table.Flush()
}

func (p *program) fnRedrive(ctx context.Context, at functionPlace, name string, words []string, json bool) error {
	var ids []invoke.ID
	for _, w := range words {
		ids = append(ids, invoke.ID(w))
	}
	n, err := at.Redrive(ctx, name, ids)
	if err != nil {
		return err
	}
	if json {
		return writeJSON(p.out, map[string]int{"redriven": n})
	}
	_, err = fmt.Fprintf(p.out, "%d queued again\n", n)
	return err
}

func newFnStop(p *program, json *bool) *cobra.Command {
	does := "Ends this machine's host and its handlers. What was accepted goes on with the next event."
	return ofRegistry(p, verb{use: "stop", does: does}, 0,
		func(ctx context.Context, at functionPlace, _ []string) error {
			running, err := at.Stop(ctx)
			if err == nil && *json {
				err = writeJSON(p.out, map[string]bool{"running": running})
			}
			return err
		})
}

func newFnSchema(p *program) *cobra.Command {
	return verb{use: "schema", does: "Prints the JSON schema of function.yaml, for editors."}.command(
		func(cmd *cobra.Command, args []string) error {
			if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
				return err
			}
			_, err := p.out.Write(pack.Schema())
			return err
		})
}
