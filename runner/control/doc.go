// Package control is the server that a fleet is asked through, as YARN's ResourceManager is: it takes jobs, lets them
// wait in queues, starts their application masters when it is their turn, and knows what became of them.
//
// There are several in a fleet, and one leads. The others hand on to it what they are asked.
//
//	client ──▶ control (stands by) ──▶ control (leads) ──▶ Fleet: Nomad, Consul
//	                                     │      ▲
//	                                     ▼      │ replay
//	                               journal control/queues (package roster)
//
// A lease in Consul says who tries to lead, the journal who does: a control that takes over reads what there is and
// seals it, and whatever its predecessor still decides is not durable, so nobody acts on it. A job's way:
//
//	submit    POST /v1/jobs: job.json is written, the roster has a new entry                  Server.Submit
//	admit     a round of decisions allows it executors, since its queue has room              leader.round
//	launch    the record is durable: its application master is started                        leader.shepherd
//	register  the master publishes its address, and how many executors it wants               package am
//	negotiate the next rounds allow it more or fewer, and the master follows                  leader.round
//	report    who asks how it stands is answered with what the master says                    Server.Status
//	end       the master ends; what it has left is removed, the roster forgets the job         leader.shepherd
package control

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/queue"
)

// Fleet is what control does things with. All methods may be called at once, and again with the same.
type Fleet interface {
	// Look returns what the machines have, and what jobs hold and want.
	Look(ctx context.Context, running []scheduler.JobID) (fleet.View, error)
	// Launch starts a job's application master, if it has none, which may have so many executors.
	Launch(ctx context.Context, job scheduler.Job, executors int) error
	// Await returns when no application master works on a job any more, and cleans up behind a job that is over.
	Await(ctx context.Context, job scheduler.Job) (am.Report, error)
	// Allow tells a job's application master how many executors it may have from now on, if there is one.
	Allow(ctx context.Context, id scheduler.JobID, executors int) error
	// End asks a job's application master to kill it.
	End(ctx context.Context, id scheduler.JobID, reason string) error
}

// Keeper keeps variables that a job's processes find. A Fleet may be one.
type Keeper interface {
	Keep(ctx context.Context, id scheduler.JobID, vars map[string]string) error
}

// Teller tells how jobs stand. A Fleet may be one; otherwise their ledgers do.
type Teller interface {
	Standing(ctx context.Context, job scheduler.Job) (embedded.Status, error)
}

// Config is everything a control needs.
type Config struct {
	Store store.Store // its journal is control/queues
	Coord coord.Coordinator
	Fleet Fleet
	Jobs  embedded.Jobs
	// Compile makes a job of a specification, an object in JSON.
	Compile func(spec []byte) (scheduler.Job, error)
	// Check finds what is wrong with a job before it is taken.
	Check func(ctx context.Context, job scheduler.Job) error
	// Size says how many executors a job wants that leaves it open, where there are so many cores, and without how many
	// it cannot work.
	Size func(job scheduler.Job, cores int) (want, gang int)
	// Most says how many machines there may be, where a fleet grows with its jobs; nil: as many as there are.
	Most func() int
	// Address is the URL under which the others reach this control.
	Address string
	HandOn  http.RoundTripper // reaches the others
	Options Options
}

// Options may all be left zero.
type Options struct {
	Name    string        // of the cluster
	Version string        // of this program
	TTL     time.Duration // after so long another control takes over from one that died; 4 s
	Every   time.Duration // between two rounds of decisions, if nothing happens; 1 s
	Queue   queue.Options
	Log     *slog.Logger
	Now     func() time.Time
}
