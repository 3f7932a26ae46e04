package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/spec"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

type statusOptions struct {
	json bool
	spec bool
}

func (o *statusOptions) AddFlags(flags *pflag.FlagSet) {
	addJSON(flags, &o.json)
	grouped(flags, tellGroup, func(f *pflag.FlagSet) {
		f.BoolVar(&o.spec, "spec", false, "the job as a specification, to run it again")
	})
}

func newStatus(p *program) *cobra.Command {
	var o statusOptions
	cmd := verb{
		use:  "status [ID] [flags]",
		does: "Tells how one job stands, or how it went; without an ID, how a fleet stands.",
		more: "ID is a job's or a chain's id, or as much of its beginning as no other has. " +
			"Of a fleet it tells of its machines,\n" +
			"why they don't boot, when it ends, and which jobs run.",
		examples: []string{
			"runner status 7k2f", "runner status 7k2f --json | jq .counters", "runner status 7k2f --spec > job.yaml",
		},
	}.ofJobOrChain(p, func(ctx context.Context, at place, job scheduler.Job) error {
		return p.status(ctx, o, at, job)
	}, func(ctx context.Context, at place, chain embedded.Chain) error {
		if o.spec {
			return say.Errorf(errs.Invalid, "%s is a chain of jobs; say the ID of one of them", chain.ID)
		}
		s, err := at.Chains().Status(ctx, chain)
		if err != nil {
			return err
		}
		if o.json {
			return writeJSON(p.out, s)
		}
		_, err = fmt.Fprint(p.out, describeChain(s))
		return err
	})
	ofJob := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return p.fleetStatus(cmd.Context(), o)
		}
		return ofJob(cmd, args)
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func (p *program) status(ctx context.Context, o statusOptions, at place, job scheduler.Job) error {
	if o.spec {
		text, err := spec.YAML(job)
		if err != nil {
			return err
		}
		_, err = p.out.Write(text)
		return err
	}
	s, err := at.Status(ctx, job)
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(p.out, s)
	}
	used := usageOf(ctx, at, s.Report)
	_, err = fmt.Fprint(p.out, describe(job, s, metricsOf(ctx, job, s.Report))+indented(usageLine(used)))
	return err
}

// describe is a job in a few lines. metrics is what training has come to, if it is that.
func describe(job scheduler.Job, s embedded.Status, metrics string) string {
	var b strings.Builder
	head := []string{string(s.Job), s.Word(), duration(s)}
	for _, stage := range s.Stages {
		head = append(head, stageWords(stage))
	}
	fmt.Fprintln(&b, strings.Join(head, "  "))
	if s.Message != "" {
		fmt.Fprintf(&b, "  %s\n", say.Shorten(s.Message))
	}
	if t, ok := tasksOf(job, s.Report); ok {
		fmt.Fprintf(&b, "  %s", strings.ReplaceAll(t, "\nO", "\n  O"))
	} else if t, ok := trainingOf(job, s.Report); ok {
		fmt.Fprintf(&b, "  %s\n  %s", metrics, filesLine(job.Output, t))
	} else if m, ok := summaryOf(s.Report); ok {
		facts := []string{
			"in " + format.Bytes(m.Totals.BytesRead), "out " + format.Bytes(m.Totals.OutputBytes),
			"shuffled " + format.Bytes(m.Totals.SegmentBytes),
		}
		if rate := format.Rate(m.Totals.BytesRead, took(s.Report)); rate != "" && m.Totals.BytesRead >= 1e6 {
			facts = append(facts, rate)
		}
		fmt.Fprintf(&b, "  %s\n  %s", strings.Join(facts, "   "), outputLine(job.Output, m, nil))
		if line := skewLine(m); line != "" {
			fmt.Fprintf(&b, "  %s", line)
		}
	} else if metrics != "" {
		fmt.Fprintf(&b, "  %s\n", metrics)
	}
	if line, task := slowest(s.Report); line != "" && job.Kind != engine.Kind { // whose tasks end together
		fmt.Fprintf(&b, "  %s      runner logs %s --task %s\n", line, short(job.ID), task)
	}
	if s.Interrupted {
		fmt.Fprintf(&b, "  It was cut off; finished tasks are kept. To go on: runner resume %s\n", short(job.ID))
	}
	return b.String()
}

// indented is a line below a head; nothing of none.
func indented(line string) string {
	if line == "" {
		return ""
	}
	return "  " + line
}

// stageWords counts a stage's tasks and what went wrong among them:
//
//	824 maps (1 given up; 3 tried again: 2 lost, 1 failed; 2 overtaken by their backups)
func stageWords(s am.StageReport) string {
	if s.Open {
		return s.Name + " open"
	}
	words := format.Plural(int64(s.Tasks), s.Name)
	if s.Done < s.Tasks {
		words = format.Count(int64(s.Done)) + " of " + words
	}
	var bad []string
	if s.Lost > 0 {
		bad = append(bad, fmt.Sprintf("%d lost", s.Lost))
	}
	if s.Failed > 0 {
		bad = append(bad, fmt.Sprintf("%d failed", s.Failed))
	}
	var notes []string
	if s.GivenUp > 0 {
		notes = append(notes, fmt.Sprintf("%d given up", s.GivenUp))
	}
	if len(bad) > 0 {
		notes = append(notes, fmt.Sprintf("%d tried again: %s", s.Lost+s.Failed, strings.Join(bad, ", ")))
	}
	if s.Killed > 0 && s.Done+s.GivenUp == s.Tasks { // killed beside a result: one of the two was a backup
		whose := map[bool]string{true: "its backup", false: "their backups"}[s.Killed == 1]
		notes = append(notes, fmt.Sprintf("%d overtaken by %s", s.Killed, whose))
	}
	if len(notes) > 0 {
		words += " (" + strings.Join(notes, "; ") + ")"
	}
	return words
}

// slowest names the slowest attempt, and what is usual in its stage.
func slowest(r am.Report) (line string, task scheduler.TaskID) {
	if len(r.Slowest) == 0 {
		return "", task
	}
	worst := slices.MaxFunc(r.Slowest, func(a, b am.AttemptReport) int {
		return int(a.End.Sub(a.Start) - b.End.Sub(b.Start))
	})
	var peers []time.Duration
	for _, a := range r.Attempts {
		if a.ID.Task.Stage == worst.ID.Task.Stage && a.State == scheduler.AttemptSucceeded {
			peers = append(peers, a.End.Sub(a.Start))
		}
	}
	longest := worst.End.Sub(worst.Start)
	line = fmt.Sprintf("slowest: %s on %s, %s", worst.ID.Task, worst.Executor, format.Duration(longest))
	if len(peers) > 1 {
		slices.Sort(peers)
		line += fmt.Sprintf(" (median %s)", format.Duration(peers[len(peers)/2]))
	}
	return line, worst.ID.Task
}
