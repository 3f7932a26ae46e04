package fleet

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/seed3322913c/runner/scheduler/launch"
)

// masters tells how application masters do to those who wait for that: by one query of Nomad for all of them, or a
// control could look after no more jobs than Nomad takes connections. The query lasts while anybody waits.
type masters struct {
	// watch yields the latest events of all application masters at first and whenever there are others, until ctx ends.
	watch func(ctx context.Context) iter.Seq2[map[launch.GroupID]launch.Event, error]

	mu    sync.Mutex
	waits map[chan launch.Event]launch.GroupID
	stop  context.CancelFunc // ends the query
}

// follow returns where the events of a group appear from now on, the latest in place of those that nobody has taken.
// The caller calls done in the end.
func (m *masters) follow(ctx context.Context, id launch.GroupID) (events <-chan launch.Event, done func()) {
	latest := make(chan launch.Event, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waits == nil {
		m.waits = map[chan launch.Event]launch.GroupID{}
	}
	m.waits[latest] = id
	if m.stop != nil {
		m.stop() // the next begins with how things stand, also for who comes late
	}
	shared, stop := context.WithCancel(context.WithoutCancel(ctx))
	m.stop = stop
	go m.look(shared)
	return latest, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if delete(m.waits, latest); len(m.waits) == 0 {
			m.stop()
		}
	}
}

// look asks until ctx ends.
func (m *masters) look(ctx context.Context) {
	for ctx.Err() == nil {
		for all, err := range m.watch(ctx) {
			if err != nil {
				break // a server is replaced, or ctx has ended
			}
			m.tell(ctx, all)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (m *masters) tell(ctx context.Context, all map[launch.GroupID]launch.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return // what it knows is older than those who wait
	}
	for latest, id := range m.waits {
		e, ok := all[id]
		if !ok {
			continue
		}
		select {
		case <-latest:
		default: // it was taken
		}
		latest <- e // there is room: nobody else sends
	}
}
