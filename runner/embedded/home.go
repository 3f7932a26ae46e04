// Package embedded is the engine without a fleet: one process of this machine starts, watches and outlives all others
// of a job.
//
//	runner run ─ supervisor ─┬─ lease supervisor/<id>: nobody else runs this job
//	                         ├─ node: serves map output to reducers, and outlives executors
//	                         ├─ launcher: the parent of  ─┬─ runner am        ◀─ watches, kills
//	                         │                            ├─ runner executor
//	                         │                            └─ runner executor
//	                         └─ what people see
//
// Everything that must survive lies in the home folder, so that after a kill of everything a new supervisor goes on:
//
//	<home>/store/jobs/<id>/        job.json, ledger, history     (package file)
//	<home>/coord/                  leases and addresses          (package dir)
//	<home>/node/<id>/<attempt>/    what reducers fetch           removed when the job is over
//	<home>/node/<id>/cache/        the job's files               (package cache), removed likewise
//	<home>/scratch/<id>/           what attempts need meanwhile  removed when the job is over
//	<home>/logs/<id>/              am-0.log executor-3.log map-3.0.log, each bounded (packages local and executor)
package embedded

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/dir"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

// HomeEnv is the environment variable that moves the home folder away from ~/.runner.
const HomeEnv = "RUNNER_HOME"

// Home is the folder in which the embedded engine keeps everything. Any number of processes may use one at once.
type Home struct {
	Dir   string // absolute
	Store *file.Store
	Coord *dir.Coordinator

	// Resolve finds the files of jobs that are submitted, which are taken along; nil if they have none.
	Resolve store.Resolve
	// Away runs the jobs that have an AwayLabel; nil if there are none.
	Away Away
}

// HomeDir says where the home folder is, or would be.
func HomeDir() (string, error) {
	if path := os.Getenv(HomeEnv); path != "" {
		return filepath.Abs(path)
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", say.Errorf(errs.Invalid, "there is no home folder; set %s to a folder on a local disk", HomeEnv)
	}
	return filepath.Join(user, ".runner"), nil
}

// OpenHome opens the home folder, and makes it, for its owner alone, if it is not there.
func OpenHome() (*Home, error) {
	path, err := HomeDir()
	if err != nil {
		return nil, err
	}
	for _, part := range []string{path, filepath.Join(path, "store")} {
		if err := os.MkdirAll(part, 0o700); err != nil {
			return nil, say.Errorf(errs.KindOf(err), "the home folder %s cannot be made: %s. "+
				"Set %s to a folder on a local disk", path, errs.Cause(err), HomeEnv)
		}
	}
	st, err := file.New(filepath.Join(path, "store"), file.Options{})
	if err != nil {
		return nil, err
	}
	c, err := dir.Open(filepath.Join(path, "coord"))
	if err != nil {
		return nil, err
	}
	return &Home{Dir: path, Store: st, Coord: c}, nil
}

// Jobs returns the record of this home's jobs.
func (h *Home) Jobs() Jobs { return Jobs{Store: h.Store, Resolve: h.Resolve} }

// NodeRoot holds, for each job, the directories that the node serves.
func (h *Home) NodeRoot() string { return filepath.Join(h.Dir, "node") }

// Node is where the attempts of a job leave what others read.
func (h *Home) Node(id scheduler.JobID) string { return filepath.Join(h.NodeRoot(), string(id)) }

// Scratch is where the attempts of a job keep what only they need.
func (h *Home) Scratch(id scheduler.JobID) string {
	return filepath.Join(h.Dir, "scratch", string(id))
}

// Logs is where the containers and attempts of a job write their logs.
func (h *Home) Logs(id scheduler.JobID) string { return filepath.Join(h.Dir, "logs", string(id)) }

func supervisorKey(id scheduler.JobID) coord.Key { return coord.Key("supervisor/" + string(id)) }

// Leases say how leases are dealt with where they are kept.
type Leases struct {
	TTL      time.Duration // after which that of a process that has died may be taken
	Patience time.Duration // how long to wait for one that nobody is expected to hold
	Look     time.Duration // within which one that nobody holds is surely granted, where it can't be looked at otherwise
}

// kernel is how the kernel deals with leases: it ends them with their processes.
var kernel = Leases{TTL: time.Minute, Patience: 500 * time.Millisecond}

// hold takes the lease that makes this process the supervisor of a job. Held by another, it fails with errs.Exist.
func (h *Home) hold(ctx context.Context, id scheduler.JobID) (coord.Lease, error) {
	return hold(ctx, h.Coord, id, kernel)
}

func hold(ctx context.Context, c coord.Coordinator, id scheduler.JobID, l Leases) (coord.Lease, error) {
	limited, cancel := context.WithTimeout(ctx, l.Patience)
	defer cancel()
	lease, err := c.Acquire(limited, supervisorKey(id), l.TTL)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return nil, say.Errorf(errs.Exist, "job %s is being run by another process. "+
			"`runner status %[1]s` tells how it stands", id)
	}
	return lease, err
}

// supervised reports whether a living process runs the job.
func (h *Home) supervised(ctx context.Context, id scheduler.JobID) (bool, error) {
	return h.Held(ctx, supervisorKey(id))
}

// Held reports whether a living process holds the lease on key.
func (h *Home) Held(ctx context.Context, key coord.Key) (bool, error) { return h.Coord.Held(ctx, key) }

// looker is a coordinator that tells whether somebody holds a lease without asking for it.
type looker interface {
	Held(ctx context.Context, key coord.Key) (bool, error)
}

func held(ctx context.Context, c coord.Coordinator, key coord.Key, l Leases) (bool, error) {
	if c, ok := c.(looker); ok {
		return c.Held(ctx, key)
	}
	limited, cancel := context.WithTimeout(ctx, l.Look)
	defer cancel()
	lease, err := c.Acquire(limited, key, l.TTL)
	switch {
	case err == nil:
		return false, lease.Release(ctx)
	case ctx.Err() == nil && limited.Err() != nil:
		return true, nil
	}
	return false, err
}

// Chains returns how this home runs chains.
func (h *Home) Chains() Chains { return Chains{At: h, Coord: h.Coord, Leases: kernel, Tidy: h.tidy} }

// The values that belong to the session of a supervisor.
func secretKey(id scheduler.JobID) coord.Key { return coord.Key("job/" + string(id) + "/secret") }
func nodeKey(id scheduler.JobID) coord.Key   { return coord.Key("job/" + string(id) + "/node") }

// put replaces a value; nil removes it.
func (h *Home) put(ctx context.Context, key coord.Key, data []byte) error {
	return put(ctx, h.Coord, key, data)
}

// put replaces a value, whoever else does so at the same time: the last one counts.
func put(ctx context.Context, c coord.Coordinator, key coord.Key, data []byte) error {
	for {
		old, err := c.Get(ctx, key)
		if err != nil {
			return err
		}
		if data == nil && old.Version == 0 {
			return nil
		}
		if _, err = c.Swap(ctx, key, old.Version, data); errs.KindOf(err) != errs.Exist {
			return err
		}
	}
}
