package fleet

import (
	"math"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// TestElastic: what a fleet may become counts where it must not become too large or dear, and it is not told to be
// another size than it is between its bounds.
func TestElastic(t *testing.T) {
	c := &cloud{}
	f := newFleet(t, c, Options{})
	r := plain()
	r.Min, r.Max = 1, 9
	fixed := mustPlan(t, f, plain())
	p := mustPlan(t, f, r)
	if g := p.Groups[1]; g.Count != 1 || g.Most != 9 || p.Starts != 4 || p.HourlyMost <= fixed.HourlyMost ||
		p.Hourly >= fixed.Hourly {
		t.Errorf("the plan is %+v", p)
	}
	for _, l := range []Limits{{MaxWorkers: 8}, {MaxHourly: fixed.HourlyMost}} {
		if _, err := f.Plan(t.Context(), r, l); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v allow what may become too much: %v", l, err)
		}
	}
	mustApply(t, f, mustPlan(t, f, r))
	rec, err := f.Record()
	if got := rec.Sized(plain().Workers).Plan.Hourly; err != nil || got != fixed.Hourly {
		t.Errorf("with as many workers as a fixed one it costs %v an hour, want %v (%v)", got, fixed.Hourly, err)
	}
	told := func(workers, most int) {
		t.Helper()
		last := c.mu.changes[len(c.mu.changes)-1]
		if *last.Workers != workers || *last.Most != most {
			t.Errorf("the cloud was told %d of %d, want %d of %d", *last.Workers, *last.Most, workers, most)
		}
	}
	told(1, 9)
	if err := f.Bound(t.Context(), 2, 5, time.Minute, Limits{}); err != nil {
		t.Fatal(err)
	}
	told(2, 5)
	if rec, err := f.Record(); err != nil || rec.Request.Workers != 2 || !rec.Request.Elastic() {
		t.Errorf("it is known as %+v, %v", rec.Request, err)
	}
	if err := f.Scale(t.Context(), 3, Limits{}); err != nil {
		t.Fatal(err)
	}
	told(3, 3)
	if rec, err := f.Record(); err != nil || rec.Request.Elastic() {
		t.Errorf("it is known as %+v, %v", rec.Request, err)
	}
	for has, want := range map[int]int{0: 1, 1: 1, 4: 4, 9: 9, 10: 9} {
		if got := r.size(has); got != want {
			t.Errorf("with %d workers it is given %d, want %d", has, got, want)
		}
	}
	r.Min = 10
	if err := r.Validate(); errs.KindOf(err) != errs.Invalid {
		t.Errorf("at least 10 and at most 9: %v", err)
	}
}

// TestPriceOfWork: a share of the machines, requests by their kinds, and bytes that go to another zone.
func TestPriceOfWork(t *testing.T) {
	if _, ok := (Record{}).Price(Work{Hours: 1}); ok {
		t.Error("where nobody pays there is a price")
	}
	r := Record{Plan: &Plan{Hourly: 3, PricesOf: time.Now()}}
	p, ok := r.Price(Work{Hours: 0.5, Puts: 2e6, Gets: 5e6, Moved: 300e9})
	if want := (Price{Machines: 1.5, Requests: 12, Moved: 4}); !ok || math.Abs(p.Total()-want.Total()) > 1e-9 ||
		math.Abs(p.Moved-want.Moved) > 1e-9 || p.Requests != want.Requests {
		t.Errorf("it has cost %+v, want %+v", p, want)
	}
}
