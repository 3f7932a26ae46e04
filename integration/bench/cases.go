package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// tables lists what is measured, in the order of printing.
var tables = []table{
	{"wordcount", "Word count of the kernel's sources (ratios against the yardstick)", commands(wordcount)},
	{"terasort", "TeraSort of 10 million rows, 1 GB, output fsynced (ratios against the yardstick)", commands(terasort)},
	{"peers", "The same count by other programs (ratios against the yardstick; their counts are not compared)",
		commands(peers)},
	{"tiny", "A job of 1 KB, process start included (ratio against starting the program and doing nothing)",
		commands(tiny)},
	{"supersteps", "One iteration, every worker a process (ratios against the yardstick)", asking(supersteps)},
	{"network", "One iteration, each process with a simulated card of 1 Gbit/s (ratios against the star)",
		asking(overNetwork)},
	{"gradient", "One iteration of logistic regression on 60,000 x 784 (ratios against the yardstick)", asking(gradient)},
	{"fan-in", "Most memory of the master of a thousand workers, the whole process", asking(fanIn)},
	{"native", "hdfs:// by the Go client, microseconds of an operation or a MB (ratios against Hadoop)", asking(native)},
	{"gateway", "WebHDFS, microseconds of an operation or a MB (ratios against Hadoop)", asking(web)},
	{"page", "What people and programs wait for at `runner ui`, with 50 jobs", page},
	{"bucket", "A gateway before an S3 server, microseconds of an operation or a MB (ratios against the server)",
		asking(bucket)},
	{"takeover", "Death of the gateway that leads, SIGKILL, until its standby answers; they agree by a folder", takeovers},
	{"names", "A gateway with a million files and one directory of 100,000", names},
	{"invoke",
		"Functions on this machine: the command with host and handler to be started, callers that stay, 64 of them at once",
		invocations},
	{"invoke-fleet", "Functions on a fleet of three servers and three machines, all of them on this one",
		sharedInvocations},
	{"control", "A fleet of three servers and three machines, all of them on this one", controlled},
	{"fleet", "Jobs on a fleet of three servers and three machines, all of them on this one", sorts},
	{"barrier", "Participants of a barrier on Consul, until the last of them knows that all have come", barriers},
	{"queue", "Simulated fleets whose queues are full (parts of 1: cores at work, guarantees met, Jain's index of equals)",
		queue},
}

func wordcount(ctx context.Context, s settings) ([]row, error) {
	in, err := s.text(ctx)
	if err != nil {
		return nil, err
	}
	same := sameLines()
	yard, ours := filepath.Join(s.work, "yardstick.out"), filepath.Join(s.work, "counts")
	job := []string{s.runner, "run", "wordcount", "--quiet", "--input", in, "--output", ours}
	return []row{
		{name: "yardstick", argv: []string{filepath.Join(s.yards, "wordcount"), in, yard}, output: yard, check: same},
		{name: "runner", argv: job, output: ours, check: same},
		{name: "runner, 256 MiB", argv: append(job[:len(job):len(job)], "--memory", "256MiB"), output: ours, check: same},
	}, nil
}

// terasort makes its input anew in each run: it takes a few seconds, and the rows are the same each time.
func terasort(ctx context.Context, s settings) ([]row, error) {
	in, ours := filepath.Join(s.work, "rows"), filepath.Join(s.work, "sorted")
	generate := exec.CommandContext(ctx, s.runner, "run", "teragen", "--quiet", "--set", "records=10000000", "--output",
		in)
	generate.Env, generate.Stderr = append(os.Environ(), s.home()), os.Stderr
	if err := generate.Run(); err != nil {
		return nil, fmt.Errorf("teragen: %w", err)
	}
	rows, err := filepath.Glob(filepath.Join(in, "part-*"))
	if err != nil {
		return nil, err
	}
	yard := filepath.Join(s.work, "yardstick.sorted")
	job := []string{s.runner, "run", "terasort", "--quiet", "--input", in, "--output", ours}
	same := sameBytes()
	return []row{
		{name: "yardstick", argv: append([]string{filepath.Join(s.yards, "terasort"), yard}, rows...), output: yard + ".0",
			check: func(string) error { return same(yard + ".*") }},
		{name: "runner", argv: job, output: ours, check: func(string) error { return same(ours + "/part-*") }},
		{name: "runner, 256 MiB", argv: append(job[:len(job):len(job)], "--memory", "256MiB"), output: ours,
			check: func(string) error { return same(ours + "/part-*") }},
	}, nil
}

// peers compares only programs that are there; what is missing is left out.
func peers(ctx context.Context, s settings) ([]row, error) {
	in, err := s.text(ctx)
	if err != nil {
		return nil, err
	}
	yard, out := filepath.Join(s.work, "yardstick.out"), filepath.Join(s.work, "peer.out")
	rows := []row{
		{name: "yardstick", argv: []string{filepath.Join(s.yards, "wordcount"), in, yard}, output: yard},
		{name: "tr|sort|uniq", argv: []string{"sh", "-c", `tr -s '[:space:]' '\n' <"$0" | sort | uniq -c >"$1"`, in, out},
			env: []string{"LC_ALL=C"}, output: out},
	}
	dir, err := s.peers(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"polars", "duckdb", "pyspark"} {
		if exec.CommandContext(ctx, "python3", "-c", "import "+name).Run() != nil {
			continue
		}
		script := filepath.Join(dir, name+".py")
		rows = append(rows, row{name: name, argv: []string{"python3", script, in, out}, output: out})
	}
	return rows, nil
}

func tiny(_ context.Context, s settings) ([]row, error) {
	in, out := filepath.Join(s.work, "tiny.txt"), filepath.Join(s.work, "tiny.out")
	if err := os.WriteFile(in, []byte(strings.Repeat("to be or not to be\n", 54)), 0o644); err != nil {
		return nil, err
	}
	return []row{
		{name: "runner version", argv: []string{s.runner, "version"}, output: out},
		{name: "runner run, 1 KB", argv: []string{s.runner, "run", "wordcount", "--quiet", "--input", in, "--output", out},
			output: out},
	}, nil
}

// peers returns the folder of the programs in Python.
func (s settings) peers(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "./integration/bench").Output()
	return filepath.Join(strings.TrimSpace(string(root)), "peers"), err
}

// text is the input of the large tables.
func (s settings) text(ctx context.Context) (string, error) {
	if s.input != "" {
		return filepath.Abs(s.input)
	}
	return kernel(ctx, s.cache)
}
