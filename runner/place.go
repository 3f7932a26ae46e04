package main

import (
	"cmp"
	"context"
	"os"

	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/below"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// place is where jobs are recorded and run: the home folder of this machine, or a fleet. What only one verb needs, or
// only one of the two can do, is found by assertion.
type place interface {
	embedded.Place
	Chains() embedded.Chains
	// Supervise runs a recorded job, or takes it up where it is, and watches it to its end.
	Supervise(ctx context.Context, job scheduler.Job, o embedded.Options) (am.Report, error)
}

// clusterEnv names the cluster when no flag does.
const clusterEnv = "RUNNER_CLUSTER"

const placeGroup = "Where"

func (p *program) addCluster(flags *pflag.FlagSet) {
	grouped(flags, placeGroup, func(f *pflag.FlagSet) {
		f.StringVar(&p.cluster, "cluster", "", "`NAME` of the fleet; $RUNNER_CLUSTER by default, this machine without one")
	})
}

// open opens the place that was asked for. The returned function gives it back.
func (p *program) open(ctx context.Context) (place, func(), error) {
	name := cmp.Or(p.cluster, os.Getenv(clusterEnv))
	if name == "" {
		home, err := embedded.OpenHome()
		if err == nil {
			home.Away = p.ownFleet
			_ = home.Sweep(ctx) // what cannot be removed now is in nobody's way, and the next verb tries again
		}
		return home, func() {}, err
	}
	f, err := openFleet(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	return f, f.Close, nil
}

func openFleet(ctx context.Context, name string) (*fleet.Fleet, error) {
	dir, err := embedded.HomeDir()
	if err != nil {
		return nil, err
	}
	cluster, err := fleet.Load(dir, name)
	if err != nil {
		return nil, err
	}
	if cluster, err = cluster.Entitled(ctx, dir, fleetStore); err != nil {
		return nil, err
	}
	return fleet.Open(ctx, cluster, fleetStore)
}

func loadCluster(name string) (fleet.Cluster, error) {
	dir, err := embedded.HomeDir()
	if err != nil {
		return fleet.Cluster{}, err
	}
	return fleet.Load(dir, name)
}

// surround lets a verb that only reads and writes files see those of a cluster: of the one that was asked for, else of
// the first to which a path leads, unless the environment says where such paths lead.
func (p *program) surround(paths ...string) error {
	dir, err := embedded.HomeDir()
	if err != nil {
		return err
	}
	if name := cmp.Or(p.cluster, os.Getenv(clusterEnv)); name != "" {
		cluster, err := fleet.Load(dir, name)
		if err != nil {
			return err
		}
		return cluster.Surround()
	}
	if os.Getenv("AWS_ENDPOINT_URL") != "" || os.Getenv(gatewaysEnv) != "" {
		return nil
	}
	for _, path := range paths {
		cluster, found, err := fleet.Owner(dir, path)
		if err != nil {
			return err
		}
		if found {
			return cluster.Surround()
		}
	}
	return nil
}

// fleetStore opens what a fleet keeps its jobs in: a bucket, or a folder of one.
func fleetStore(ctx context.Context, uri string) (store.Store, error) {
	place, name := cut(uri)
	st, err := openStore(ctx, place, false)
	if err != nil || name == "" {
		return st, err
	}
	return below.New(st, name)
}

// onlyShared refuses a job that names files of one machine, which the others cannot see.
func onlyShared(job scheduler.Job) error {
	for _, uri := range append([]string{job.Output}, job.Input...) {
		if scheme, _ := cut(uri); scheme == "file://" {
			return say.Errorf(errs.Invalid, "%s is on this machine, and the cluster's machines can't see it; "+
				"say s3://BUCKET/... instead, where `runner fs put` puts files", say.Path(uri))
		}
	}
	return nil
}

// forFleet prepares a job for a fleet: files of this machine are not there, but for the job's package, which goes
// along.
func forFleet(ctx context.Context, f *fleet.Fleet, job scheduler.Job) (scheduler.Job, error) {
	if err := onlyShared(job); err != nil {
		return job, err
	}
	job, err := f.Ship(ctx, job)
	if err != nil || job.Resources.Executors > 0 {
		return job, err
	}
	machines, err := f.Ready(ctx)
	job.Resources.Executors = executorsFor(job, machines*job.Resources.CPU) // one on each, or more
	return job, err
}

// submit gives a job an id, and records it, or prepares it for the fleet that will.
func submit(ctx context.Context, at place, job scheduler.Job) (scheduler.Job, error) {
	if f, ok := at.(*fleet.Fleet); ok {
		job, err := forFleet(ctx, f, job)
		if err != nil {
			return job, err
		}
		return f.Prepare(ctx, newResolver(""), job)
	}
	jobs := at.Jobs()
	jobs.Resolve = newResolver("")
	return jobs.Submit(ctx, job)
}
