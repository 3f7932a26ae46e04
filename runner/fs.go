package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/shell"
)

// fsEnv is the default file system of `runner fs`.
const fsEnv = "RUNNER_FS"

// fsOptions are those that all commands of `runner fs` have.
type fsOptions struct {
	fs    string
	json  bool
	quiet bool
}

// AddFlags adds the flags that all commands have.
func (o *fsOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, "Which files", func(f *pflag.FlagSet) {
		f.StringVar(&o.fs, "fs", os.Getenv(fsEnv),
			"`URI` of the file system of paths without one; $RUNNER_FS, or local files")
	})
	grouped(flags, tellGroup, func(f *pflag.FlagSet) {
		f.BoolVar(&o.json, "json", false, "answer in JSON, one document on each line")
		f.BoolVar(&o.quiet, "quiet", false, "nothing but the answer")
	})
}

// shell makes what executes a command with arguments.
func (p *program) shell(o fsOptions, args []string) (*shell.Shell, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, errs.E("fs", errs.Other, nil, err)
	}
	if err := p.surround(append([]string{o.fs}, args...)...); err != nil {
		return nil, err
	}
	place, name := cut(o.fs)
	if o.fs != "" && (!strings.Contains(o.fs, "://") || name != "") {
		return nil, say.Errorf(errs.Invalid, "--fs %s is no file system; write it as hdfs://NAME, s3://BUCKET or file://",
			o.fs)
	}
	if o.fs == "" {
		place = ""
	}
	return shell.New(openSystem, shell.Options{Out: p.out, Err: p.err, In: os.Stdin, Default: place, User: hadoopUser(),
		Dir: dir, JSON: o.json, Quiet: o.quiet,
		Tell: func(err error) string { return say.Sentence(inHadoopsWords(err)) }}), nil
}

// inHadoopsWords leaves of a namespace's refusal what it said.
func inHadoopsWords(err error) error {
	if refusal, ok := errors.AsType[*namespace.Error](err); ok {
		return say.Errorf(errs.KindOf(err), "%s", refusal.Message)
	}
	return err
}

// openSystem opens the file system of a scheme and authority.
func openSystem(ctx context.Context, place string) (shell.System, error) {
	resolve := newResolver("")
	if isGateway(place) {
		c, err := openGateway(place, resolve)
		if err != nil {
			return nil, err
		}
		return shell.HDFS(c), nil
	}
	st, _, err := resolve(ctx, place+"/")
	switch {
	case err != nil:
		return nil, err
	case place == "file://":
		return shell.Local(st), nil
	}
	return shell.Objects(st, place), nil
}

// fsCommand is one command of `runner fs`.
type fsCommand struct {
	verb
	least, most int // arguments; most < 0: any number
	flags       func(*pflag.FlagSet)
	run         func(ctx context.Context, sh *shell.Shell, args []string) error
}

func newFS(p *program) *cobra.Command {
	var o fsOptions
	cmd := verb{
		use:  "fs COMMAND [flags]",
		does: "Lists, copies and changes files at gateways, in buckets and on this machine.",
		more: "Commands, and what they print, are those of `hdfs dfs`; the dash before them may stay. " +
			"put and append take - for\n" +
			"standard input.\n" +
			"Arguments are hdfs://, webhdfs://, s3:// and file:// URIs, or paths in the default file system; * ? [a-z] {a,b}\n" +
			"stand for names. hdfs://NAME and the bucket of a cluster that is known here lead to it. RUNNER_GATEWAYS says where\n" +
			"other gateways are (demo=HOST:9870,HOST:9870), RUNNER_GATEWAY_TOKEN and HADOOP_USER_NAME who you are. What buckets\n" +
			"and local files lack, such as owners, is refused with exit code 2.",
		examples: []string{"runner fs ls hdfs://demo/logs", "runner fs put book.txt s3://bucket/books/",
			"runner fs --fs webhdfs://10.0.0.1:9870 du -s -h '/user/*'"},
	}.family()
	o.AddFlags(cmd.PersistentFlags())
	p.addCluster(cmd.PersistentFlags())
	for _, c := range slices.Concat(fsListing(), fsChecking(), fsCopying(), fsChanging()) {
		sub := c.command(func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) < c.least:
				return say.Errorf(errs.Invalid, "fs %s needs more arguments: runner fs %s", cmd.Name(), c.use)
			case c.most >= 0 && len(args) > c.most:
				return say.Errorf(errs.Invalid, "fs %s has too many arguments: runner fs %s", cmd.Name(), c.use)
			}
			sh, err := p.shell(o, args)
			if err != nil {
				return err
			}
			return inHadoopsWords(c.run(cmd.Context(), sh, args))
		})
		if c.flags != nil {
			grouped(sub.Flags(), "How", c.flags)
		}
		sub.Flags().Bool("help", false, "") // without -h, which says "human" as at Hadoop
		cmd.AddCommand(sub)
	}
	return cmd
}

// asHadoop lets `runner fs` take what is typed after `hdfs dfs`: a dash before the command, and long flags with one.
func asHadoop(args []string) []string {
	if len(args) < 2 || args[0] != "fs" {
		return args
	}
	known := map[string]string{"-copyFromLocal": "put", "-copyToLocal": "get", "-appendToFile": "append",
		"-skipTrash": "--skip-trash", "-rmr": "rm -r"}
	all := []string{"fs"}
	command := false // it has been seen
	for _, arg := range args[1:] {
		name, isKnown := known[arg]
		switch {
		case isKnown:
			all = append(all, strings.Fields(name)...)
			command = true
			continue
		case !command && strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--") && len(arg) > 2:
			arg = arg[1:]
		}
		command = command || !strings.HasPrefix(arg, "-") && !strings.Contains(arg, "://")
		all = append(all, arg)
	}
	return all
}
