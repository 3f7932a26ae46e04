package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/hdfsgw/client"
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

// shell makes what executes the commands.
func (p *program) shell(o fsOptions) (*shell.Shell, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, errs.E("fs", errs.Other, nil, err)
	}
	if err := p.surround(); err != nil {
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
			"stand for names. RUNNER_GATEWAYS says where a gateway is (demo=HOST:9870,HOST:9870), RUNNER_GATEWAY_TOKEN and\n" +
			"HADOOP_USER_NAME who you are. What buckets and local files lack, such as owners, is refused with exit code 2.",
		examples: []string{"runner fs ls hdfs://demo/logs", "runner fs put book.txt s3://bucket/books/",
			"runner fs --fs webhdfs://10.0.0.1:9870 du -s -h '/user/*'"},
	}.family()
	o.AddFlags(cmd.PersistentFlags())
	p.addCluster(cmd.PersistentFlags())
	for _, c := range append(append(fsReading(), fsCopying()...), fsChanging()...) {
		sub := c.command(func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) < c.least:
				return say.Errorf(errs.Invalid, "fs %s needs more arguments: runner fs %s", cmd.Name(), c.use)
			case c.most >= 0 && len(args) > c.most:
				return say.Errorf(errs.Invalid, "fs %s has too many arguments: runner fs %s", cmd.Name(), c.use)
			}
			sh, err := p.shell(o)
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

// fsReading are the commands that look.
func fsReading() []fsCommand {
	var ls shell.ListOptions
	var du shell.DiskUsageOptions
	var count shell.CountOptions
	var fsck client.FsckOptions
	var token shell.TokenOptions
	var human, composite bool
	var format string
	return []fsCommand{{
		verb: verb{use: "ls [PATH...] [flags]", does: "Lists files."}, most: -1,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&ls.Recursive, "recursive", "R", false, "with all that is below directories")
			f.BoolVarP(&ls.Dirs, "directory", "d", false, "directories themselves, not what is in them")
			f.BoolVarP(&ls.Human, "human", "h", false, "sizes with units")
			f.BoolVarP(&ls.PathsOnly, "paths", "C", false, "nothing but paths")
			f.BoolVarP(&ls.ByTime, "time", "t", false, "the youngest first")
			f.BoolVarP(&ls.BySize, "size", "S", false, "the largest first")
			f.BoolVarP(&ls.Reverse, "reverse", "r", false, "the other way round")
		},
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.List(ctx, args, ls) },
	}, {
		verb: verb{use: "du [PATH...] [flags]", does: "Tells how long files and what is in directories are."}, most: -1,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&du.Summarize, "summarize", "s", false, "one line for each PATH")
			f.BoolVarP(&du.Human, "human", "h", false, "sizes with units")
			f.BoolVarP(&du.Header, "header", "v", false, "with a headline")
		},
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.DiskUsage(ctx, args, du) },
	}, {
		verb: verb{use: "count PATH... [flags]", does: "Counts directories, files and bytes."}, least: 1, most: -1,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&count.Quota, "quota", "q", false, "with quotas")
			f.BoolVarP(&count.Human, "human", "h", false, "sizes with units")
			f.BoolVarP(&count.Header, "header", "v", false, "with a headline")
		},
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Count(ctx, args, count) },
	}, {
		verb: verb{use: "stat PATH... [flags]", does: "Describes files.",
			more: "Letters after %: a and A permissions, b length, F type, g group, n name, o block size, " +
				"r replication, u owner,\n" +
				"x and X time of access, y and Y of modification (a date in UTC, milliseconds)."},
		least: 1, most: -1,
		flags: func(f *pflag.FlagSet) { f.StringVar(&format, "format", "%y", "`TEXT` with letters after %") },
		run: func(ctx context.Context, sh *shell.Shell, args []string) error {
			if len(args) > 1 && strings.HasPrefix(args[0], "%") { // as Hadoop has it
				return sh.Stat(ctx, args[1:], args[0])
			}
			return sh.Stat(ctx, args, format)
		},
	}, {
		verb: verb{use: "df [PATH...] [flags]", does: "Tells how full file systems are."}, most: -1,
		flags: func(f *pflag.FlagSet) { f.BoolVarP(&human, "human", "h", false, "sizes with units") },
		run:   func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.DiskFree(ctx, args, human) },
	}, {
		verb: verb{use: "checksum PATH... [flags]", does: "Tells files' checksums as HDFS has them."}, least: 1, most: -1,
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&composite, "composite", false, "the CRC of all bytes (COMPOSITE_CRC), however they are cut into blocks")
		},
		run: func(ctx context.Context, sh *shell.Shell, args []string) error {
			return sh.Checksum(ctx, args, composite)
		},
	}, {
		verb: verb{use: "token FILE [flags]",
			does: "Writes a delegation token that Hadoop's processes take for a proof of who they are.",
			more: "They do so if HADOOP_TOKEN_FILE_LOCATION names FILE. " +
				"It is good for a day, and renewed for seven. It is for\n" +
				"webhdfs://, and with --rpc for hdfs://.",
			examples: []string{"runner fs token creds --rpc 10.0.0.1:8020",
				"runner fs token creds --rpc ha-hdfs:demo --renewer yarn"}},
		least: 1, most: 1,
		flags: func(f *pflag.FlagSet) {
			f.StringArrayVar(&token.RPC, "rpc", nil,
				"`ADDRESS` of hdfs:// where it is used, too: HOST:PORT, or ha-hdfs:NAME; repeat it")
			f.StringVar(&token.Renewer, "renewer", "", "`USER` who may renew it; you by default")
		},
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Token(ctx, args[0], token) },
	}, {
		verb: verb{use: "fsck [PATH] [flags]", does: "Compares a gateway's files with the store that has their bytes.",
			more: "Exit code 5 says that bytes are missing or not what was written. Orphans, which no file has, are harmless."},
		most: 1,
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&fsck.Verify, "verify", false, "read all bytes and compare their checksums, too")
			f.Int64Var(&fsck.Rate, "rate", 0, "`BYTES` a second at most when reading")
			f.BoolVar(&fsck.Delete, "delete", false, "delete orphans that are a day old and whose writers are gone for sure")
		},
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Fsck(ctx, args, fsck) },
	}}
}

// fsCopying are the commands that move bytes.
func fsCopying() []fsCommand {
	var o shell.CopyOptions
	var follow bool
	copying := func(f *pflag.FlagSet) {
		f.BoolVarP(&o.Overwrite, "force", "f", false, "replace files that are there")
		f.BoolVarP(&o.Preserve, "preserve", "p", false, "keep times and permissions, where the copy has them")
		f.IntVarP(&o.Threads, "threads", "t", 4, "`N` files at a time")
	}
	const nap = time.Second
	return []fsCommand{{
		verb:  verb{use: "put LOCAL... PATH [flags]", does: "Copies local files, and directories with all that is in them."},
		least: 2, most: -1, flags: copying,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Put(ctx, args, o) },
	}, {
		verb:  verb{use: "get PATH... [LOCAL] [flags]", does: "Copies to this machine."},
		least: 1, most: -1, flags: copying,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Get(ctx, args, o) },
	}, {
		verb:  verb{use: "cp PATH... PATH [flags]", does: "Copies, also between file systems."},
		least: 2, most: -1, flags: copying,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Copy(ctx, args, o) },
	}, {
		verb: verb{use: "cat PATH... [flags]", does: "Writes files to standard output."}, least: 1, most: -1,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Cat(ctx, args) },
	}, {
		verb: verb{use: "head PATH... [flags]", does: "Writes the first kilobyte of files."}, least: 1, most: -1,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Head(ctx, args) },
	}, {
		verb: verb{use: "tail PATH... [flags]", does: "Writes the last kilobyte of files."}, least: 1, most: -1,
		flags: func(f *pflag.FlagSet) { f.BoolVarP(&follow, "follow", "f", false, "go on with what is added") },
		run: func(ctx context.Context, sh *shell.Shell, args []string) error {
			return sh.Tail(ctx, args, follow, nap)
		},
	}, {
		verb:  verb{use: "append LOCAL... PATH [flags]", does: "Adds local files to the end of a file."},
		least: 2, most: -1,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Append(ctx, args) },
	}}
}

// fsChanging are the commands that change names and attributes.
func fsChanging() []fsCommand {
	var parents, recursive bool
	var rm shell.RemoveOptions
	all := func(f *pflag.FlagSet) {
		f.BoolVarP(&recursive, "recursive", "R", false, "with all that is below directories")
	}
	return []fsCommand{{
		verb: verb{use: "mkdir PATH... [flags]", does: "Makes directories."}, least: 1, most: -1,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&parents, "parents", "p", false, "those above, too; one that is there is fine")
		},
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Mkdir(ctx, args, parents) },
	}, {
		verb:  verb{use: "mv PATH... PATH [flags]", does: "Renames within a file system, whatever is below at once."},
		least: 2, most: -1,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Move(ctx, args) },
	}, {
		verb:  verb{use: "rm PATH... [flags]", does: "Removes files, or moves them to the trash of a gateway that has one."},
		least: 1, most: -1,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&rm.Recursive, "recursive", "r", false, "directories with all that is in them")
			f.BoolVarP(&rm.Force, "force", "f", false, "what does not exist is fine")
			f.BoolVar(&rm.SkipTrash, "skip-trash", false, "remove them for good")
		},
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Remove(ctx, args, rm) },
	}, {
		verb: verb{use: "truncate LENGTH PATH... [flags]", does: "Shortens files."}, least: 2, most: -1,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error {
			return sh.Truncate(ctx, args[0], args[1:])
		},
	}, {
		verb:  verb{use: "concat PATH PATH... [flags]", does: "Makes files the end of the first; no bytes move."},
		least: 2, most: -1,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Concat(ctx, args) },
	}, {
		verb:  verb{use: "chmod MODE PATH... [flags]", does: "Changes permissions: 755, or u+x,g=rX,o-w."},
		least: 2, most: -1, flags: all,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error {
			return sh.Chmod(ctx, args[0], args[1:], recursive)
		},
	}, {
		verb:  verb{use: "chown OWNER[:GROUP] PATH... [flags]", does: "Changes owners and groups."},
		least: 2, most: -1, flags: all,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error {
			return sh.Chown(ctx, args[0], args[1:], recursive)
		},
	}, {
		verb:  verb{use: "setrep NUMBER PATH... [flags]", does: "Changes the number that is kept as replication."},
		least: 2, most: -1, flags: all,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error {
			return sh.SetReplication(ctx, args[0], args[1:])
		},
	}}
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
