// Package executor is the process that pulls attempts from an application master and runs them.
//
// It finds the application master through one coordination key and obeys the highest epoch that it has seen there.
// While there is none, it goes on with what it runs and keeps what it has finished; the next one hears of both.
//
//	coord job/<id>/am ──address, epoch──▶ session ──Register──▶ am
//	                                        │◀────── Next: start, kill, leave
//	                       Body.Run ◀─start─┤
//	                          └──result────▶├──────▶ Report, until acknowledged
//	                                        └──────▶ Heartbeat
package executor

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/amrpc"
	"github.com/seed3322913c/runner/scheduler/launch"
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
	Scratch string // DIR/<container>/<attempt> becomes an attempt's Scratch
	Logs    string // DIR/<attempt>.log
}

// Options may all be left zero.
type Options struct {
	Node   string        // shuffle address (host:port) of the node whose disk Dirs.Node is on
	Lease  time.Duration // without any application master for so long the executor kills its attempts and ends; 60 s
	Grace  time.Duration // what an attempt may take to end that has to; else the executor ends with it; 30 s
	MaxLog int64         // bytes of an attempt's log; the middle of a longer one is left out; 8 MiB
	Log    *slog.Logger  // nil: nothing is logged
}

// The shares of Resources.Memory. What is left of the whole is for what the Go runtime does not count: stacks of
// threads, page tables, buffers of the kernel; what is left of the heap is for connections and garbage.
const (
	heapShare     = 0.90
	attemptsShare = 0.75
)

// executor is one at work.
type executor struct {
	cfg   Config
	me    *amrpc.Executor
	cores chan struct{} // holds a token for each attempt that runs
	mu    struct {
		sync.Mutex
		attempts map[scheduler.AttemptID]*attempt // those that run, and those whose report is not acknowledged
		heard    time.Time                        // when an application master last answered
		changed  chan struct{}                    // closed and replaced when an attempt has finished
	}
	running sync.WaitGroup // attempts
	failed  chan error     // holds why the executor has to end by itself
}

// errLeave is why an executor ends that was told to.
var errLeave = errors.New("told to leave")

// errKilled is why an attempt ends that was told to.
var errKilled = errors.New("told to end")

// Run works until it is told to leave, or the job is over, and returns nil then. Job.Resources says how many attempts
// run at a time (CPU) and how much memory they have (Memory, 0: as much as they like). It returns an error of kind
// Unavailable when it could not reach any application master for Options.Lease, of kind Exist when another one has its
// place, of kind Failed when an attempt could not be ended, and ctx's error when ctx ends. In any case attempts are
// cancelled; one that takes no notice is left behind after a few seconds, for the end of the process.
//
// Of Resources.Memory, the Go heap may use 9/10 (debug.SetMemoryLimit), the attempts together 3/4.
func Run(ctx context.Context, cfg Config) error {
	e, err := newExecutor(cfg)
	if err != nil {
		return err
	}
	if m := e.cfg.Job.Resources.Memory; m > 0 {
		before := debug.SetMemoryLimit(int64(float64(m) * heapShare))
		defer debug.SetMemoryLimit(before)
	}
	if err := e.removeEarlierScratch(); err != nil {
		return err
	}
	defer e.remove(e.scratch())
	ctx, cancel := context.WithCancelCause(ctx)
	var all sync.WaitGroup
	all.Go(func() { cancel(e.follow(ctx)) })
	all.Go(func() { cancel(e.watchdog(ctx)) })
	all.Go(func() {
		select {
		case err := <-e.failed:
			cancel(err)
		case <-ctx.Done():
		}
	})
	all.Wait()
	e.abandon()
	if err := context.Cause(ctx); !errors.Is(err, errLeave) {
		return errs.E("executor.Run", errs.Other, e.me.Container, err)
	}
	return nil
}

func newExecutor(cfg Config) (*executor, error) {
	const op = "executor.Run"
	o := &cfg.Options
	o.Lease = cmp.Or(o.Lease, time.Minute)
	o.Grace = cmp.Or(o.Grace, 30*time.Second)
	o.MaxLog = cmp.Or(o.MaxLog, 8<<20)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Job.Resources.CPU = max(1, cfg.Job.Resources.CPU)
	_, err := launch.ParseContainer(cfg.Container)
	switch {
	case err != nil:
		return nil, errs.Errorf(op, errs.Invalid, cfg.Job.ID, "is %s set? %w", launch.ContainerEnv, err)
	case cfg.Secret == "":
		return nil, errs.Errorf(op, errs.Invalid, cfg.Container, "no secret")
	case cfg.Body == nil || cfg.Coord == nil:
		return nil, errs.Errorf(op, errs.Invalid, cfg.Container, "body or coordinator is missing")
	case cfg.Dirs.Node == "" || cfg.Dirs.Scratch == "" || cfg.Dirs.Logs == "":
		return nil, errs.Errorf(op, errs.Invalid, cfg.Container, "a directory is missing")
	}
	e := &executor{
		cfg: cfg, me: &amrpc.Executor{Container: cfg.Container, Instance: rand.Uint64()},
		cores: make(chan struct{}, cfg.Job.Resources.CPU), failed: make(chan error, 1),
	}
	e.mu.attempts = map[scheduler.AttemptID]*attempt{}
	e.mu.heard = time.Now()
	e.mu.changed = make(chan struct{})
	return e, nil
}

// scratch is the scratch directory of this run of the container.
func (e *executor) scratch() string { return filepath.Join(e.cfg.Dirs.Scratch, e.me.Container) }

// removeEarlierScratch removes what earlier runs of this container left that did not end well.
func (e *executor) removeEarlierScratch() error {
	all, err := os.ReadDir(e.cfg.Dirs.Scratch)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.E("executor.Run", errs.Other, e.me.Container, err)
	}
	runs := strings.TrimRight(e.me.Container, "0123456789") // "executor-3."
	for _, entry := range all {
		if strings.HasPrefix(entry.Name(), runs) {
			e.remove(filepath.Join(e.cfg.Dirs.Scratch, entry.Name()))
		}
	}
	return nil
}

// follow serves one application master after the other, and returns why it ended. It has ended serving one when it
// begins with the next, so nothing is done at the command of the old one any more.
func (e *executor) follow(ctx context.Context) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	ended := make(chan error) // what a session ended with by itself
	stop := func() {}
	defer func() { stop() }()
	endpoints := make(chan amrpc.Endpoint)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	serving.Go(func() { e.find(ctx, endpoints) })
	var last amrpc.Endpoint
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-ended:
			return err
		case here := <-endpoints:
			if here == last || here.Epoch < last.Epoch {
				continue // a watch that begins again says what is known, or by another server what was
			}
			last = here
			stop()
			if here.Over {
				return errLeave
			}
			stop = e.serve(ctx, here, ended)
		}
	}
}

// serve obeys one application master until the returned function is called, which waits for its end.
func (e *executor) serve(ctx context.Context, here amrpc.Endpoint, ended chan<- error) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := e.session(ctx, here)
		select {
		case ended <- err:
		case <-ctx.Done():
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// find sends the endpoints of application masters, until ctx ends.
func (e *executor) find(ctx context.Context, endpoints chan<- amrpc.Endpoint) {
	pause := retryPause()
	for {
		for here, err := range amrpc.Follow(ctx, e.cfg.Coord, e.cfg.Job.ID) {
			if err != nil {
				e.cfg.Options.Log.Warn("looking for the application master", "error", err)
				break
			}
			pause.Reset()
			select {
			case endpoints <- here:
			case <-ctx.Done():
				return
			}
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// watchdog returns when no application master was heard of for too long, or ctx ends.
func (e *executor) watchdog(ctx context.Context) error {
	lease := e.cfg.Options.Lease
	tick := time.NewTicker(lease / 20)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		e.mu.Lock()
		silent := time.Since(e.mu.heard)
		e.mu.Unlock()
		if silent > lease {
			return errs.Errorf("", errs.Unavailable, nil, "no application master for %v", lease)
		}
	}
}

// fail ends the executor; the first cause counts.
func (e *executor) fail(cause error) {
	select {
	case e.failed <- cause:
	default:
	}
}

// heard notes that an application master has answered.
func (e *executor) heard() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.heard = time.Now()
}

// abandonTime is how long attempts may take to end when the executor does.
const abandonTime = 3 * time.Second

// abandon ends all attempts. Nobody hears of them.
func (e *executor) abandon() {
	e.mu.Lock()
	for _, a := range e.mu.attempts {
		a.cancel(errLeave)
	}
	e.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		e.running.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(abandonTime):
	}
}

// retryPause is how long to wait before another try.
func retryPause() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(10*time.Millisecond),
		backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0))
}

// sleep waits for the next try; it returns false if ctx has ended.
func sleep(ctx context.Context, pause backoff.BackOff) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause.NextBackOff()):
		return true
	}
}
