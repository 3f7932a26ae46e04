package fleet

import (
	"context"
	"path/filepath"
	"time"
)

// Extend moves the deadline of a running fleet, at most MaxTTL from now.
func (f *Fleet) Extend(ctx context.Context, until time.Time) error {
	return f.extend(ctx, until, false)
}

// extend is Extend. With onlyLater a deadline that is later stays where it is.
func (f *Fleet) extend(ctx context.Context, until time.Time, onlyLater bool) error {
	until = until.UTC().Truncate(time.Minute)
	rest := until.Sub(f.options.Now())
	if rest < time.Minute || rest > MaxTTL {
		return invalid("a fleet can't live until %s: at most %v from now", until.Format(time.DateTime), MaxTTL)
	}
	return f.adjust(ctx, "an extension", func(rec *Record) (Change, error) {
		if !onlyLater || until.After(rec.ExpiresAt) {
			rec.ExpiresAt = until
		}
		return Change{ExpiresAt: rec.ExpiresAt}, nil
	})
}

// Scale changes the number of workers of a running fleet; 0 stops all. It stays so from then on.
func (f *Fleet) Scale(ctx context.Context, workers int, l Limits) error {
	return f.rescale(ctx, l, func(r *Request) { r.Workers, r.Min, r.Max = workers, 0, 0 })
}

// Bound changes between what a running fleet grows and shrinks by itself. Workers that there are too many of, or too
// few, end or start at once.
func (f *Fleet) Bound(ctx context.Context, least, most int, cooldown time.Duration, l Limits) error {
	return f.rescale(ctx, l, func(r *Request) { r.Workers, r.Min, r.Max, r.Cooldown = least, least, most, cooldown })
}

func (f *Fleet) rescale(ctx context.Context, l Limits, set func(*Request)) error {
	return f.adjust(ctx, "a scaling", func(rec *Record) (Change, error) {
		set(&rec.Request)
		r := rec.Request
		if err := r.Validate(); err != nil {
			return Change{}, err
		}
		p := f.describe(r, Setup{Account: rec.Account, Priced: rec.Plan != nil && !rec.Plan.PricesOf.IsZero()})
		if err := l.check(p); err != nil {
			return Change{}, err
		}
		if rec.Plan != nil {
			rec.Plan.Groups, rec.Plan.Hourly, rec.Plan.HourlyMost = p.Groups, p.Hourly, p.HourlyMost
		}
		machines, err := f.provider.Machines(ctx, f.name)
		c := resized(r, r.size(count(machines, Worker)))
		c.Servers = nil
		return c, err
	})
}

// resized is the change that gives a fleet its machines.
func resized(r Request, workers int) Change {
	most, onDemand := max(workers, r.Max), OnDemand(workers, r.Spot)
	return Change{Servers: &r.Servers, Workers: &workers, Most: &most, OnDemand: &onDemand}
}

// adjust changes a running fleet at once. change says how, and what is known of the fleet then, by what is known of it
// while nobody else is at work on it.
func (f *Fleet) adjust(ctx context.Context, verb string, change func(*Record) (Change, error)) error {
	if _, err := f.Record(); err != nil {
		return err // before a folder is made for what is not there
	}
	op, err := f.begin(ctx, verb)
	if err != nil {
		return err
	}
	defer op.end()
	rec, err := f.Record()
	if err != nil {
		return err
	}
	if err := f.changeable(rec); err != nil {
		return err
	}
	c, err := change(&rec)
	if err != nil {
		return err
	}
	if err := f.outdate(); err != nil {
		return err
	}
	if err := f.provider.Adjust(ctx, f.name, c); err != nil {
		return err
	}
	return writeJSON(filepath.Join(f.dir, recordFile), rec)
}

// changeable returns an error of kind Invalid unless all of the fleet is there, and is to stay.
func (f *Fleet) changeable(rec Record) error {
	if rec.Phase != Deployed {
		return invalid("%s is %s; only a fleet that is deployed can be changed", f.name, rec.Phase)
	}
	return nil
}
