// Package supervise is what launchers that start processes themselves have in common: groups, restarts, and telling.
//
// A driver brings a Start function; each container has one goroutine, its keeper, that starts it, waits, and starts it
// again:
//
//	keep:  start ──▶ RUNNING ──▶ wait ──┬─ exit 0, or told to stop ─▶ DONE
//	         ▲                          └─ else ─▶ EXITED ─▶ back-off ─┐    or FAILED
//	         └─────────────────────────────────────────────────────────┘
package supervise

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// Process is one run of a container.
type Process interface {
	Wait() launch.Exit // returns when it has ended; called once
	Terminate()        // asks it to end
	Kill()             // makes it end, with all that it started
}

// Start starts a container of g.
type Start func(g launch.Group, c launch.Container) (Process, error)

// Launcher implements launch.Launcher over a Start function.
type Launcher struct {
	start Start
	mu    struct {
		sync.Mutex
		closed  bool
		groups  map[launch.GroupID]*group
		news    map[launch.GroupID]map[int]news // the latest of each container, also of stopped groups
		runs    map[slot]int                    // how often each container was started, ever: no name is used twice
		version uint64                          // of the latest news
		changed chan struct{}                   // closed and replaced when version grows
	}
}

type group struct {
	spec    launch.Group
	count   int
	keepers []keeper      // by index; those from count on are ending or have ended
	stopped chan struct{} // nil until Stop; closed when none runs
}

// keeper is the goroutine of one container as others see it.
type keeper struct {
	stop context.CancelFunc
	done chan struct{} // closed when it has ended
}

type news struct {
	launch.Event
	version uint64
}

type slot struct {
	group launch.GroupID
	index int
}

// New returns a launcher without groups.
func New(start Start) *Launcher {
	l := &Launcher{start: start}
	l.mu.groups = map[launch.GroupID]*group{}
	l.mu.news = map[launch.GroupID]map[int]news{}
	l.mu.runs = map[slot]int{}
	l.mu.changed = make(chan struct{})
	return l
}

// Start implements launch.Launcher. It fails with errs.Unavailable while a group of that ID is being stopped, and after
// Close.
func (l *Launcher) Start(ctx context.Context, g launch.Group) error {
	const op = "launch.Start"
	if err := g.Check(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return errs.E(op, errs.Canceled, g.ID, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.mu.groups[g.ID]
	switch {
	case l.mu.closed:
		return errs.Errorf(op, errs.Unavailable, g.ID, "this launcher is closed")
	case old != nil && old.stopped != nil:
		return errs.Errorf(op, errs.Unavailable, g.ID, "it is being stopped")
	case old != nil:
		return nil
	}
	fresh := &group{spec: g}
	l.mu.groups[g.ID] = fresh
	l.mu.news[g.ID] = map[int]news{}
	l.growLocked(fresh, g.Count)
	return nil
}

// Scale implements launch.Launcher.
func (l *Launcher) Scale(ctx context.Context, id launch.GroupID, count int) error {
	const op = "launch.Scale"
	if count < 0 {
		return errs.Errorf(op, errs.Invalid, id, "%d containers", count)
	}
	l.mu.Lock()
	g := l.mu.groups[id]
	if g == nil || g.stopped != nil {
		l.mu.Unlock()
		return errs.Errorf(op, errs.NotFound, id, "no such group")
	}
	l.growLocked(g, count)
	g.count = count
	surplus := slices.Clone(g.keepers[count:])
	l.mu.Unlock()
	for _, k := range surplus {
		k.stop()
	}
	for _, k := range surplus {
		if err := await(ctx, k.done); err != nil {
			return errs.E(op, errs.Other, id, err)
		}
	}
	return nil
}

// growLocked starts keepers until count of them are at work.
func (l *Launcher) growLocked(g *group, count int) {
	for ; g.count < count; g.count++ {
		index := g.count
		ctx, stop := context.WithCancel(context.Background()) // ended by Scale and Stop, whoever called Start
		k := keeper{stop, make(chan struct{})}
		var before <-chan struct{} // the index may have been scaled away, and be ending still
		if index < len(g.keepers) {
			before = g.keepers[index].done
			g.keepers[index] = k
		} else {
			g.keepers = append(g.keepers, k)
		}
		go func() {
			defer close(k.done)
			if before != nil {
				<-before
			}
			l.keep(ctx, g.spec, index)
		}()
	}
}

// Stop implements launch.Launcher.
func (l *Launcher) Stop(ctx context.Context, id launch.GroupID) error {
	l.mu.Lock()
	g := l.mu.groups[id]
	if g == nil {
		l.mu.Unlock()
		return nil
	}
	if g.stopped == nil {
		g.stopped = make(chan struct{})
		go l.forget(g)
	}
	l.mu.Unlock()
	if err := await(ctx, g.stopped); err != nil {
		return errs.E("launch.Stop", errs.Other, id, err)
	}
	return nil
}

// forget ends all of a group.
func (l *Launcher) forget(g *group) {
	for _, k := range g.keepers { // nobody adds to them any more
		k.stop()
	}
	for _, k := range g.keepers {
		<-k.done
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.groups, g.spec.ID)
	close(g.stopped)
}

// Close stops all groups and refuses new ones; when it returns nothing runs.
func (l *Launcher) Close() {
	l.mu.Lock()
	l.mu.closed = true
	ids := slices.Collect(maps.Keys(l.mu.groups))
	l.mu.Unlock()
	var all sync.WaitGroup
	for _, id := range ids {
		all.Go(func() { _ = l.Stop(context.Background(), id) }) // cannot fail: this context never ends
	}
	all.Wait()
}

func await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
