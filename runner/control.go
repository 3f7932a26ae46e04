package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/commit"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/control"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/fnhost"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/scaling"
	"github.com/seed3322913c/runner/runner/spec"
	"github.com/seed3322913c/runner/runner/ui"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/cron"
)

type controlOptions struct {
	store string
	coord string
	http  string
}

// AddFlags adds the flags of `runner control`.
func (o *controlOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, "What it serves", func(f *pflag.FlagSet) {
		f.StringVar(&o.store, "store", "", "`URI` of what the fleet keeps; $RUNNER_STORE by default")
		f.StringVar(&o.coord, "coord", "consul", "`WHERE` controls agree who leads: consul")
		f.StringVar(&o.http, "http", "", "`ADDRESS` to serve on; the machine's own, port 7338, by default")
	})
}

func newControl(p *program) *cobra.Command {
	var o controlOptions
	cmd := verb{
		use: "control [flags]", does: "Is a fleet's control: takes jobs, divides machines among them, answers the API.",
		more: "A fleet starts three of them; one leads. docs/fleet.md tells what they do.", hidden: true,
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 0, "no argument"); err != nil {
			return err
		}
		return p.control(cmd.Context(), o)
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

// control serves until it is told to end.
func (p *program) control(ctx context.Context, o controlOptions) error {
	if !fleet.Inside() || o.coord != "consul" {
		return say.Errorf(errs.Invalid,
			"a control is part of a fleet, which starts it; `scripts/cluster up` makes one on this machine")
	}
	around, err := fleet.FromEnv()
	if err != nil {
		return err
	}
	if o.store != "" {
		around.Cluster.Store = o.store
	}
	if o.http != "" {
		around.Listen = o.http
	}
	f, err := fleet.Open(ctx, around.Cluster, fleetStore)
	if err != nil {
		return err
	}
	defer f.Close()
	log := slog.New(slog.NewTextHandler(p.err, nil))
	machines, err := scaledMachines(ctx, f, log)
	if err != nil {
		return err
	}
	s, handler, err := newControlServer(f, around, machines, log)
	if err != nil {
		return err
	}
	listener, err := around.Open()
	if err != nil {
		return err
	}
	log.Info("started", "process", os.Getpid(), "build", buildInfo().Revision, "address", listener.Addr())
	duties := fleetDuties(f, s, log)
	if machines != nil {
		duties = append(duties, control.Duty{Name: "scaling", Do: func(ctx context.Context) error {
			return machines.Run(ctx, s.Standing)
		}})
	}
	awake, err := awakeDuty(ctx, f)
	if err != nil {
		return err
	}
	duties = append(duties, awake...)
	run := func(ctx context.Context) error { return s.Run(ctx, duties...) }
	return serveControl(ctx, run, handler, listener)
}

// newControlServer wires a control: what it decides with, and what it answers with.
//
//	listener ──┬─ /v1/             ── leads: api.New(fleetParts...) │ else: handed on to the leader
//	           ├─ /metrics /debug/ ── this process, whether it leads or not
//	           └─ pages
func newControlServer(
	f *fleet.Fleet, around fleet.Surroundings, machines *scaling.Machines, log *slog.Logger,
) (*control.Server, http.Handler, error) {
	others, err := around.Cluster.Anywhere()
	if err != nil {
		return nil, nil, err
	}
	jobs := f.Jobs()
	jobs.Resolve = newResolver("")
	var most func() int
	if machines != nil {
		most = machines.Most
	}
	s := control.New(control.Config{
		Store: jobs.Store, Coord: f.Coord(), Fleet: f, Jobs: jobs,
		Compile: compileForFleet, Check: checkForFleet, Size: demandOf, Most: most,
		Address: around.URL(), HandOn: others,
		Options: control.Options{Name: around.Cluster.Name, Version: buildInfo().Version, Log: log},
	})
	tokens := access.NewTokens(jobs.Store, time.Now)
	door := api.Options{Who: tokens.Check, Rate: rateOfToken, Burst: burstOfToken}
	v1, err := api.New(door, append(fleetParts(f, s), api.TokensPart(tokens), api.SessionPart())...)
	if err != nil {
		return nil, nil, err
	}
	counted := prometheus.NewRegistry()
	counted.MustRegister(s.Collector(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	ops, err := api.New(door, api.OpsPart(counted))
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", ui.New(s.Handler(v1), ui.Options{Everywhere: true, Fleet: true}))
	mux.Handle("/metrics", ops)
	mux.Handle("/debug/", ops)
	return s, mux, nil
}

// fleetParts is what the API of a fleet is made of.
func fleetParts(f *fleet.Fleet, s *control.Server) []api.Part {
	jobs := f.Jobs()
	return []api.Part{api.JobsPart(fleetJobs{jobs, s, f}, newResolver("")), api.ControlPart(s, s), fnhost.FleetPart(f),
		api.SchedulesPart(cron.Book{Store: jobs.Store}, api.Compiler{
			Spec: compileSharedSchedule, Work: takeSharedWork,
		}),
		api.FleetPart(toldFleet{jobs.Store, f.Name()}), api.FilesPart(browsable(f.StoreURI()))}
}

// fleetDuties is what the control that leads does beside dividing machines.
func fleetDuties(f *fleet.Fleet, s *control.Server, log *slog.Logger) []control.Duty {
	return []control.Duty{
		{Name: "schedules", Do: func(ctx context.Context) error { return fireOnFleet(ctx, f, s, log) }},
		{Name: "tidying", Do: func(ctx context.Context) error { return tidyFleet(ctx, f) }},
	}
}

// betweenTidying is how often a control looks for what jobs that are over have left.
const betweenTidying = time.Minute

// tidyFleet removes what jobs that are over have left in Nomad and Consul, until ctx ends. Mostly that is nothing: who
// sees a job to its end cleans up behind it.
func tidyFleet(ctx context.Context, f *fleet.Fleet) error {
	for {
		if err := f.Tidy(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(betweenTidying):
		}
	}
}

// How often the owner of a token may ask.
const (
	rateOfToken  = 200 // times a second
	burstOfToken = 1000
)

// serveControl serves, and runs a control, until ctx ends.
func serveControl(
	ctx context.Context, run func(context.Context) error, handler http.Handler, listener net.Listener,
) error {
	server := &http.Server{
		Handler: handler, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
	all, ctx := errgroup.WithContext(ctx)
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	all.Go(func() error { return run(ctx) })
	all.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	all.Go(func() error {
		<-ctx.Done()
		return server.Close() // nothing that is served is worth waiting for
	})
	return all.Wait()
}

// compileForFleet makes a job of a specification that came over the API.
func compileForFleet(text []byte) (scheduler.Job, error) {
	specs, err := spec.Parse("the specification", text)
	if err != nil {
		return scheduler.Job{}, err
	}
	if len(specs) != 1 {
		return scheduler.Job{}, say.Errorf(errs.Unsupported, "%d jobs in one request; submit them one by one", len(specs))
	}
	return specs[0].Job("/")
}

// checkForFleet finds what is wrong with a job that came over the API.
func checkForFleet(ctx context.Context, job scheduler.Job) error {
	if err := onlyShared(job); err != nil {
		return err
	}
	return say.Usage(checkShipped(ctx, job, nil))
}

// checkShipped finds what is wrong with a job whose parts may have been shipped from elsewhere. They were looked at
// there, and nobody's program is run beside a control: of such a job only its output is looked at.
func checkShipped(ctx context.Context, job scheduler.Job, made func(uri string) bool) error {
	if slices.ContainsFunc(append(slices.Clone(job.Input), job.Output), isGateway) {
		return nil // where gateways are, and who asks them, the job's own processes are told; who submits it has looked
	}
	resolve := newResolver(job.Output)
	job.Secrets = nil // the control is given them, and does not have them
	job.Files = slices.DeleteFunc(slices.Clone(job.Files), func(f scheduler.File) bool { return f.Object != "" })
	if !fleet.Shipped(job) {
		return checkJob(ctx, job, resolve, made)
	}
	if job.Output == "" { // tasks need none
		return nil
	}
	out, err := commit.New(ctx, job, resolve)
	if err != nil {
		return err
	}
	return out.Check(ctx)
}

// demandOf says how many executors a job wants, and without how many it cannot work.
func demandOf(job scheduler.Job, cores int) (want, gang int) {
	want = executorsFor(job, cores)
	if job.Kind == engine.Kind {
		gang = want // all workers compute an iteration together
	}
	return want, gang
}

// fleetJobs shows the jobs of a fleet to the API.
type fleetJobs struct {
	embedded.Jobs
	*control.Server
	fleet *fleet.Fleet
}

func (j fleetJobs) Logs(id scheduler.JobID) fs.FS { return j.fleet.LogFiles(id) }

// Used implements api.Meter.
func (j fleetJobs) Used(ctx context.Context, r am.Report) client.Usage {
	u := used(r, time.Now())
	if list, err := j.Nodes(ctx); err == nil { // else no control leads, and the price is left out
		bill(&u, list.Nodes, pricesOf(ctx, j.fleet))
	}
	return u
}
