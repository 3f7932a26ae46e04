package scaler

import (
	"cmp"
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
)

// Fleet is what a scaler does things with. All methods may be called again with the same.
type Fleet interface {
	// Look says how things stand; Now and Past are filled in by who asks. It fails with errs.NotFound if nobody has said
	// how large the fleet may be, or nobody knows yet how it stands: then it stays as it is.
	Look(ctx context.Context) (Snapshot, error)
	// Accept has a machine take new work, or none from now on. What runs there goes on.
	Accept(ctx context.Context, machine string, work bool) error
	// End ends a machine that has nothing to do, and makes the fleet smaller by one. That it is gone is success.
	End(ctx context.Context, machine string) error
	// Resize tells the provider how many machines there shall be. It never makes the fleet smaller than it is.
	Resize(ctx context.Context, to Size) error
}

// Options may all be left zero.
type Options struct {
	Every time.Duration // between two rounds; 2 s
	Now   func() time.Time
	// Tell hears what was decided, if that was anything, and what became of it. It must not block for long.
	Tell func(d Decision, err error)
}

// Run makes decisions and carries them out, until ctx ends. What does not work is tried again in the next round.
func Run(ctx context.Context, f Fleet, o Options) error {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tell == nil {
		o.Tell = func(Decision, error) {}
	}
	tick := time.NewTicker(cmp.Or(o.Every, 2*time.Second))
	defer tick.Stop()
	for past := (Past{}); ; {
		d, err := Round(ctx, f, past, o.Now())
		if past = d.Past; ctx.Err() == nil && (err != nil || !d.Empty()) {
			o.Tell(d, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Round makes one round of decisions and carries it out.
func Round(ctx context.Context, f Fleet, past Past, now time.Time) (Decision, error) {
	s, err := f.Look(ctx)
	if errs.KindOf(err) == errs.NotFound {
		return Decision{}, nil
	}
	if err != nil {
		return Decision{Past: past}, err
	}
	s.Past, s.Now = past, now
	d := Decide(s)
	return d, carryOut(ctx, f, d)
}

// carryOut does what was decided, all at once but for the size: who ends makes that smaller first.
func carryOut(ctx context.Context, f Fleet, d Decision) error {
	var all errgroup.Group
	for _, m := range d.Accept {
		all.Go(func() error { return f.Accept(ctx, m, true) })
	}
	for _, m := range d.Stop {
		all.Go(func() error { return f.Accept(ctx, m, false) })
	}
	for _, m := range d.End {
		all.Go(func() error { return f.End(ctx, m) })
	}
	if err := all.Wait(); err != nil || d.Resize == nil {
		return err
	}
	return f.Resize(ctx, *d.Resize)
}
