package control

import (
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/sync/errgroup"
)

// Duty is work that a fleet wants done once, and always: it runs in the one control that leads. Two may overlap for a
// moment when the leader changes, since a leader that was paused learns late that it is none any more. So what must not
// be done twice is guarded by a journal of the duty's own, or by conditional writes.
type Duty struct {
	Name string // for the log: "schedules"
	// Do works until ctx ends. If it returns earlier it is called again, after a pause that grows to half a minute.
	Do func(ctx context.Context) error
}

// attend does all duties until ctx ends.
func attend(ctx context.Context, duties []Duty, log *slog.Logger) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, d := range duties {
		all.Go(func() error { return d.attend(ctx, log) })
	}
	<-ctx.Done()
	return all.Wait()
}

// healthy is how long a duty has worked whose next failure is no worse than a first one.
const healthy = time.Minute

func (d Duty) attend(ctx context.Context, log *slog.Logger) error {
	pauses := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(30*time.Second), backoff.WithMaxElapsedTime(0))
	for {
		began := time.Now()
		err := d.Do(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(began) > healthy {
			pauses.Reset()
		}
		pause := pauses.NextBackOff()
		log.Warn("a duty has ended and begins again", "duty", d.Name, "after", pause, "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
