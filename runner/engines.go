package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/mapreduce/split"
	"github.com/seed3322913c/runner/runner/blocks"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/task"
	"github.com/seed3322913c/runner/runner/training"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cache"
)

// The four functions below are all that ties a job's kind to its engine.

// checkJob finds what is wrong with a job before anything is created. Other jobs are still to make the inputs and files
// of which made reports true; that can be nil.
func checkJob(ctx context.Context, job scheduler.Job, resolve store.Resolve, made func(uri string) bool) error {
	if made == nil {
		made = func(string) bool { return false }
	}
	if _, err := fleet.Secrets(job); err != nil {
		return err
	}
	if err := cache.Check(ctx, resolve, job, made); err != nil {
		return err
	}
	switch job.Kind {
	case mapreduce.Kind:
		return mapreduce.CheckBefore(ctx, job, resolve, made)
	case engine.Kind:
		if slices.ContainsFunc(job.Input, made) {
			return nil // it is checked when it starts, as all jobs are
		}
		with, err := training.Surroundings(ctx, job, resolve)
		if err != nil {
			return err
		}
		return engine.New(job, nil, with, slotsOf(job)).Check(ctx)
	case task.Kind:
		return task.Check(ctx, job, resolve, made)
	}
	return noEngine(job)
}

// newEngine returns the half of an engine that works in the application master.
func newEngine(ctx context.Context, r role) (scheduler.Engine, error) {
	resolve := newResolver("")
	switch r.job.Kind {
	case mapreduce.Kind:
		o := mapreduce.EngineOptions{Slots: slotsOf(r.job)}
		if r.member != nil {
			machines, err := r.member.Launcher.Machines(ctx)
			if err != nil {
				return nil, err
			}
			o.Near = func(s split.Split) []string { return blocks.Near(machines, s) }
		}
		return tellingEngine{mapreduce.NewEngine(r.job, r.home.Store, resolve, o)}, nil
	case engine.Kind:
		with, err := training.Surroundings(ctx, r.job, resolve)
		if err != nil {
			return nil, err
		}
		e := engine.New(r.job, r.home.Store, with, slotsOf(r.job))
		if adapter, err := engine.AdapterOf(r.job); err != nil || adapter != engine.MapReduce {
			return tellingEngine{e}, err
		}
		return tellingEngine{training.NewMapOnly(r.job, r.home.Store, resolve, e)}, nil
	case task.Kind:
		return tellingEngine{task.NewEngine(r.job, r.home.Store, resolve)}, nil
	}
	return nil, noEngine(r.job)
}

// newBody returns the half of an engine that works in executors, and what ends it.
func newBody(ctx context.Context, r role) (body scheduler.Body, end func(), err error) {
	if body, end, err = bodyOf(ctx, r); err != nil {
		return nil, nil, err
	}
	return telling{metered{body}}, end, nil
}

func bodyOf(ctx context.Context, r role) (body scheduler.Body, end func(), err error) {
	resolve := newResolver("")
	switch r.job.Kind {
	case mapreduce.Kind:
		giveBack := func() {}
		if r.member != nil {
			dir, err := embedded.HomeDir()
			if err != nil {
				return nil, nil, err
			}
			resolve, giveBack = blocks.Keep(resolve, filepath.Join(dir, "blocks"), blocks.Options{})
		}
		b := mapreduce.NewBody(resolve, mapreduce.BodyOptions{Store: r.home.Store, Shuffle: r.readers()})
		return blocks.Keeper{Body: b}, func() { b.Close(); giveBack() }, nil
	case engine.Kind:
		with, err := training.Surroundings(ctx, r.job, resolve)
		if err != nil {
			return nil, nil, err
		}
		host, _, err := net.SplitHostPort(r.session.Node) // where this machine's node is reached, its masters are, too
		if err != nil {
			return nil, nil, errs.E("engine", errs.Internal, r.session.Node, err)
		}
		b := engine.NewBody(r.home.Store, r.home.Coord, with, engine.BodyOptions{Host: host})
		if adapter, err := engine.AdapterOf(r.job); err != nil || adapter != engine.MapReduce {
			return b, func() {}, err
		}
		return training.NewMapOnlyBody(r.home.Store, resolve, b), func() {}, nil
	case task.Kind:
		return task.NewBody(r.home.Store, resolve), func() {}, nil
	}
	return nil, nil, noEngine(r.job)
}

// executorsOf is how many executors a job has on this machine.
func executorsOf(job scheduler.Job) int { return executorsFor(job, runtime.NumCPU()) }

// executorsFor is how many executors a job has where there are so many cores for it: as many as were asked for; else as
// many as have room for all that must run at the same time, or as there are cores for. A job's master in training has
// next to nothing to do while its workers compute, so it has no core of its own.
func executorsFor(job scheduler.Job, cores int) int {
	cpu := job.Resources.CPU
	if job.Kind == engine.Kind {
		places, err := engine.Places(job)
		if err != nil || places == 0 { // checkJob tells what is wrong
			places = cores + 1
		}
		cores = places + cpu - 1 // rounded up
	}
	return cmp.Or(job.Resources.Executors, max(1, cores/cpu))
}

// slotsOf is how many attempts of a job run at the same time.
func slotsOf(job scheduler.Job) int { return executorsOf(job) * job.Resources.CPU }

// telling is a Body whose errors people can read: what failed where and why, without the way through the program.
type telling struct{ scheduler.Body }

func (t telling) Run(ctx context.Context, a scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
	data, err := t.Body.Run(ctx, a, r)
	if _, lost := errors.AsType[*scheduler.InputLost](err); lost {
		return data, err // the application master acts on it
	}
	return data, say.Plain(err)
}

// tellingEngine is an Engine whose errors people can read.
type tellingEngine struct{ scheduler.Engine }

func (t tellingEngine) Plan(ctx context.Context) (scheduler.Plan, error) {
	plan, err := t.Engine.Plan(ctx)
	return plan, say.Plain(err)
}

func (t tellingEngine) Cut(ctx context.Context, stage string, in scheduler.Outputs) ([]scheduler.Task, error) {
	tasks, err := t.Engine.Cut(ctx, stage, in)
	return tasks, say.Plain(err)
}

func (t tellingEngine) Commit(
	ctx context.Context, in scheduler.Outputs, counters scheduler.Counters,
) (json.RawMessage, error) {
	result, err := t.Engine.Commit(ctx, in, counters)
	return result, say.Plain(err)
}

func noEngine(job scheduler.Job) error {
	return errs.Errorf("engine", errs.Unsupported, job.ID, "jobs of kind %q are not supported by this version", job.Kind)
}
