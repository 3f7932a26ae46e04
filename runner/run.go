package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/functions/builtin"
	"github.com/seed3322913c/runner/guagua/algo"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/spec"
	"github.com/seed3322913c/runner/scheduler"
)

type runOptions struct {
	spec     spec.Flags
	function string
	watch    watchOptions
	detach   bool
	parallel int
	retries  int
	circle   circleOptions
}

// addJob adds the flags that say what a job is.
func (o *runOptions) addJob(flags *pflag.FlagSet) {
	grouped(flags, "What it reads and writes", func(f *pflag.FlagSet) {
		f.StringArrayVar(&o.spec.Input, "input", nil,
			"`PATH` of a file, a folder or a glob; several may follow, and it may be repeated")
		f.StringVar(&o.spec.Output, "output", "", "`FOLDER` that the job makes")
		f.BoolVar(&o.spec.Overwrite, "overwrite", false, "replace the output if it exists")
		f.StringVar(&o.spec.Format, "format", "", "`FORMAT` of the input, for what is no text, as in csv or parquet")
		f.StringVar(&o.spec.OutputFormat, "output-format", "", "`FORMAT` of the output, for what is no text")
		f.StringVar(&o.spec.Compress, "compress", "", "`CODEC` of the output, as in gzip or zstd")
	})
	grouped(flags, "What it computes", func(f *pflag.FlagSet) {
		f.StringVar(&o.function, "function", "", "`NAME` of the binary's function to run, if it has several")
		f.StringVar(&o.spec.Command, "command", "", "`COMMAND` line that the tasks of `runner run task` run")
		f.IntVar(&o.spec.Tasks, "tasks", 0, "`N` times that it runs; once for each file if there is input")
		f.StringArrayVar(&o.spec.Set, "set", nil,
			"`KEY=VALUE` gives the functions a parameter, or the command a variable; may be repeated")
		f.StringVar(&o.spec.Reducers, "reducers", "", "`N` parts of output; auto by default, 0 for maps alone")
		f.IntVar(&o.spec.Maps, "maps", 0, "`N` maps of a job without input, each of which is given its number")
		f.StringVar(&o.spec.Partitioner, "partitioner", "", "`WAY` to divide keys among parts: hash, total-order or function")
		f.StringVar(&o.spec.Key, "key", "",
			"`ORDER` of keys, as in group=1,numeric,reverse,separator=TEXT (a secondary sort)")
	})
	grouped(flags, "What it may use", func(f *pflag.FlagSet) {
		f.StringVar(&o.spec.Executors, "executors", "", "`N` processes; auto by default, one for each core")
		f.IntVar(&o.spec.CPU, "cpu", 0, "`N` cores of each executor; 1 by default")
		f.IntVar(&o.spec.GPUs, "gpus", 0, "`N` GPUs of each executor, on a cluster that has some; none by default")
		f.StringVar(&o.spec.Memory, "memory", "", "`SIZE` of each executor, as in 256MiB; 1GiB by default")
		addParallel(f, &o.parallel)
		f.StringVar(&o.spec.Queue, "queue", "", "`NAME` of the queue to wait in on a cluster")
		f.StringVar(&o.spec.Name, "name", "", "`NAME` of the job, the second half of its id")
		f.IntVar(&o.spec.Priority, "priority", 0, "`N` from 0 to 100: the higher is first in its queue; 0 by default")
	})
	grouped(flags, "What it puts up with", func(f *pflag.FlagSet) {
		f.StringVar(&o.spec.TaskTimeout, "task-timeout", "",
			"`TIME` without news that ends an attempt; 10m by default, or never")
		f.IntVar(&o.spec.MaxFailedPercent, "max-failed-percent", 0, "`N` of a hundred maps may fail; none by default")
		f.IntVar(&o.spec.SkipBad, "skip-bad", 0, "`N` records that functions fail at may be left out; none by default")
		f.IntVar(&o.retries, "retries", 0,
			"`N` times a job that has failed is tried again, of a file of several jobs; none by default")
		f.StringVar(&o.spec.Shuffle, "shuffle", "",
			"`PLACE` of map output: local by default, or store, for machines that vanish")
		f.StringVar(&o.spec.Speculative, "speculative", "",
			"`true|false`: whether a slow attempt gets a second one beside it")
	})
}

func (o *runOptions) AddFlags(flags *pflag.FlagSet) {
	o.addJob(flags)
	o.watch.AddFlags(flags)
	grouped(flags, tellGroup, func(f *pflag.FlagSet) {
		f.BoolVar(&o.detach, "detach", false, "print the id and leave the job running")
	})
	o.circle.AddFlags(flags)
}

func newRun(p *program) *cobra.Command {
	var o runOptions
	cmd := verb{
		use:  "run JOB.yaml | - | NAME | ./binary [flags]",
		does: "Runs a job and waits for it.",
		more: "JOB.yaml is a specification (`runner help spec`); a flag wins over its key. It may have several jobs.\n" +
			"- reads it from standard input.\n" +
			"NAME is a job that comes with the program:\n" + builtinJobs() +
			"or trains and applies models (docs/guagua.md has their parameters):\n" + builtinPrograms() +
			"or task: it runs --command many times (docs/spec.md says what the command finds).\n" +
			"./binary is a program of yours that calls functions.Main.\n" +
			"Interrupting it ends the job and leaves nothing behind. A job that was cut off goes on with `runner resume`.",
		examples: []string{
			"runner run wordcount --input books/*.txt --output out/words",
			"runner run task --command 'python3 train.py' --tasks 100 --output out/models",
			"runner run job.yaml --memory 256MiB --overwrite",
		},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 1, "a JOB.yaml, the NAME of a job, or a ./binary"); err != nil {
			return err
		}
		return p.run(cmd.Context(), o, args[0])
	})
	o.AddFlags(cmd.Flags())
	p.addCluster(cmd.Flags())
	return cmd
}

func builtinJobs() string {
	var b strings.Builder
	for _, j := range builtin.Jobs() {
		fmt.Fprintf(&b, "  %-12s %s\n", j.Name, j.Doc)
	}
	return b.String()
}

func builtinPrograms() string {
	var b strings.Builder
	for _, d := range algo.Descriptions() {
		fmt.Fprintf(&b, "  %-19s %s\n", d.Name, d.Does)
	}
	return b.String()
}

func (p *program) run(ctx context.Context, o runOptions, what string) error {
	if o.circle.deploy || o.circle.teardown {
		return p.circle(ctx, o, what)
	}
	specs, err := specsOf(ctx, what, o.function)
	if err != nil {
		return err
	}
	if len(specs) > 1 {
		return p.runChain(ctx, o, what, specs)
	}
	if o.parallel != 0 || o.retries != 0 {
		return say.Errorf(errs.Invalid, "--parallel and --retries are about a file of several jobs, and this is one")
	}
	at, end, err := p.open(ctx) // first, since a cluster says how its store is reached
	if err != nil {
		return err
	}
	defer end()
	job, err := prepare(ctx, o.spec, specs[0], what)
	if err != nil {
		return err
	}
	if job, err = submit(ctx, at, job); err != nil {
		return err
	}
	if o.detach {
		return p.leaveTo(ctx, at, job, o.watch)
	}
	return p.supervise(ctx, at, job, o.watch)
}

// prepare makes a job of what was asked for. All that can be known to be wrong is found before anything is created.
func prepare(ctx context.Context, flags spec.Flags, s spec.Spec, what string) (scheduler.Job, error) {
	if err := flags.Apply(&s); err != nil {
		return scheduler.Job{}, err
	}
	fillPlaces(&s, what)
	return jobOf(ctx, s)
}

// jobOf makes a job of a specification, if nothing is wrong with it.
func jobOf(ctx context.Context, s spec.Spec) (scheduler.Job, error) {
	dir, err := os.Getwd()
	if err != nil {
		return scheduler.Job{}, errs.E("run", errs.Other, nil, err)
	}
	return jobIn(ctx, s, dir)
}

// jobIn is jobOf for a specification whose paths are meant from dir.
func jobIn(ctx context.Context, s spec.Spec, dir string) (scheduler.Job, error) {
	job, err := s.Job(dir)
	if err != nil {
		return scheduler.Job{}, err
	}
	job.Submitted, job.User = time.Now().UTC(), os.Getenv("USER")
	if err := checkJob(ctx, job, newResolver(job.Output), nil); err != nil {
		return scheduler.Job{}, say.Usage(err)
	}
	return job, nil
}
