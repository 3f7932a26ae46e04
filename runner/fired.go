package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/control"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/schedules"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// This file fires a fleet's schedules, in the control that leads.
//
//	cron.Serve ── Ensure ──┬─ a job ──────▶ waits in its queue, as any other
//	                       └─ a chain ────▶ run by this process, which holds its lease: its jobs wait in their queues
//
// A chain keeps no state but its jobs' (docs/decisions/006-a-chain-keeps-no-state.md). When another control leads, its
// cron finds the chain cut off as soon as the lease has ended, and goes on with the very jobs that were begun.

// fireOnFleet fires the schedules of a fleet whose control this is, until ctx ends.
func fireOnFleet(ctx context.Context, f *fleet.Fleet, s *control.Server, log *slog.Logger) error {
	jobs := f.Jobs()
	jobs.Resolve = newResolver("")
	at := controlled{s, jobs, f}
	works := &fleetWorks{
		Works: schedules.Works{
			At: at, Chains: at.Chains(),
			Check: func(ctx context.Context, w schedules.Work) error { return checkWork(ctx, w, checkShipped) },
		},
		at: at, log: log,
	}
	works.mu.chains = map[scheduler.JobID]error{}
	works.Start = works.start
	defer works.running.Wait()
	return cron.Serve(ctx, cron.Book{Store: jobs.Store}, f.Coord(), works, cron.Options{
		OnError: func(err error) { log.Warn("schedules", "error", err) },
	})
}

// controlled is a fleet as its own control sees it. It is a place.
type controlled struct {
	*control.Server
	jobs  embedded.Jobs
	fleet *fleet.Fleet
}

func (c controlled) Jobs() embedded.Jobs { return c.jobs }

func (c controlled) Chains() embedded.Chains {
	chains := c.fleet.Chains()
	chains.At = c
	return chains
}

// Supervise lets a recorded job wait for its turn, if it does not yet, and watches it to its end. When ctx ends, which
// says that this control leads no more, the job goes on.
func (c controlled) Supervise(ctx context.Context, job scheduler.Job, _ embedded.Options) (am.Report, error) {
	if err := c.Resume(ctx, job.ID, nil); err != nil {
		return am.Report{}, err
	}
	var last embedded.Status
	for s, err := range c.Watch(ctx, job) {
		if err != nil && !errs.Retryable(err) {
			return last.Report, err
		}
		if err == nil {
			last = s
		}
	}
	switch {
	case last.State.Final():
		return last.Report, nil
	case ctx.Err() != nil:
		return last.Report, errs.E("control.Supervise", errs.Canceled, job.ID, ctx.Err())
	}
	return last.Report, say.Errorf(errs.Unavailable, "job %s is cut off, or this control leads no more", job.ID)
}

// fleetWorks does the work of firings on a fleet.
type fleetWorks struct {
	schedules.Works
	at      controlled
	log     *slog.Logger
	running sync.WaitGroup
	mu      struct {
		sync.Mutex
		chains map[scheduler.JobID]error // those that are run here: nil; those that cannot be: why
	}
}

// Ensure is for cron. Of a chain that is run here it need not ask who holds it.
func (w *fleetWorks) Ensure(ctx context.Context, s cron.Schedule, f cron.Firing) (cron.Outcome, error) {
	w.mu.Lock()
	failure, here := w.mu.chains[scheduler.JobID(f.ID)]
	w.mu.Unlock()
	switch {
	case !here:
		return w.Works.Ensure(ctx, s, f)
	case failure != nil:
		w.mu.Lock()
		delete(w.mu.chains, scheduler.JobID(f.ID)) // it is told once, and recorded
		w.mu.Unlock()
		return cron.Outcome{State: cron.Failed, Message: say.Sentence(failure)}, nil
	}
	return cron.Outcome{State: cron.Running}, nil
}

// start lets a job wait for its turn, or runs a chain until ctx ends, which is when this process fires no more.
func (w *fleetWorks) start(ctx context.Context, id scheduler.JobID) error {
	chain, err := w.at.Jobs().GetChain(ctx, id)
	if errs.KindOf(err) == errs.NotFound {
		return w.at.Resume(ctx, id, nil)
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.chains[id] = nil
	w.running.Go(func() {
		w.log.Info("runs", "chain", id)
		silent := &program{out: io.Discard, err: io.Discard}
		err := silent.superviseChain(ctx, w.at, chain, chainOptions{watch: watchOptions{quiet: true}})
		if _, told := errors.AsType[toldError](err); told {
			err = nil // that jobs have failed is in their ledgers
		}
		w.log.Info("runs no more", "chain", id, "error", err)
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.mu.chains, id)
		// That somebody else holds it passes.
		if kind := errs.KindOf(err); err != nil && kind != errs.Exist && schedules.Hopeless(err) {
			w.mu.chains[id] = err
		}
	})
	return nil
}
