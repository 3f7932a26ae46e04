package fleet

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// TestMasters: hundreds wait for application masters, there is never more than one query, each hears of his own, and
// none of how things stood before he came.
func TestMasters(t *testing.T) {
	const jobs = 500
	var open, most atomic.Int32
	var over sync.Map // groups that have ended
	changed := make(chan struct{}, jobs)
	m := masters{}
	m.watch = func(ctx context.Context) iter.Seq2[map[launch.GroupID]launch.Event, error] {
		return func(yield func(map[launch.GroupID]launch.Event, error) bool) {
			if n := open.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer open.Add(-1)
			for {
				all := map[launch.GroupID]launch.Event{}
				over.Range(func(id, _ any) bool {
					all[id.(launch.GroupID)] = launch.Event{State: launch.Done}
					return true
				})
				if !yield(all, nil) {
					return
				}
				select {
				case <-changed:
				case <-ctx.Done():
					yield(nil, ctx.Err())
					return
				}
			}
		}
	}
	var all sync.WaitGroup
	for i := range jobs {
		id := group(scheduler.JobID(fmt.Sprintf("%04d-job", i)), masterRole)
		events, done := m.follow(t.Context(), id)
		all.Go(func() {
			defer done()
			if e := <-events; e.State != launch.Done {
				t.Errorf("%s is %s", id, e.State)
			}
		})
	}
	for i := range jobs {
		over.Store(group(scheduler.JobID(fmt.Sprintf("%04d-job", i)), masterRole), true)
		changed <- struct{}{}
	}
	all.Wait()
	if n := most.Load(); n > jobs/2 { // one that is being replaced may not have ended yet
		t.Errorf("%d queries at once for %d jobs", n, jobs)
	}
}
