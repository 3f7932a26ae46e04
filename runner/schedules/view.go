package schedules

import (
	"context"
	"time"

	"github.com/seed3322913c/runner/scheduler/cron"
)

// View is a schedule as people and programs see it.
type View struct {
	Name    string       `json:"name"`
	Cron    string       `json:"cron"`
	Zone    string       `json:"zone"`
	Overlap cron.Overlap `json:"overlap"`
	CatchUp int          `json:"catchUp"`
	Jitter  float64      `json:"jitterSeconds"`
	Wake    float64      `json:"wakeSeconds,omitempty"` // how long a fleet runs that sleeps until a slot; 0: it sleeps on
	Paused  bool         `json:"paused"`
	Since   time.Time    `json:"since"`
	User    string       `json:"user,omitempty"`
	Runs    string       `json:"runs"`            // the command line of its work
	Fleet   *Fleet       `json:"fleet,omitempty"` // that each firing gets for itself

	Next    []time.Time `json:"next"`    // when it fires next, in its zone; none while it is paused
	Firings []Firing    `json:"firings"` // what became of its latest slots, the latest first
}

// How much a View has.
const (
	Upcoming = 5  // of the next moments
	Latest   = 20 // of the firings, where not all are asked for, and a fourth of that in a list of schedules
)

// newView shows a schedule without what was done about it.
func newView(s cron.Schedule, now time.Time) (View, error) {
	w, err := WorkOf(s)
	if err != nil {
		return View{}, err
	}
	v := View{
		Name: s.Name, Cron: s.Cron, Zone: s.Zone, Overlap: s.Overlap, CatchUp: s.CatchUp, Jitter: s.Jitter.Seconds(),
		Wake: s.Wake.Seconds(), Paused: s.Paused, Since: s.Since, User: s.User, Runs: w.Line, Fleet: w.Fleet,
		Next: append([]time.Time{}, s.Upcoming(now, Upcoming)...), Firings: []Firing{},
	}
	if v.Zone == "" {
		v.Zone = "UTC"
	}
	return v, nil
}

// Upcoming returns the next n moments at which the schedule fires, as cron.Schedule has them.
func (v View) Upcoming(now time.Time, n int) []time.Time {
	return v.schedule().Upcoming(now, n)
}

// AsleepUntil is when machines must end that will be woken for the next slot; zero if none will.
func (v View) AsleepUntil(now time.Time) time.Time { return v.schedule().AsleepUntil(now) }

// schedule is what a View has of a schedule, its work left out.
func (v View) schedule() cron.Schedule {
	return cron.Schedule{
		Name: v.Name, Cron: v.Cron, Zone: v.Zone, Paused: v.Paused, Since: v.Since,
		Jitter: time.Duration(v.Jitter * float64(time.Second)), Wake: time.Duration(v.Wake * float64(time.Second)),
	}
}

// All shows every schedule of a book, in order of their names.
func All(ctx context.Context, b cron.Book, now time.Time) ([]View, error) {
	all, err := b.All(ctx)
	if err != nil {
		return nil, err
	}
	history, err := b.History(ctx)
	if err != nil {
		return nil, err
	}
	views := []View{}
	for _, s := range all {
		v, err := newView(s, now)
		if err == nil {
			v.Firings, err = WithJobs(ctx, b, s, first(latestFirst(history, s.Name), Latest/4))
		}
		if err != nil {
			return nil, err
		}
		views = append(views, v)
	}
	return views, nil
}

// Get shows one schedule with so many of its latest firings; errs.NotFound if there is none of that name.
func Get(ctx context.Context, b cron.Book, name string, now time.Time, latest int) (View, error) {
	s, firings, err := Past(ctx, b, name)
	if err != nil {
		return View{}, err
	}
	v, err := newView(s, now)
	if err == nil {
		v.Firings, err = WithJobs(ctx, b, s, first(firings, latest))
	}
	return v, err
}

// SetPaused stops a schedule from firing, or lets it fire again: the slots in between are forgotten.
func SetPaused(ctx context.Context, b cron.Book, name string, paused bool, now time.Time) error {
	s, err := b.Get(ctx, name)
	if err != nil || s.Paused == paused {
		return err
	}
	s.Paused = paused
	if !paused {
		s.Since = now.UTC()
	}
	return b.Replace(ctx, s)
}
