package schedules

import (
	"context"
	"slices"

	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// Firing is what became of a slot, and the jobs of its work if that is a chain: those that were begun, in order.
type Firing struct {
	cron.Firing
	Jobs []scheduler.JobID `json:"jobs,omitempty"`
}

// Past returns a schedule, and all that is remembered of its slots, the latest first; errs.NotFound if there is none of
// that name.
func Past(ctx context.Context, b cron.Book, name string) (cron.Schedule, []cron.Firing, error) {
	s, err := b.Get(ctx, name)
	if err != nil {
		return s, nil, err
	}
	history, err := b.History(ctx)
	if err != nil {
		return s, nil, err
	}
	return s, latestFirst(history, name), nil
}

func latestFirst(h *cron.History, name string) []cron.Firing {
	all := slices.Clone(h.Of(name).Firings)
	slices.Reverse(all)
	return all
}

func first(firings []cron.Firing, n int) []cron.Firing { return firings[:min(n, len(firings))] }

// WithJobs adds to firings of a schedule the jobs of their chains, if it runs one. It asks the store for each.
func WithJobs(ctx context.Context, b cron.Book, s cron.Schedule, firings []cron.Firing) ([]Firing, error) {
	w, err := WorkOf(s)
	if err != nil {
		return nil, err
	}
	jobs, all := embedded.Jobs{Store: b.Store}, []Firing{}
	for _, f := range firings {
		one := Firing{Firing: f}
		if w.Chain != nil && f.ID != "" {
			if one.Jobs, err = jobs.OfChain(ctx, scheduler.JobID(f.ID)); err != nil {
				return nil, err
			}
		}
		all = append(all, one)
	}
	return all, nil
}
