package fleet

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// Waker is the ability of a provider to start the machines of a fleet while none of them runs.
type Waker interface {
	// CheckWake returns an error of kind Invalid if the provider has no way to say when w is.
	CheckWake(w Wake) error

	// Deadline is when the dead-man switch of a cluster fires, or has begun to. It fails with errs.NotFound if there is
	// no such cluster.
	Deadline(ctx context.Context, cluster string) (time.Time, error)
}

// CheckWake returns an error of kind Invalid or Unsupported if the machines of the fleet can't be woken so.
func (f *Fleet) CheckWake(w Wake) error {
	waker, ok := f.provider.(Waker)
	if !ok {
		return errs.E("", errs.Unsupported, nil, fmt.Errorf("nothing starts the machines of %s when all are off: only a "+
			"cloud can", f.name))
	}
	rec, err := f.Record()
	if err != nil {
		return err
	}
	if r := rec.Request; !r.Elastic() || r.Idle == 0 {
		return invalid("a fleet that is woken falls asleep again, and grows as its jobs want it: deploy %s with --idle 10m "+
			"--min 0 --max N", f.name)
	}
	return waker.CheckWake(w)
}

// Wake changes when the cloud starts the machines of a fleet that is there; that nothing changes is success. The dead-man
// switch is moved so that it doesn't fire before the first slot's time is over, which is until.
func (f *Fleet) Wake(ctx context.Context, wakes []Wake, until time.Time, tell func(Event)) error {
	for _, w := range wakes {
		if err := f.CheckWake(w); err != nil {
			return err
		}
	}
	rec, err := f.Record()
	if err != nil {
		return err
	}
	if !slices.Equal(wakes, rec.Request.Wakes) {
		r := rec.Request
		r.Wakes = append([]Wake{}, wakes...)
		p, err := f.planFor(ctx, r, Limits{}, true)
		if err == nil {
			err = f.Apply(ctx, p, tell)
		}
		if err != nil {
			return err
		}
	}
	if most := f.options.Now().Add(MaxTTL); until.After(most) {
		until = until.Add(-until.Sub(most).Truncate(switchEvery) - switchEvery)
	}
	if rec, err = f.Record(); err != nil || !until.After(rec.ExpiresAt) {
		return err
	}
	return f.extend(ctx, until, true)
}

// switchEvery is how often a dead-man switch fires from its deadline on. A deadline that is too far away is moved by
// multiples of it, so that the switch does not fire while machines boot that a slot has woken.
const switchEvery = 15 * time.Minute
