// Package executor is the process that pulls attempts from an application master and runs them.
//
// It finds the application master through one coordination key and obeys the highest epoch that it has seen there. While
// there is none, it goes on with what it runs and keeps what it has finished; the next one hears of both.
//
//	coord job/<id>/am ──address, epoch──▶ session ──Register──▶ am
//	                                        │◀────── Next: start, kill, leave
//	                       Body.Run ◀─start─┤
//	                          └──result────▶├──────▶ Report, until acknowledged
//	                                        └──────▶ Heartbeat
package executor

import (
	"context"
	"log/slog"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// Config is everything an executor needs.
type Config struct {
	Job       scheduler.Job
	Container string // its name, from launch.ContainerEnv
	Coord     coord.Coordinator
	Secret    string // of the job
	Body      scheduler.Body
	Dirs      Dirs
	Options   Options
}

// Dirs is where an executor works, all on local disks.
type Dirs struct {
	Node    string // DIR/<attempt> becomes an attempt's Dir, which the node's shuffle server serves
	Scratch string // DIR/<attempt> becomes an attempt's Scratch
	Logs    string // DIR/<attempt>.log
}

// Options may all be left zero.
type Options struct {
	Node   string        // shuffle address (host:port) of the node whose disk Dirs.Node is on
	Lease  time.Duration // without any application master for so long the executor kills its attempts and ends; 60 s
	MaxLog int64         // bytes of an attempt's log; the middle of a longer one is left out; 8 MiB
	Log    *slog.Logger  // nil: nothing is logged
}

// Run works until it is told to leave, and returns nil then. Job.Resources says how many attempts run at a time (CPU)
// and how much memory they have (Memory). It returns an error of kind Unavailable when it could not reach any
// application master for Options.Lease, and ctx's error when ctx ends; attempts are then cancelled.
//
// Of Resources.Memory, the Go heap may use 9/10 (debug.SetMemoryLimit), the attempts together 3/4.
func Run(ctx context.Context, cfg Config) error {
	return errs.Errorf("executor.Run", errs.Unsupported, cfg.Job.ID, "not there yet: %v", ctx)
}
