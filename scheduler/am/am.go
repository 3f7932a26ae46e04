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
	"context"
	"log/slog"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler"
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
	Secret    string // authorises executors and clients, and is not empty
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
	MaxLost      int              // LOST attempts of one task that fail the job, so that nothing loops for ever; 100
	Log          *slog.Logger     // nil: nothing is logged
	Now          func() time.Time // time.Now
}

// Run is the whole life of an application master. It waits for the lease, takes over the ledger, and works until the
// job is over.
//
// It returns nil when the job has reached a final state, whichever that is. An error of kind Fenced says that another
// application master has taken over. With any other error, ctx's end included, the job is as unfinished as the ledger
// says, and the next application master goes on from there.
func Run(ctx context.Context, cfg Config) error {
	return errs.Errorf("am.Run", errs.Unsupported, cfg.Job.ID, "not there yet: %v", ctx)
}
