package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
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
)

type clustersOptions struct {
	env  bool
	all  bool
	json bool
}

func (o *clustersOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, tellGroup, func(f *pflag.FlagSet) {
		f.BoolVar(&o.env, "env", false, "lines for a shell with which other tools reach NAME's bucket")
		f.BoolVar(&o.all, "all", false, "those that are gone, too")
	})
	addJSON(flags, &o.json)
}

func newClusters(p *program) *cobra.Command {
	var o clustersOptions
	cmd := verb{
		use:  "clusters [NAME] [flags]",
		does: "Lists fleets: what they are, when they end, what they have cost.",
		examples: []string{
			"runner clusters", "eval \"$(runner clusters demo --env)\"; runner fs ls s3://runner-demo/",
			"runner clusters --all --json",
		},
	}.command(func(cmd *cobra.Command, args []string) error {
		home, err := embedded.HomeDir()
		if err != nil {
			return err
		}
		if o.env {
			name, err := onlyFleet(cmd, args)
			if err != nil {
				return err
			}
			return p.clusterEnv(home, name)
		}
		return p.clusters(home, o, args)
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

// clusterEnv prints what tools need to reach a fleet's bucket.
func (p *program) clusterEnv(home, name string) error {
	c, err := fleet.Load(home, name)
	if err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(c.Env)) {
		quoted := strings.ReplaceAll(c.Env[k], "'", `'\''`)
		if _, err := fmt.Fprintf(p.out, "export %s='%s'\n", k, quoted); err != nil {
			return err
		}
	}
	return nil
}

// clusterLine is one fleet in JSON.
type clusterLine struct {
	Name      string         `json:"name"`
	Provider  string         `json:"provider"`
	Phase     machines.Phase `json:"phase"`
	Servers   int            `json:"servers"`
	Workers   int            `json:"workers"`       // if it grows by itself the least
	Max       int            `json:"max,omitempty"` // workers of such a fleet
	ExpiresAt time.Time      `json:"expires_at,omitzero"`
	Over      bool           `json:"over"`            // its time has come, and nothing wakes it
	Wakes     *waking        `json:"wakes,omitempty"` // its time has come, until then
	Idle      time.Duration  `json:"idle,omitempty"`  // without a job for so long it removes itself, too
	Bucket    string         `json:"bucket,omitempty"`
	Cost      machines.Cost  `json:"cost"`
}

func lineOf(r machines.Record, now time.Time) clusterLine {
	line := clusterLine{
		Name: r.Request.Name, Provider: r.Request.Provider, Phase: r.Phase, Servers: r.Request.Servers,
		Workers: r.Request.Workers, Max: r.Request.Max, ExpiresAt: r.ExpiresAt, Idle: r.Request.Idle, Bucket: r.Bucket,
		Cost: r.Cost(now),
	}
	if r.Phase == machines.Deployed && now.After(r.ExpiresAt) {
		line.Wakes = nextWaking(r.Request.Wakes, now)
		line.Over = line.Wakes == nil
	}
	return line
}

// workersOf says how many workers a fleet has, or may have.
func workersOf(least, most int) string {
	if most > 0 {
		return fmt.Sprintf("%d to %s", least, format.Plural(int64(most), "worker"))
	}
	return format.Plural(int64(least), "worker")
}

// when says in words how long a fleet has.
func (c clusterLine) when(now time.Time) string {
	switch {
	case c.Phase == machines.Gone:
		return "gone"
	case c.Over:
		return "its time was over at " + clock(c.ExpiresAt)
	case c.Wakes != nil:
		return fmt.Sprintf("sleeps, until schedule %s wakes it at %s", c.Wakes.Schedule, c.Wakes.At.Format("Mon 15:04 MST"))
	case c.Phase != machines.Deployed:
		return string(c.Phase) + "; cut off, or under way"
	}
	text := fmt.Sprintf("until %s, for %s", clock(c.ExpiresAt), format.Duration(c.ExpiresAt.Sub(now).Round(time.Minute)))
	if c.Idle > 0 {
		text += fmt.Sprintf(", or %s without a job", format.Duration(c.Idle))
	}
	return text
}

// fleetLines are the fleets of a home, or the one that is named; those that are gone if all is true.
func fleetLines(home string, args []string, all bool) ([]clusterLine, error) {
	records, err := machines.List(home)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	lines := []clusterLine{} // an empty list in JSON, too
	for _, r := range records {
		if (all || r.Phase != machines.Gone) && (len(args) == 0 || args[0] == r.Request.Name) {
			lines = append(lines, lineOf(r, now))
		}
	}
	if len(args) > 0 && len(lines) == 0 {
		return nil, say.Errorf(errs.NotFound, "there is no fleet %q", args[0])
	}
	return lines, nil
}

func (p *program) clusters(home string, o clustersOptions, args []string) error {
	lines, err := fleetLines(home, args, o.all)
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(p.out, lines)
	}
	if len(lines) == 0 {
		fmt.Fprintln(p.err, "No fleets. Try: runner deploy --provider local")
		return nil
	}
	now := time.Now()
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, c := range lines {
		fmt.Fprintf(table, "%s\t%s\t%s, %s\t%s\t$%.2f so far\n", c.Name, c.Provider,
			format.Plural(int64(c.Servers), "server"),
			workersOf(c.Workers, c.Max), c.when(now), c.Cost.USD)
	}
	return table.Flush()
}

type extendOptions struct {
	ttl  time.Duration
	json bool
}

func newExtend(p *program) *cobra.Command {
	var o extendOptions
	cmd := verb{
		use:      "extend [NAME] --ttl TIME [flags]",
		does:     "Moves the time at which a fleet removes itself.",
		more:     "The TIME counts from now, so a fleet can be given less, too. A week is the most.",
		examples: []string{"runner extend demo --ttl 2h", "runner extend --ttl 30m", "runner extend demo --ttl 2h --json"},
	}.command(func(cmd *cobra.Command, args []string) error {
		name, err := onlyFleet(cmd, args)
		if err != nil {
			return err
		}
		if o.ttl <= 0 {
			return say.Errorf(errs.Invalid, "extend needs --ttl TIME, as in --ttl 2h")
		}
		s, err := p.known(cmd.Context(), name, siteOptions{}, changeOptions{})
		if err != nil {
			return err
		}
		if err := s.Extend(cmd.Context(), time.Now().Add(o.ttl)); err != nil {
			return err
		}
		p.tellControls(cmd.Context(), s)
		rec, err := s.Record()
		if err != nil {
			return err
		}
		if o.json {
			return writeJSON(p.out, lineOf(rec, time.Now()))
		}
		_, err = fmt.Fprintf(p.out, "%s removes itself at %s.\n", name, clock(rec.ExpiresAt))
		return err
	})
	grouped(cmd.Flags(), "How long", func(f *pflag.FlagSet) {
		f.DurationVar(&o.ttl, "ttl", 0, "`TIME` from now, as in 90m or 12h")
	})
	addJSON(cmd.Flags(), &o.json)
	return cmd
}

type scaleOptions struct {
	workers  int
	least    int
	most     int
	cooldown time.Duration
	limits   machines.Limits
	noWait   bool
	json     bool
}

func newScale(p *program) *cobra.Command {
	var o scaleOptions
	cmd := verb{
		use:  "scale [NAME] (--workers N | --min N --max N) [flags]",
		does: "Changes how many workers a fleet has, or may have.",
		more: "0 leaves the servers, and costs as little; jobs wait until there are workers again. " +
			"Machines that go move their\n" +
			"work elsewhere first. With --max the fleet grows by itself when jobs wait, " +
			"and shrinks when machines have nothing\n" +
			"to do.",
		examples: []string{"runner scale demo --workers 8", "runner scale demo --min 0 --max 20",
			"runner scale --workers 3 --json"},
	}.command(func(cmd *cobra.Command, args []string) error {
		name, err := onlyFleet(cmd, args)
		if err != nil {
			return err
		}
		if !cmd.Flags().Changed("workers") && o.most == 0 {
			return say.Errorf(errs.Invalid, "scale needs --workers N, or --max N")
		}
		if err := fixedOrElastic(cmd); err != nil {
			return err
		}
		return p.scale(cmd.Context(), o, name)
	})
	grouped(cmd.Flags(), "How large", func(f *pflag.FlagSet) {
		f.IntVar(&o.workers, "workers", 0, "`N` machines that run jobs")
		f.IntVar(&o.least, "min", 0, "`N` workers that there are always, if there may be more")
		f.IntVar(&o.most, "max", 0, "`N` workers that there may be when jobs need them")
		f.DurationVar(&o.cooldown, "cooldown", 0, "`TIME` without work after which a worker above --min ends; 2m by default")
		f.Float64Var(&o.limits.MaxHourly, "max-hourly-usd", 0, "`USD` an hour that the fleet may cost at most")
		f.IntVar(&o.limits.MaxWorkers, "max-workers", 0, "`N` workers that are allowed at most")
	})
	grouped(cmd.Flags(), tellGroup, func(f *pflag.FlagSet) {
		f.BoolVar(&o.noWait, "no-wait", false, "don't wait until new machines work")
		f.BoolVar(&o.json, "json", false, "one line of JSON for each event, the last one the result")
	})
	return cmd
}

func (p *program) scale(ctx context.Context, o scaleOptions, name string) error {
	tell := p.teller(changeOptions{json: o.json})
	s, err := p.known(ctx, name, siteOptions{}, changeOptions{})
	if err != nil {
		return err
	}
	if o.most > 0 {
		err = s.Bound(ctx, o.least, o.most, o.cooldown, o.limits)
	} else {
		err = s.Scale(ctx, o.workers, o.limits)
	}
	if err != nil {
		return err
	}
	if !o.noWait {
		if _, _, err := s.Await(ctx, tell.health); err != nil {
			return err
		}
	}
	p.tellControls(ctx, s)
	rec, err := s.Record()
	if err != nil {
		return err
	}
	if o.json {
		return unread(writeJSON(p.out, lineOf(rec, time.Now())))
	}
	_, err = fmt.Fprintf(p.out, "%s has %s.\n", name, workersOf(rec.Request.Workers, rec.Request.Max))
	return unread(err)
}

type costOptions struct {
	json bool
}

func newCost(p *program) *cobra.Command {
	var o costOptions
	cmd := verb{
		use:      "cost [NAME] [flags]",
		does:     "Says what fleets have cost, those that are gone included.",
		more:     "It multiplies hours by a table of list prices, whose date it tells. The bill of the cloud is exact.",
		examples: []string{"runner cost", "runner cost demo", "runner cost --json"},
	}.command(func(cmd *cobra.Command, args []string) error {
		home, err := embedded.HomeDir()
		if err != nil {
			return err
		}
		return p.cost(cmd.Context(), home, o, args)
	})
	addJSON(cmd.Flags(), &o.json)
	return cmd
}

func (p *program) cost(ctx context.Context, home string, o costOptions, args []string) error {
	lines, err := fleetLines(home, args, true)
	if err != nil {
		return err
	}
	for i, c := range lines {
		if c.Phase != machines.Deployed || c.Max == 0 {
			continue // it is known here
		}
		s, err := p.site(ctx, c.Name, siteOptions{}, changeOptions{})
		if err != nil {
			return err
		}
		if lines[i].Cost, err = s.Cost(ctx); err != nil {
			return err
		}
	}
	if o.json {
		return writeJSON(p.out, lines)
	}
	if len(lines) == 0 {
		fmt.Fprintln(p.err, "There was no fleet yet.")
		return nil
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, c := range lines {
		prices := "nobody pays"
		if !c.Cost.PricesOf.IsZero() {
			prices = "prices of " + c.Cost.PricesOf.Format(time.DateOnly)
		}
		fmt.Fprintf(table, "%s\t%s\tfor %s\t$%.2f\t$%.2f an hour now\t%s\n", c.Name, c.Phase, format.Duration(c.Cost.Running),
			c.Cost.USD, c.Cost.Hourly, prices)
	}
	return table.Flush()
}

type gcOptions struct {
	at     siteOptions
	dryRun bool
	change changeOptions
}

func newGC(p *program) *cobra.Command {
	var o gcOptions
	cmd := verb{
		use:  "gc [flags]",
		does: "Finds and removes what fleets have left behind of which nobody knows.",
		more: "It asks the providers for all that carries the mark of a fleet, whatever is known here. " +
			"What belongs to a fleet\n" +
			"that is known and runs is no leftover, and buckets with data stay. " +
			"It looks at this host, and at every region in which\n" +
			"there ever was a fleet of yours; --provider and --region add another one.",
		examples: []string{
			"runner gc --dry-run", "runner gc --yes", "runner gc --provider aws --region eu-west-1 --dry-run --json",
		},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		return p.gc(cmd.Context(), o)
	})
	grouped(cmd.Flags(), "What goes", func(f *pflag.FlagSet) {
		f.BoolVar(&o.dryRun, "dry-run", false, "list it, and remove nothing")
	})
	o.at.AddFlags(cmd.Flags())
	o.change.AddFlags(cmd.Flags())
	return cmd
}

func (p *program) gc(ctx context.Context, o gcOptions) error {
	home, err := embedded.HomeDir()
	if err != nil {
		return err
	}
	tell := p.teller(o.change)
	left, err := deploy.Leftovers(ctx, home, deployOf(o.at, o.change))
	if err != nil {
		return err
	}
	if o.dryRun && o.change.json {
		return writeJSON(p.out, append([]deploy.Leftover{}, left...))
	}
	for _, r := range left {
		fmt.Fprintf(p.err, "  %s of %s\n", r, r.Cluster)
	}
	if len(left) == 0 || o.dryRun {
		return p.gcDone(len(left), o)
	}
	if err := confirm(ctx, p.err, o.change); err != nil {
		return err
	}
	if err := deploy.Remove(ctx, left, tell.event); err != nil {
		return err
	}
	return p.gcDone(len(left), o)
}

func (p *program) gcDone(n int, o gcOptions) error {
	if o.change.json {
		return unread(writeJSON(p.out, map[string]any{"event": "result", "time": time.Now().UTC(), "removed": n}))
	}
	verb := "removed"
	if o.dryRun {
		verb = "left behind"
	}
	_, err := fmt.Fprintf(p.out, "%s %s.\n", format.Plural(int64(n), "thing"), verb)
	return unread(err)
}
