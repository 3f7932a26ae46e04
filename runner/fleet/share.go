package fleet

import (
	"context"
	"encoding/json"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/consul"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// share is am.Share by way of two keys.
type share struct {
	coord *consul.Coordinator
	job   scheduler.JobID
}

// Share is how a job's application master negotiates with control.
func (m *Member) Share(id scheduler.JobID) am.Share { return share{m.Coord, id} }

// Want implements am.Share.
func (s share) Want(ctx context.Context, count int) error {
	return announce(ctx, s.coord, wantKey(s.job), count, true)
}

// Allowed implements am.Share.
func (s share) Allowed(ctx context.Context) <-chan int {
	allowed := make(chan int)
	key := shareKey(s.job)
	go func() {
		for ctx.Err() == nil {
			for e, err := range s.coord.Watch(ctx, string(key)) {
				if err != nil {
					break // a server is replaced, or ctx has ended
				}
				if n, ok := shareOf(e, key); ok {
					select {
					case allowed <- n:
					case <-ctx.Done():
					}
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return allowed
}

// shareOf is the number that an event tells; a job that is over has none any more.
func shareOf(e coord.Event, key coord.Key) (n int, ok bool) {
	if e.Key != key || e.Value.Version == 0 {
		return 0, false
	}
	err := json.Unmarshal(e.Value.Data, &n)
	return n, err == nil && n >= 0
}
