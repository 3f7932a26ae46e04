package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/runner/deploy"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/scaling"
	"github.com/seed3322913c/runner/scheduler"
)

// fleetStatus is how a fleet stands, in JSON.
type fleetStatus struct {
	clusterLine
	Health   deploy.Health      `json:"health"`
	Machines []machines.Machine `json:"machines"`
	Jobs     []scheduler.JobID  `json:"jobs"`               // that run
	Scalings []scaling.Event    `json:"scalings,omitempty"` // the last decisions about the number of workers
	Trouble  string             `json:"trouble,omitempty"`  // why its jobs are not known
}

// fleetStatus tells how the fleet stands that was asked for, or the only one.
func (p *program) fleetStatus(ctx context.Context, o statusOptions) error {
	name := cmp.Or(p.cluster, os.Getenv(clusterEnv))
	if name == "" {
		home, err := embedded.HomeDir()
		if err != nil {
			return err
		}
		names, err := fleetNames(home)
		if err != nil {
			return err
		}
		if len(names) != 1 {
			return say.Errorf(errs.Invalid,
				"status needs the ID of a job, or --cluster NAME of a fleet; see `runner help status`")
		}
		name = names[0]
	}
	s, err := p.known(ctx, name, siteOptions{}, changeOptions{})
	if err != nil {
		return err
	}
	status, err := p.lookAt(ctx, s)
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(p.out, status)
	}
	_, err = fmt.Fprint(p.out, status.words(time.Now()))
	return err
}

func (p *program) lookAt(ctx context.Context, s *deploy.Site) (fleetStatus, error) {
	rec, err := s.Record()
	if err != nil {
		return fleetStatus{}, err
	}
	status := fleetStatus{clusterLine: lineOf(rec, time.Now())}
	if status.Health, err = s.Health(ctx); err != nil {
		return status, err
	}
	silent, err := s.Silent(ctx, status.Health)
	if err != nil {
		return status, err
	}
	status.Health.Reports = append(status.Health.Reports, silent...)
	if status.Machines, err = s.Machines(ctx); err != nil {
		return status, err
	}
	if status.Scalings, err = s.Scalings(ctx); err != nil {
		return status, err
	}
	_, _ = s.Connect(ctx) // servers may have been replaced; that there are none yet, the health has said
	if status.Jobs, err = s.Running(ctx); err != nil {
		status.Trouble = say.Sentence(err)
	}
	return status, nil
}

// words is the status for people: a line for the fleet, one for each machine, and what is wrong.
func (f fleetStatus) words(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s  %s  $%.2f so far\n", f.Name, f.Phase, workersOf(f.Workers, f.Max), f.when(now),
		f.Cost.USD)
	said := map[string]nodeinit.Report{}
	for _, r := range f.Health.Reports {
		said[r.Machine] = r
	}
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, m := range f.Machines {
		r := said[m.ID]
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\n", m.ID, m.Private, m.State, r.State, r.Message)
	}
	_ = table.Flush() // into memory
	for _, r := range f.Health.Reports {
		if r.State.Trouble() && r.Log != "" {
			fmt.Fprintf(&b, "  %s said:\n%s\n", r.Machine, indent(r.Log))
		}
	}
	b.WriteString(tellScalings(f.Scalings))
	var ids []string
	for _, id := range f.Jobs {
		ids = append(ids, short(id))
	}
	switch {
	case f.Phase == machines.Deployed && len(f.Machines) == 0:
		fmt.Fprintf(&b, "  No machine runs: its time was over, or nobody has wanted anything of it.\n"+
			"  `runner deploy --name %s` starts some again, `runner teardown %[1]s` removes what is left.\n", f.Name)
	case f.Trouble != "":
		fmt.Fprintf(&b, "  Its jobs are not known: %s\n", f.Trouble)
	case len(ids) == 0:
		fmt.Fprintln(&b, "  No job is running.")
	default:
		fmt.Fprintf(&b, "  Running: %s\n", strings.Join(ids, ", "))
	}
	return b.String()
}

// indent moves the last lines of a text to the right.
func indent(text string) string {
	const most = 8
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return "    " + strings.Join(lines[max(0, len(lines)-most):], "\n    ")
}
