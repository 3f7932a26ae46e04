package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/hdfsgw/client"
	"github.com/seed3322913c/runner/runner/shell"
)

// fsListing are the commands that look at names.
func fsListing() []fsCommand {
	var ls shell.ListOptions
	var du shell.DiskUsageOptions
	var count shell.CountOptions
	var human bool
	var format string
	return []fsCommand{{
		verb: verb{use: "ls [PATH...] [flags]", does: "Lists files.",
			examples: []string{"runner fs ls -h hdfs://demo/logs", "runner fs ls -R --json s3://bucket/books"}}, most: -1,
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
		verb: verb{use: "du [PATH...] [flags]", does: "Tells how long files and what is in directories are.",
			examples: []string{"runner fs du -s -h '/user/*'"}}, most: -1,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&du.Summarize, "summarize", "s", false, "one line for each PATH")
			f.BoolVarP(&du.Human, "human", "h", false, "sizes with units")
			f.BoolVarP(&du.Header, "header", "v", false, "with a headline")
		},
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.DiskUsage(ctx, args, du) },
	}, {
		verb: verb{use: "count PATH... [flags]", does: "Counts directories, files and bytes.",
			examples: []string{"runner fs count -q -v /user/alice"}}, least: 1, most: -1,
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
				"x and X time of access, y and Y of modification (a date in UTC, milliseconds).",
			examples: []string{"runner fs stat '%n %b %u' /logs/a.txt"}},
		least: 1, most: -1,
		flags: func(f *pflag.FlagSet) { f.StringVar(&format, "format", "%y", "`TEXT` with letters after %") },
		run: func(ctx context.Context, sh *shell.Shell, args []string) error {
			if len(args) > 1 && strings.HasPrefix(args[0], "%") { // as Hadoop has it
				return sh.Stat(ctx, args[1:], args[0])
			}
			return sh.Stat(ctx, args, format)
		},
	}, {
		verb: verb{use: "df [PATH...] [flags]", does: "Tells how full file systems are.",
			examples: []string{"runner fs df -h hdfs://demo/"}}, most: -1,
		flags: func(f *pflag.FlagSet) { f.BoolVarP(&human, "human", "h", false, "sizes with units") },
		run:   func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.DiskFree(ctx, args, human) },
	}}
}

// fsChecking are the commands that look whether bytes are right, and who may read them.
func fsChecking() []fsCommand {
	var fsck client.FsckOptions
	var token shell.TokenOptions
	var composite bool
	return []fsCommand{{
		verb: verb{use: "checksum PATH... [flags]", does: "Tells files' checksums as HDFS has them.",
			examples: []string{"runner fs checksum --composite /logs/a.txt"}}, least: 1, most: -1,
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
			more:     "Exit code 5 says that bytes are missing or not what was written. Orphans, which no file has, are harmless.",
			examples: []string{"runner fs fsck", "runner fs fsck --verify --rate 100000000 /logs"}},
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
		verb: verb{use: "put LOCAL... PATH [flags]", does: "Copies local files, and directories with all that is in them.",
			examples: []string{"runner fs put -f book.txt hdfs://demo/books/", "ls | runner fs put - /lists/today"}},
		least: 2, most: -1, flags: copying,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Put(ctx, args, o) },
	}, {
		verb: verb{use: "get PATH... [LOCAL] [flags]", does: "Copies to this machine.",
			examples: []string{"runner fs get '/logs/2026-*' logs/"}},
		least: 1, most: -1, flags: copying,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Get(ctx, args, o) },
	}, {
		verb: verb{use: "cp PATH... PATH [flags]", does: "Copies, also between file systems.",
			examples: []string{"runner fs cp -t 8 hdfs://demo/logs s3://bucket/logs"}},
		least: 2, most: -1, flags: copying,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Copy(ctx, args, o) },
	}, {
		verb: verb{use: "cat PATH... [flags]", does: "Writes files to standard output.",
			examples: []string{"runner fs cat '/counts/part-*'"}}, least: 1, most: -1,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Cat(ctx, args) },
	}, {
		verb: verb{use: "head PATH... [flags]", does: "Writes the first kilobyte of files.",
			examples: []string{"runner fs head /logs/a.txt"}}, least: 1, most: -1,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Head(ctx, args) },
	}, {
		verb: verb{use: "tail PATH... [flags]", does: "Writes the last kilobyte of files.",
			examples: []string{"runner fs tail -f /logs/a.txt"}}, least: 1, most: -1,
		flags: func(f *pflag.FlagSet) { f.BoolVarP(&follow, "follow", "f", false, "go on with what is added") },
		run: func(ctx context.Context, sh *shell.Shell, args []string) error {
			return sh.Tail(ctx, args, follow, nap)
		},
	}, {
		verb: verb{use: "append LOCAL... PATH [flags]", does: "Adds local files to the end of a file.",
			examples: []string{"date | runner fs append - /logs/a.txt"}},
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
		verb: verb{use: "mkdir PATH... [flags]", does: "Makes directories.",
			examples: []string{"runner fs mkdir -p /user/alice/books"}}, least: 1, most: -1,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&parents, "parents", "p", false, "those above, too; one that is there is fine")
		},
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Mkdir(ctx, args, parents) },
	}, {
		verb: verb{use: "mv PATH... PATH [flags]", does: "Renames within a file system, whatever is below at once.",
			examples: []string{"runner fs mv /books/draft.txt /books/final.txt"}},
		least: 2, most: -1,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Move(ctx, args) },
	}, {
		verb: verb{use: "rm PATH... [flags]", does: "Removes files, or moves them to the trash of a gateway that has one.",
			examples: []string{"runner fs rm -r --skip-trash /tmp/old"}},
		least: 1, most: -1,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&rm.Recursive, "recursive", "r", false, "directories with all that is in them")
			f.BoolVarP(&rm.Force, "force", "f", false, "what does not exist is fine")
			f.BoolVar(&rm.SkipTrash, "skip-trash", false, "remove them for good")
		},
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Remove(ctx, args, rm) },
	}, {
		verb: verb{use: "truncate LENGTH PATH... [flags]", does: "Shortens files.",
			examples: []string{"runner fs truncate 1000 /logs/a.txt"}}, least: 2, most: -1,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error {
			return sh.Truncate(ctx, args[0], args[1:])
		},
	}, {
		verb: verb{use: "concat PATH PATH... [flags]", does: "Makes files the end of the first; no bytes move.",
			examples: []string{"runner fs concat /logs/all /logs/1 /logs/2"}},
		least: 2, most: -1,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error { return sh.Concat(ctx, args) },
	}, {
		verb: verb{use: "chmod MODE PATH... [flags]", does: "Changes permissions: 755, or u+x,g=rX,o-w.",
			examples: []string{"runner fs chmod -R u+rwX,go-w /user/alice"}},
		least: 2, most: -1, flags: all,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error {
			return sh.Chmod(ctx, args[0], args[1:], recursive)
		},
	}, {
		verb: verb{use: "chown OWNER[:GROUP] PATH... [flags]", does: "Changes owners and groups.",
			examples: []string{"runner fs chown -R alice:staff /user/alice"}},
		least: 2, most: -1, flags: all,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error {
			return sh.Chown(ctx, args[0], args[1:], recursive)
		},
	}, {
		verb: verb{use: "setrep NUMBER PATH... [flags]", does: "Changes the number that is kept as replication.",
			examples: []string{"runner fs setrep 3 /books/final.txt"}},
		least: 2, most: -1, flags: all,
		run: func(ctx context.Context, sh *shell.Shell, args []string) error {
			return sh.SetReplication(ctx, args[0], args[1:])
		},
	}}
}
