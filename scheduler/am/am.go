// Package am is the application master: the process that takes one job from its plan to its committed output.
//
// It knows tasks and attempts and nothing of what they compute; that is the engine's (scheduler.Engine). Inside it is a
// state machine without clock or I/O (state.go and beside it), and around that a thin loop with the network, the ledger
// and the timers:
//
//	executors ──reports──▶ ┌────── loop ──────┐ ──orders──▶ executors
//	launcher ───exits────▶ │  state machine   │ ──calls───▶ engine
//	engine ─────answers──▶ └───────┬──────────┘
//	                           records│    nothing leaves before the records
//	                                  ▼    it rests on are in the ledger
//	                            jobs/<id>/ledger
//
// The ledger is a journal (infra/journal). Sealing it makes this process the one application master of the job, the
// seal's number is the epoch that executors obey, and replaying it gives a successor everything that counts: the plan,
// the finished attempts and their results, how often each task failed. What only runs is not in it; executors bring
// that when they register again.
package am

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/amrpc"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// Config is everything an application master needs.
type Config struct {
	Job      scheduler.Job
	Engine   scheduler.Engine
	Store    store.Store       // jobs/<id>/ledger and jobs/<id>/history.json
	Coord    coord.Coordinator // lease and address
	Launcher launch.Launcher
	// Executors says how an executor is started: command, environment, secrets, restarts, logs. ID, Count and Resources
	// are filled in from the job.
	Executors launch.Group
	// GoneNodes tells of machines that are gone with all that lies on their disks, by their shuffle address; nil: whoever
	// misses an output finds out. The same one may be told of again.
	GoneNodes <-chan string
	// Share says how many executors the job may have; nil: as many as it wants.
	Share  Share
	Secret string // authorises executors and clients, and is not empty
	// Session names the call of the user that this process serves: application masters are counted against
	// Job.Retry.Job within one session, so a job that is resumed gets a new allowance.
	Session string
	Options Options
}

// Options may all be left zero.
type Options struct {
	Listen       string           // address for executors and clients; "127.0.0.1:0"
	MaxExecutors int              // as many as the place has room for, when the job leaves the number open; 1
	Heartbeat    time.Duration    // between heartbeats of an executor; 1 s
	Dead         time.Duration    // an executor without a heartbeat for so long is dead; 10 s
	LeaseTTL     time.Duration    // of the application master's lease; 15 s
	BackupAfter  time.Duration    // an attempt that has run for less gets no backup; 5 s
	MaxLost      int              // LOST attempts of one task that fail the job, so that nothing loops for ever; 100
	Log          *slog.Logger     // nil: nothing is logged
	Now          func() time.Time // time.Now
}

// withDefaults fills what was left zero.
func (o Options) withDefaults() Options {
	o.Listen = cmp.Or(o.Listen, "127.0.0.1:0")
	o.MaxExecutors = cmp.Or(o.MaxExecutors, 1)
	o.Heartbeat = cmp.Or(o.Heartbeat, time.Second)
	o.Dead = cmp.Or(o.Dead, 10*time.Second)
	o.LeaseTTL = cmp.Or(o.LeaseTTL, 15*time.Second)
	o.BackupAfter = cmp.Or(o.BackupAfter, 5*time.Second)
	o.MaxLost = cmp.Or(o.MaxLost, 100)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// restart is how executors are restarted unless Config.Executors says otherwise: often, since a machine may be bad for
// a while, and ever slower, since the code may be bad for good.
var restart = launch.Restart{
	Attempts: 20, Delay: 50 * time.Millisecond, MaxDelay: 5 * time.Second, Healthy: time.Minute,
}

func (c Config) check() error {
	const op = "am.Run"
	if _, err := scheduler.ParseJobID(string(c.Job.ID)); err != nil {
		return err
	}
	switch {
	case c.Secret == "":
		return errs.Errorf(op, errs.Invalid, c.Job.ID, "no secret")
	case c.Engine == nil || c.Store == nil || c.Coord == nil || c.Launcher == nil:
		return errs.Errorf(op, errs.Invalid, c.Job.ID, "engine, store, coordinator or launcher is missing")
	}
	return nil
}

// folder is where a job's objects are.
func folder(job scheduler.JobID) store.Name { return store.Name("jobs").Join(string(job)) }

func ledgerName(job scheduler.JobID) store.Name  { return folder(job).Join("ledger") }
func historyName(job scheduler.JobID) store.Name { return folder(job).Join("history.json") }

// Run is the whole life of an application master. It waits for the lease, takes over the ledger, and works until the
// job is over.
//
// It returns nil when the job has reached a final state, whichever that is. An error of kind Fenced says that another
// application master has taken over. With any other error, ctx's end included, the job is as unfinished as the ledger
// says, and the next application master goes on from there.
func Run(ctx context.Context, cfg Config) error {
	const op = "am.Run"
	cfg.Options = cfg.Options.withDefaults()
	if err := cfg.check(); err != nil {
		return err
	}
	lease, err := cfg.Coord.Acquire(ctx, amrpc.LeaseKey(cfg.Job.ID), cfg.Options.LeaseTTL)
	if err != nil {
		return errs.E(op, errs.Other, cfg.Job.ID, err)
	}
	defer release(ctx, lease, cfg.Options.Log)
	a := newMaster(cfg)
	leader, err := journal.Lead(ctx, cfg.Store, ledgerName(cfg.Job.ID), a, journal.Options{
		Writer: "application master of " + string(cfg.Job.ID), CheckpointEntries: checkpointEntries,
		OnError: func(err error) { cfg.Options.Log.Warn("checkpoint of the ledger", "error", err) },
	})
	if err != nil {
		return errs.E(op, errs.Other, cfg.Job.ID, err)
	}
	defer leader.Close() // returns nil always
	if err := a.lead(ctx, leader, lease); err != nil {
		return errs.E(op, errs.Other, cfg.Job.ID, err)
	}
	return nil
}

// checkpointEntries is how many entries of the ledger may follow a checkpoint. Most jobs end before; for a very large
// one a checkpoint takes a second of a core, while the work goes on.
const checkpointEntries = 16384

// releaseTime bounds what is still done when ctx has ended.
const releaseTime = 5 * time.Second

func release(ctx context.Context, lease coord.Lease, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := lease.Release(ctx); err != nil { // it ends by itself after its time
		log.Warn("release of the lease", "error", err)
	}
}
