package schedules

import (
	"context"
	"time"

	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// Switch is the dead-man switch of clusters: a part of machines.Provider and machines.Waker.
type Switch interface {
	Deadline(ctx context.Context, cluster string) (time.Time, error)
	Adjust(ctx context.Context, cluster string, c machines.Change) error
}

// Awake keeps the machines of a cluster for as long as the schedules want that woke them, and no longer.
type Awake struct {
	Book    cron.Book
	Switch  Switch
	Cluster string
	Every   time.Duration // between two looks
	// Moved is told the new time of the switch.
	Moved func(ctx context.Context, at time.Time) error
}

// Run moves the cluster's dead-man switch to when machines must end that were woken for a slot, until ctx ends or
// something fails. It never moves it back: somebody may have wanted the time.
func (a Awake) Run(ctx context.Context) error {
	for {
		if err := a.look(ctx, time.Now().UTC()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(a.Every):
		}
	}
}

func (a Awake) look(ctx context.Context, now time.Time) error {
	all, err := a.Book.All(ctx)
	if err != nil {
		return err
	}
	var until time.Time
	for _, s := range all {
		if at := s.AwakeUntil(now); at.After(until) {
			until = at
		}
	}
	if until.IsZero() {
		return nil // nobody was woken: the switch is not even looked at
	}
	is, err := a.Switch.Deadline(ctx, a.Cluster)
	if err != nil || !until.After(is) {
		return err
	}
	if err := a.Switch.Adjust(ctx, a.Cluster, machines.Change{ExpiresAt: until}); err != nil {
		return err
	}
	return a.Moved(ctx, until)
}
