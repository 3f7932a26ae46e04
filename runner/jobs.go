package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/scheduler"
)

type jobsOptions struct {
	json bool
}

func (o *jobsOptions) AddFlags(flags *pflag.FlagSet) { addJSON(flags, &o.json) }

func newJobs(p *program) *cobra.Command {
	var o jobsOptions
	cmd := verb{
		use:      "jobs [flags]",
		does:     "Lists the jobs of this machine, or of a cluster, the newest first.",
		examples: []string{"runner jobs", "runner jobs --json", "runner jobs | grep FAILED"},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		return p.jobs(cmd.Context(), o)
	})
	o.AddFlags(cmd.Flags())
	p.addCluster(cmd.Flags())
	return cmd
}

func (p *program) jobs(ctx context.Context, o jobsOptions) error {
	at, end, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer end()
	all, err := allJobs(ctx, at)
	if err != nil {
		return err
	}
	statuses := append([]embedded.Status{}, all...) // an empty list in JSON, too
	if o.json {
		return writeJSON(p.out, statuses)
	}
	if len(statuses) == 0 {
		fmt.Fprintln(p.err, "No jobs yet. Try: runner demo")
		return nil
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	chains := map[string]bool{} // those that were listed
	for _, s := range statuses {
		if s.Chain != "" && !chains[s.Chain] {
			chains[s.Chain] = true
			if err := p.chainLine(ctx, at, table, s); err != nil {
				return err
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", short(s.Job), s.Word(), started(s), duration(s), s.Name)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, s := range statuses {
		if s.Interrupted {
			fmt.Fprintf(p.err, "To go on with a job that was cut off: runner resume %s\n", short(s.Job))
			break
		}
	}
	return nil
}

// allJobs returns how the jobs of a place stand, the newest first.
func allJobs(ctx context.Context, at place) (all []embedded.Status, err error) {
	if f, ok := at.(*fleet.Fleet); ok {
		return f.All(ctx)
	}
	jobs, err := at.Jobs().All(ctx)
	if err != nil {
		return nil, err
	}
	for _, job := range jobs {
		s, err := at.Status(ctx, job)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// findJob returns the one job of a place whose id begins with prefix.
func findJob(ctx context.Context, at place, prefix string) (scheduler.Job, error) {
	if f, ok := at.(*fleet.Fleet); ok {
		return f.Find(ctx, prefix)
	}
	return at.Jobs().Find(ctx, prefix)
}

// chainLine lists the chain of a job, before the newest of its jobs.
func (p *program) chainLine(ctx context.Context, at place, table io.Writer, job embedded.Status) error {
	c, err := at.Jobs().GetChain(ctx, scheduler.JobID(job.Chain))
	if err != nil {
		return err
	}
	s, err := at.Chains().Status(ctx, c)
	if err != nil {
		return err
	}
	job.Submitted, job.Started, job.Ended, job.Interrupted = s.Submitted, s.Started, s.Ended, s.Interrupted
	_, err = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s (%s)\n", short(s.Chain), s.Word(), started(job), duration(job),
		s.Name, format.Plural(int64(len(s.Jobs)), "job"))
	return err
}

// started is when a job began, as short as people need it.
func started(s embedded.Status) string {
	at := s.Submitted.Local()
	switch age := time.Since(at); {
	case age < 24*time.Hour:
		return at.Format("15:04:05")
	case age < 300*24*time.Hour:
		return at.Format("Jan _2 15:04")
	}
	return at.Format("2006-01-02")
}

// duration is how long a job took, or has taken so far.
func duration(s embedded.Status) string {
	switch {
	case s.Started.IsZero():
		return "-"
	case !s.Ended.IsZero():
		return format.Duration(took(s.Report))
	case s.Interrupted:
		return "-"
	}
	return format.Duration(time.Since(s.Started))
}
