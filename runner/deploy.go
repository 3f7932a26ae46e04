package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/runner/deploy"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/format"
	"github.com/seed3322913c/runner/runner/local"
	"github.com/seed3322913c/runner/runner/say"
)

// defaultCluster is the name of a fleet that nobody has named.
const defaultCluster = "demo"

type deployOptions struct {
	name    string
	at      siteOptions
	request machines.Request
	limits  machines.Limits
	plan    bool
	noWait  bool
	change  changeOptions
}

// changeOptions are those of all verbs that make or remove machines.
type changeOptions struct {
	yes       bool
	breakLock bool
	json      bool
}

// siteOptions say where a fleet is of which nothing is known here.
type siteOptions struct {
	provider string
	region   string
	programs string
	anew     bool
}

// AddFlags adds the flags of all verbs that may be about a fleet of which nothing is known here.
func (o *siteOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, placeGroup, func(f *pflag.FlagSet) {
		f.StringVar(&o.provider, "provider", "", "`WHOSE` machines: "+strings.Join(deploy.Providers(), ", ")+
			"; local by default, which are processes on this host")
		f.StringVar(&o.region, "region", "", "`REGION` of the provider, as in us-east-1; $AWS_REGION by default")
	})
}

func (o *changeOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, tellGroup, func(f *pflag.FlagSet) {
		f.BoolVar(&o.yes, "yes", false, "don't ask")
		f.BoolVar(&o.breakLock, "break-lock", false, "the one who holds the lock on the state is gone")
		f.BoolVar(&o.json, "json", false, "one line of JSON for each event, the last one the result")
	})
}

func (o *deployOptions) AddFlags(flags *pflag.FlagSet) {
	r := &o.request
	grouped(flags, placeGroup, func(f *pflag.FlagSet) {
		f.StringVar(&o.name, "name", defaultCluster, "`NAME` of the fleet")
		o.addAccess(f)
	})
	o.at.AddFlags(flags)
	grouped(flags, "How large it is", func(f *pflag.FlagSet) {
		f.IntVar(&r.Workers, "workers", 3, "`N` machines that run jobs; 0 is possible")
		f.IntVar(&r.Min, "min", 0, "`N` workers that there are always, if there may be more")
		f.IntVar(&r.Max, "max", 0, "`N` workers that there may be when jobs need them; as many as --workers by default")
		f.DurationVar(&r.Cooldown, "cooldown", 0, "`TIME` without work after which a worker above --min ends; 2m by default")
		o.addServers(f)
		f.StringSliceVar(&r.WorkerTypes, "instance-type", nil, "`TYPE` of workers; several are tried in turn")
		f.StringVar(&r.ServerType, "server-type", "", "`TYPE` of servers")
		f.IntVar(&r.DiskGiB, "disk", 0, "`GIB` of each worker's disk; 50 by default")
		f.Float64Var(&r.Spot, "spot", 0, "`SHARE` of workers that may be spot machines, 0 to 1")
	})
	grouped(flags, "What it may cost", func(f *pflag.FlagSet) {
		f.DurationVar(&r.TTL, "ttl", 4*time.Hour, "`TIME` after which it removes itself")
		f.DurationVar(&r.Idle, "idle", 0, "`TIME` without a job after which it removes itself; never by default")
		f.Float64Var(&o.limits.MaxHourly, "max-hourly-usd", 0, "`USD` an hour that it may cost at most")
		f.IntVar(&o.limits.MaxWorkers, "max-workers", 0, "`N` workers that are allowed at most")
		f.StringSliceVar(&o.limits.Regions, "allowed-regions", nil, "`REGIONS` that are allowed")
		f.StringSliceVar(&o.limits.Accounts, "allowed-accounts", nil, "`ACCOUNTS` that are allowed")
	})
	grouped(flags, tellGroup, func(f *pflag.FlagSet) {
		f.BoolVar(&o.plan, "plan", false, "show what would be done, and do nothing")
		f.BoolVar(&o.noWait, "no-wait", false, "don't wait until the machines work")
	})
	o.change.AddFlags(flags)
}

// addAccess adds the flags that say from where a fleet is reached, and what its machines run.
func (o *deployOptions) addAccess(f *pflag.FlagSet) {
	f.StringVar(&o.at.programs, "programs", "",
		"`FOLDER` with runner, consul and nomad for the machines; found by default")
	f.StringArrayVar(&o.request.AllowFrom, "allow-from", nil,
		"`NETWORK` from which servers are reached, as in 203.0.113.7/32")
	f.StringVar(&o.request.Driver, "driver", "",
		"`DRIVER` of Nomad for containers: exec, or raw_exec without walls between them; exec by default")
}

func (o *deployOptions) addServers(f *pflag.FlagSet) {
	f.IntVar(&o.request.Servers, "servers", 0,
		"`N` machines that keep the fleet together: 1, 3 or 5; 3 by default, 1 of local")
}

func newDeploy(p *program) *cobra.Command {
	var o deployOptions
	cmd := verb{
		use:  "deploy [flags]",
		does: "Makes a fleet of machines that removes itself when its time is over.",
		more: "It tells what it will make and what that costs, and asks before it does so. " +
			"The machines of the provider local\n" +
			"are processes on this host, so that a fleet can be tried before it is paid for (Linux, root).\n" +
			"Doing it again goes on with what was cut off, replaces what is broken, and changes nothing that is well.",
		examples: []string{
			"runner deploy --provider local --workers 3", "runner deploy --plan --json",
			"runner deploy --provider aws --region eu-west-1 --workers 8 --spot 0.7 --ttl 2h --allow-from 203.0.113.7/32",
		},
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		if err := fixedOrElastic(cmd); err != nil {
			return err
		}
		return p.deploy(cmd.Context(), o)
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

// site opens a fleet by its name.
func (p *program) site(ctx context.Context, name string, at siteOptions, o changeOptions) (*deploy.Site, error) {
	home, err := embedded.HomeDir()
	if err != nil {
		return nil, err
	}
	return deploy.Open(ctx, home, name, deployOf(at, o))
}

func deployOf(at siteOptions, o changeOptions) deploy.Options {
	return deploy.Options{
		Provider: at.provider, Region: at.region, Programs: at.programs, Anew: at.anew, Open: fleetStore,
		Terraform: machines.Options{BreakLock: o.breakLock},
	}
}

func (p *program) deploy(ctx context.Context, o deployOptions) error {
	a, err := p.agree(ctx, o)
	if err != nil || o.plan {
		return err
	}
	return p.build(ctx, a)
}

// agreement is a plan to which the user has said yes.
type agreement struct {
	site    *deploy.Site
	request machines.Request
	plan    machines.Plan
	options deployOptions
	tell    *teller
}

// agree plans a fleet, says what that means, and asks. Nothing is made.
func (p *program) agree(ctx context.Context, o deployOptions) (agreement, error) {
	a := agreement{options: o, tell: p.teller(o.change)}
	var err error
	o.at.anew = true
	if a.site, err = p.site(ctx, o.name, o.at, o.change); err != nil {
		return a, err
	}
	r := o.request
	r.Owner = owner()
	if r.Servers == 0 && a.site.Provider() == local.Name {
		r.Servers = 1
	}
	a.request = r
	if a.plan, err = a.site.Plan(ctx, r, o.limits, a.tell.aside); err != nil {
		return a, err
	}
	if o.plan && o.change.json {
		return a, unread(writeJSON(p.out, a.plan))
	}
	fmt.Fprint(a.tell.story, planWords(a.plan))
	if a.site.Provider() == deploy.AWS && len(r.AllowFrom) == 0 {
		fmt.Fprintln(a.tell.story, "Nobody outside of its network will reach it; --allow-from NETWORK lets one in.")
	}
	if o.plan || a.plan.Empty() {
		return a, nil
	}
	return a, confirm(ctx, a.tell.story, o.change)
}

// apply makes what was agreed on. What a run that was killed has asked the cloud for may come into being when this one
// has looked for leftovers already, and be in its way: then it looks again, once.
func (a agreement) apply(ctx context.Context) error {
	err := a.site.Apply(ctx, a.plan, a.tell.event)
	if _, refused := errors.AsType[*machines.Refusal](err); refused || errs.KindOf(err) != errs.Exist {
		return err
	}
	a.tell.note("something is there that was not before; once more")
	plan, err := a.site.Plan(ctx, a.request, a.options.limits, a.tell.aside)
	if err != nil {
		return err
	}
	return a.site.Apply(ctx, plan, a.tell.event)
}

// build makes what was agreed on, and waits until it works.
func (p *program) build(ctx context.Context, a agreement) error {
	watch := start()
	if !a.plan.Empty() {
		if err := a.apply(ctx); err != nil {
			return err
		}
	}
	watch.lap("Terraform")
	if a.options.noWait {
		if _, err := a.site.Connect(ctx); err != nil {
			return err
		}
		return p.arrived(a, watch.all)
	}
	boot, health, err := a.site.Await(ctx, a.tell.health)
	if err != nil {
		return err
	}
	p.tellControls(ctx, a.site)
	if err := p.rewake(ctx, a.site); err != nil {
		a.tell.aside("Nothing wakes it for its schedules yet: " + say.Sentence(err) +
			"; `runner schedule resume NAME` tries again")
	}
	return p.arrived(a, append(watch.all, phase{"boot", boot}, phase{"health", health}))
}

// arrived says what can be done with a fleet.
func (p *program) arrived(a agreement, took phases) error {
	s := a.site
	rec, err := s.Record()
	if err != nil {
		return err
	}
	data := "s3://" + rec.Bucket
	if a.options.change.json {
		return unread(writeJSON(p.out, map[string]any{
			"event": "result", "time": time.Now().UTC(), "cluster": s.Name, "expires_at": rec.ExpiresAt, "data": data,
			"ready": !a.options.noWait, "seconds": took,
		}))
	}
	state := fmt.Sprintf("Ready in %s (%s).", format.Duration(time.Since(a.tell.began)), took)
	if a.options.noWait {
		state = fmt.Sprintf("The machines boot; `runner status --cluster %s` says how far they are.", s.Name)
	}
	_, err = fmt.Fprintf(p.out, "%s It removes itself at %s.\n"+
		"  runner fs put FILES %[4]s/in/\n"+
		"  runner run wordcount --cluster %[3]s --input %[4]s/in --output %[4]s/out\n"+
		"  runner status --cluster %[3]s   runner extend %[3]s --ttl 2h   runner scale %[3]s --workers 0   runner teardown "+
		"%[3]s\n",
		state, clock(rec.ExpiresAt), s.Name, data)
	return unread(err)
}

// clock is a moment as people read it who may sit elsewhere than the machines.
func clock(t time.Time) string {
	if time.Until(t) > 20*time.Hour {
		return t.Local().Format("Mon 15:04 MST")
	}
	return t.Local().Format("15:04 MST")
}

// owner is who can be asked about a fleet.
func owner() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// planWords says what a plan means.
func planWords(p machines.Plan) string {
	var b strings.Builder
	where := "on this host"
	if p.Region != "" {
		where = "in " + p.Region + " (account " + p.Account + ")"
	}
	if p.Empty() {
		fmt.Fprintf(&b, "%s is there as it was asked for; nothing has to be done.\n", p.Cluster)
		return b.String()
	}
	fmt.Fprintf(&b, "%s %s will be %s:\n", p.Cluster, where, changeWords(p))
	for _, g := range p.Groups {
		fmt.Fprintf(&b, "  %-12s", format.Plural(int64(g.Count), string(g.Role)))
		if g.Most > 0 {
			fmt.Fprintf(&b, " up to %d when jobs need them;", g.Most)
		}
		if g.Hourly > 0 {
			fmt.Fprintf(&b, " %-12s %d on demand, %d spot  $%.2f/h", g.Type, g.OnDemand, g.Spot, g.Hourly)
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprintf(&b, "  1 bucket     %s\n  1 dead-man switch\n", p.Bucket)
	if n := len(p.Leftovers); n > 0 {
		fmt.Fprintf(&b, "%s that an earlier run has left will be removed first.\n", format.Plural(int64(n), "thing"))
	}
	until := clock(p.ExpiresAt)
	if p.PricesOf.IsZero() {
		fmt.Fprintf(&b, "It costs nothing. At %s everything but the bucket removes itself, also if nobody is there.\n", until)
		return b.String()
	}
	fmt.Fprintf(&b,
		"About $%.2f an hour (never above $%.2f), $%.2f until %s, when everything but the bucket removes itself, "+
			"also if this machine is off. Prices of %s.\n", p.Hourly, p.HourlyMost, p.Total, until,
		p.PricesOf.Format(time.DateOnly))
	if len(p.Unpriced) > 0 {
		fmt.Fprintf(&b, "The price of %s is not known, and not in there.\n", strings.Join(p.Unpriced, ", "))
	}
	return b.String()
}

// changeWords says what happens to the resources of a fleet.
func changeWords(p machines.Plan) string {
	var words []string
	for _, c := range []struct {
		action machines.Action
		word   string
	}{
		{machines.Create, "made"}, {machines.Replace, "replaced"}, {machines.Update, "changed"}, {machines.Delete, "removed"},
		{machines.Import, "taken over"},
	} {
		if n := p.Count(c.action); n > 0 && n == len(p.Changes) {
			return c.word
		} else if n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, c.word))
		}
	}
	if words == nil {
		return "made ready" // by what no state knows: machines that start, leftovers that go, the end of an earlier run
	}
	return "changed (" + strings.Join(words, ", ") + ")"
}

// confirm asks whether to go on.
func confirm(ctx context.Context, story io.Writer, o changeOptions) error {
	if o.yes {
		return nil
	}
	if o.json || !term.IsTerminal(int(os.Stdin.Fd())) {
		return say.Errorf(errs.Invalid, "nobody can be asked here; say --yes to go on")
	}
	fmt.Fprint(story, "Go ahead? [y/N] ")
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n') // the end of input is a no
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case line := <-answer:
		if line == "y" || line == "yes" {
			return nil
		}
		return say.Errorf(errs.Canceled, "nothing was done")
	case <-ctx.Done():
		return say.Errorf(errs.Canceled, "nothing was done")
	}
}

// teller tells how making or removing a fleet goes on.
type teller struct {
	story io.Writer // for people; nothing in JSON
	err   io.Writer // for people, whatever out is for
	out   io.Writer
	json  bool
	began time.Time
}

// teller returns one that tells as o says. What it tells of goes on when nobody listens.
func (p *program) teller(o changeOptions) *teller {
	needNoReader()
	t := &teller{story: p.err, err: p.err, out: p.out, json: o.json, began: time.Now()}
	if o.json {
		t.story = io.Discard
	}
	return t
}

func (t *teller) note(text string) { fmt.Fprintf(t.story, "  %s\n", text) }

// aside tells what somebody should know also when a program reads the answer: it will be in some log.
func (t *teller) aside(text string) { fmt.Fprintf(t.err, "  %s\n", text) }

// event tells one step of Terraform.
func (t *teller) event(e machines.Event) {
	if t.json {
		_ = writeJSON(t.out, map[string]any{"event": "change", "time": time.Now().UTC(), "change": e}) // who reads has gone
		return
	}
	switch e.Kind {
	case machines.Finished:
		fmt.Fprintf(t.story, "  %-24s ✓ %s\n", partOf(e.Address), format.Duration(e.Elapsed))
	case machines.Broken:
		fmt.Fprintf(t.story, "  %-24s ✗ %s\n", partOf(e.Address), e.Message)
	case machines.Note, machines.Problem:
		t.note(e.Message)
	}
}

// partOf is the part of a fleet that a resource belongs to: "workers" of "module.workers.terraform_data.part".
func partOf(address string) string {
	rest, ok := strings.CutPrefix(address, "module.")
	if !ok {
		return address
	}
	part, inner, _ := strings.Cut(rest, ".")
	if inner == "terraform_data.part" {
		return part
	}
	return part + " " + inner
}

// health tells how many machines work.
func (t *teller) health(h deploy.Health) {
	if t.json {
		_ = writeJSON(t.out, map[string]any{"event": "health", "time": time.Now().UTC(), "health": h}) // who reads has gone
		return
	}
	fmt.Fprintf(t.story, "  servers %d/%d   workers %d/%d%s\n", h.Servers, h.OfServers, h.Workers, h.OfWorkers,
		map[bool]string{true: "   all answer"}[h.Answers])
	if h.Waiting != "" {
		t.note("waiting: " + h.Waiting)
	}
	for _, r := range h.Reports {
		if r.State.Trouble() {
			fmt.Fprintf(t.story, "  %s: %s\n", r.Machine, r.Message)
		}
	}
}
