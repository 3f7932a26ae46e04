package main

import (
	"cmp"
	"context"
	"errors"
	"runtime"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

// The three functions below are all that ties a job's kind to its engine.

// checkJob finds what is wrong with a job before anything is created.
func checkJob(ctx context.Context, job scheduler.Job, resolve store.Resolve) error {
	if job.Kind != mapreduce.Kind {
		return noEngine(job)
	}
	return mapreduce.Check(ctx, job, resolve)
}

// newEngine returns the half of an engine that works in the application master.
func newEngine(r role) (scheduler.Engine, error) {
	if r.job.Kind != mapreduce.Kind {
		return nil, noEngine(r.job)
	}
	slots := executorsOf(r.job) * r.job.Resources.CPU
	return mapreduce.NewEngine(r.job, r.home.Store, newResolver(""), mapreduce.EngineOptions{Slots: slots}), nil
}

// newBody returns the half of an engine that works in executors, and what ends it.
func newBody(r role) (body scheduler.Body, end func(), err error) {
	if r.job.Kind != mapreduce.Kind {
		return nil, nil, noEngine(r.job)
	}
	b := mapreduce.NewBody(newResolver(""), mapreduce.BodyOptions{})
	return telling{b}, b.Close, nil
}

// telling is a Body whose errors people can read: what failed where and why, without the way through the program.
type telling struct{ scheduler.Body }

func (t telling) Run(ctx context.Context, a scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
	data, err := t.Body.Run(ctx, a, r)
	if _, lost := errors.AsType[*scheduler.InputLost](err); lost {
		return data, err // the application master acts on it
	}
	return data, say.Plain(err)
}

func noEngine(job scheduler.Job) error {
	return errs.Errorf("engine", errs.Unsupported, job.ID, "jobs of kind %q are not supported by this version", job.Kind)
}

// executorsOf is how many executors a job has on this machine: as many as were asked for, or as there are cores for.
func executorsOf(job scheduler.Job) int {
	return cmp.Or(job.Resources.Executors, max(1, runtime.NumCPU()/job.Resources.CPU))
}
