package main

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/runner/deploy"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

type teardownOptions struct {
	purge  bool
	at     siteOptions
	change changeOptions
}

func (o *teardownOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, "What goes", func(f *pflag.FlagSet) {
		f.BoolVar(&o.purge, "purge-data", false, "remove the bucket and all data in it, too")
	})
	o.at.AddFlags(flags)
	o.change.AddFlags(flags)
}

func newTeardown(p *program) *cobra.Command {
	var o teardownOptions
	cmd := verb{
		use:  "teardown [NAME] [flags]",
		does: "Removes a fleet, and proves that nothing of it is left but its data.",
		more: "Jobs that run are named, and killed after it has asked. " +
			"It works as well when the machines are dead, when it was\n" +
			"cut off before, and when what was known of the fleet is lost: then say --provider\n" +
			"and --region. Without a NAME it is the only fleet.",
		examples: []string{"runner teardown demo", "runner teardown demo --yes --purge-data",
			"runner teardown demo --provider aws --region eu-west-1 --json --yes"},
	}.command(func(cmd *cobra.Command, args []string) error {
		name, err := onlyFleet(cmd, args)
		if err != nil {
			return err
		}
		return p.teardown(cmd.Context(), o, name)
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

// onlyFleet is the fleet that a verb is about: the one that it names, or the only one that there is.
func onlyFleet(cmd *cobra.Command, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], wantArgs(cmd, args, 1, "the NAME of a fleet")
	}
	home, err := embedded.HomeDir()
	if err != nil {
		return "", err
	}
	names, err := fleetNames(home)
	switch {
	case err != nil:
		return "", err
	case len(names) == 0:
		return "", say.Errorf(errs.NotFound, "there is no fleet; `runner deploy` makes one")
	case len(names) > 1:
		return "", say.Errorf(errs.Invalid, "%s needs the NAME of a fleet; there are %s", cmd.Name(),
			strings.Join(names, ", "))
	}
	return names[0], nil
}

// fleetNames are those of the fleets of which something may be there.
func fleetNames(home string) ([]string, error) {
	all, err := machines.List(home)
	var names []string
	for _, r := range all {
		if r.Phase != machines.Gone {
			names = append(names, r.Request.Name)
		}
	}
	return names, err
}

// known opens a fleet of which something is known, or there.
func (p *program) known(ctx context.Context, name string, at siteOptions, o changeOptions) (*deploy.Site, error) {
	s, err := p.site(ctx, name, at, o)
	if err != nil {
		return nil, err
	}
	rec, err := s.Record()
	if err == nil && rec.Phase != machines.Gone {
		return s, nil
	}
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return nil, err
	}
	left, err := s.Left(ctx)
	if err != nil {
		return nil, err
	}
	if len(left) > 0 {
		return s, nil
	}
	home, err := embedded.HomeDir()
	if err != nil {
		return nil, err
	}
	names, err := fleetNames(home)
	if err != nil {
		return nil, err
	}
	if slices.Contains(fleet.Names(home), name) {
		return nil, say.Errorf(errs.Invalid, "`runner deploy` has not made %s; `runner nodes --cluster %[1]s` tells of its "+
			"machines, `runner queues` and `runner jobs` of its jobs", name)
	}
	return nil, say.Errorf(errs.NotFound, "there is no fleet %q.%s `runner clusters` lists them", name,
		say.DidYouMean(name, names))
}

func (p *program) teardown(ctx context.Context, o teardownOptions, name string) error {
	s, err := p.site(ctx, name, o.at, o.change)
	if err == nil {
		err = s.Abandon(ctx) // of a fleet that was never made, or is gone
	}
	if err == nil {
		s, err = p.known(ctx, name, o.at, o.change)
	}
	if err != nil {
		return err
	}
	tell, watch := p.teller(o.change), start()
	running, err := s.Running(ctx)
	if err != nil {
		tell.note("its jobs are not known: " + say.Sentence(err))
	}
	plan, err := s.PlanTeardown(ctx, o.purge)
	if err != nil {
		return err
	}
	watch.lap("plan")
	fmt.Fprintln(tell.story, teardownWords(plan, running))
	if err := confirm(ctx, tell.story, o.change); err != nil {
		return err
	}
	watch.skip()
	if len(running) > 0 {
		if err := s.KillAll(ctx, "its fleet was torn down"); err != nil {
			tell.note("not all jobs could be killed: " + say.Sentence(err)) // they end with their machines
		}
	}
	watch.lap("jobs")
	if err := s.Apply(ctx, plan, tell.event); err != nil {
		return err
	}
	if err := s.Forget(); err != nil {
		return err
	}
	watch.lap("removal")
	left, err := s.Left(ctx)
	if err != nil {
		return err
	}
	watch.lap("scan")
	return p.farewell(s, o.change, removed{killed: running, left: left, took: watch.all})
}

// teardownWords says what a teardown removes.
func teardownWords(p machines.Plan, running []scheduler.JobID) string {
	var b strings.Builder
	if len(running) > 0 {
		var ids []string
		for _, id := range running {
			ids = append(ids, short(id))
		}
		is, it := "are", "them"
		if len(ids) == 1 {
			is, it = "is", "it"
		}
		fmt.Fprintf(&b, "%s %s running (%s). Kill %s and remove ", format.Plural(int64(len(ids)), "job"), is,
			strings.Join(ids, ", "), it)
	} else {
		b.WriteString("No job is running. Remove ")
	}
	fmt.Fprintf(&b, "%s of %s?", format.Plural(int64(len(p.Changes)+len(p.Leftovers)), "resource"), p.Cluster)
	if p.Purges {
		fmt.Fprintf(&b, " All data in bucket %s is lost.", p.Bucket)
	} else {
		fmt.Fprintf(&b, " Data in bucket %s stays.", p.Bucket)
	}
	return b.String()
}

// removed is what has become of a fleet.
type removed struct {
	killed []scheduler.JobID
	left   []machines.Resource
	took   phases
}

// farewell says what is left of a fleet, and what it has cost.
func (p *program) farewell(s *deploy.Site, o changeOptions, r removed) error {
	rec, err := s.Record()
	if err != nil {
		return err
	}
	cost := rec.Cost(time.Now())
	if o.json {
		return unread(writeJSON(p.out, map[string]any{
			"event": "result", "time": time.Now().UTC(), "cluster": s.Name, "killed": append([]scheduler.JobID{}, r.killed...),
			"left": append([]machines.Resource{}, r.left...), "cost": cost, "seconds": r.took,
		}))
	}
	but := ""
	if len(r.left) > 0 {
		but = " but its bucket (" + strings.Join(kept(r.left), ", ") + ")"
	}
	_, err = fmt.Fprintf(p.out, "Nothing of %s is left%s, after %s (%s). %s\n", s.Name, but,
		format.Duration(r.took.total()), r.took, costWords(cost))
	return unread(err)
}

// kept names what was kept, with its size where it is on this host.
func kept(left []machines.Resource) []string {
	var all []string
	for _, r := range left {
		text := say.Path(r.ID)
		if size, ok := sizeOf(r.ID); ok {
			text += ", " + format.Bytes(size)
		}
		all = append(all, text)
	}
	return all
}

// sizeOf is how many bytes a folder of this host has.
func sizeOf(dir string) (size int64, ok bool) {
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err == nil && filepath.IsAbs(dir)
}

// costWords says what a fleet has cost.
func costWords(c machines.Cost) string {
	ran := "It ran for " + format.Duration(c.Running)
	if c.PricesOf.IsZero() {
		return ran + " and cost nothing."
	}
	return fmt.Sprintf("%s and cost about $%.2f, by prices of %s.", ran, c.USD, c.PricesOf.Format(time.DateOnly))
}
