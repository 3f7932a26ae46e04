package cron

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/election"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
)

// Runner does the work of firings. It may be called for one firing by two processes at once, when a leader that was
// paused goes on beside its successor.
type Runner interface {
	// Name draws an id for the work of a schedule that no other work has.
	Name(ctx context.Context, schedule string) (string, error)
	// Ensure starts the work of a firing under the firing's id, unless there is such work; takes it up if it was cut
	// off; and says how it stands. An error means that this is not known at the moment. Work that can't be started is
	// no error, but has failed.
	Ensure(ctx context.Context, s Schedule, f Firing) (Outcome, error)
	// Kill ends the work of a firing. That it is over is success; Ensure tells when it has ended.
	Kill(ctx context.Context, f Firing, reason string) error
}

// Outcome is how some work stands: Running, Succeeded, Failed or Killed.
type Outcome struct {
	State   State
	Message string // why it has failed
}

// LeaderKey is the lease of who fires; it is held while somebody serves.
const LeaderKey = coord.Key("schedules")

// Options say how schedules are served. The zero Options are the defaults.
type Options struct {
	Address string        // where the server is found, for those who ask who leads
	TTL     time.Duration // how long after a leader's death another one may take over; 0: 10 s
	Poll    time.Duration // how often the book and running work are looked at; 0: 2 s

	// OnError is told what went wrong and will be tried again. It must not block. nil ignores.
	OnError func(error)
}

func (o *Options) fill() {
	if o.TTL == 0 {
		o.TTL = 10 * time.Second
	}
	if o.Poll == 0 {
		o.Poll = 2 * time.Second
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
}

// Serve fires the book's schedules while it leads, and stands for election otherwise, until ctx ends, whose error it
// returns. Any number of processes may call it.
func Serve(ctx context.Context, b Book, c coord.Coordinator, r Runner, o Options) error {
	o.fill()
	for {
		err := election.Run(ctx, c, election.Campaign{Key: LeaderKey, TTL: o.TTL, Address: o.Address},
			func(ctx context.Context, _ uint64) error { return lead(ctx, b, r, o) })
		if ctx.Err() != nil {
			return errs.E("cron.Serve", errs.Canceled, nil, ctx.Err())
		}
		o.OnError(err)
		select { // not at once: what has failed may fail again
		case <-ctx.Done():
		case <-time.After(o.Poll):
		}
	}
}

// leader is one leadership.
type leader struct {
	book    Book
	runner  Runner
	o       Options
	history *History
	journal *journal.Leader
}

func lead(ctx context.Context, b Book, r Runner, o Options) error {
	l := leader{book: b, runner: r, o: o, history: &History{}}
	var err error
	l.journal, err = journal.Lead(ctx, b.Store, logPrefix, l.history, journal.Options{Writer: o.Address})
	if err != nil {
		return err
	}
	defer l.journal.Close() // writes nothing
	for {
		wake, err := l.round(ctx)
		if err != nil && errs.KindOf(err) != errs.Unavailable {
			return err
		}
		if err != nil {
			o.OnError(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.journal.Done():
			return l.journal.Err()
		case <-time.After(wake):
		}
	}
}

// round looks once at everything, and returns how long there is nothing to do.
func (l *leader) round(ctx context.Context) (wake time.Duration, err error) {
	schedules, triggers, err := l.book.read(ctx, l.o.OnError)
	if err != nil {
		return l.o.Poll, err
	}
	wake = l.o.Poll
	named := map[string]Schedule{}
	for _, s := range schedules {
		named[s.Name] = s
		if err := l.serve(ctx, s, triggers[s.Name]); err != nil {
			return l.o.Poll, err
		}
		now := time.Now()
		if next := s.wake(l.history.Of(s.Name), now); !next.IsZero() {
			wake = min(wake, max(next.Sub(now), 0))
		}
	}
	unlisted := map[string]bool{}
	for _, names := range []iter.Seq[string]{maps.Keys(triggers), maps.Keys(l.history.ByName)} {
		for name := range names {
			if _, ok := named[name]; !ok {
				unlisted[name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(unlisted)) {
		if err := l.clear(ctx, name, triggers[name]); err != nil {
			return l.o.Poll, err
		}
	}
	return wake, nil
}

// serve looks after one schedule: what runs first, since what ends makes room.
func (l *leader) serve(ctx context.Context, s Schedule, triggers []Trigger) error {
	if err := l.tend(ctx, s); err != nil {
		return err
	}
	for _, f := range decide(s, triggers, l.history.Of(s.Name), time.Now().UTC()) {
		if f.State == Running && f.ID == "" {
			var err error
			if f.ID, err = l.runner.Name(ctx, s.Name); err != nil {
				return err
			}
		}
		if err := l.record(ctx, record{Firing: &f}); err != nil {
			return err
		}
	}
	if err := l.drop(ctx, s.Name, triggers); err != nil { // all of them are decided on
		return err
	}
	return l.tend(ctx, s)
}

// clear ends what is left of a schedule that was removed. One that was not listed may be there all the same: it has come,
// or was replaced, while schedules were listed.
func (l *leader) clear(ctx context.Context, name string, triggers []Trigger) error {
	switch _, err := l.book.Get(ctx, name); errs.KindOf(err) {
	case errs.NotFound:
	case errs.Corrupt:
		return nil // it is looked at again
	default:
		return err
	}
	if err := l.drop(ctx, name, triggers); err != nil {
		return err
	}
	if _, known := l.history.ByName[name]; !known {
		return nil
	}
	return l.wind(ctx, name)
}

// drop removes triggers of a schedule.
func (l *leader) drop(ctx context.Context, name string, triggers []Trigger) error {
	for _, t := range triggers {
		if err := l.book.drop(ctx, name, t.ID); err != nil {
			return err
		}
	}
	return nil
}

// tend starts what is to run, and records what has ended.
func (l *leader) tend(ctx context.Context, s Schedule) error {
	for _, f := range l.history.Of(s.Name).open() {
		if f.State != Running {
			continue
		}
		outcome, err := l.runner.Ensure(ctx, s, f)
		if err != nil {
			l.o.OnError(errs.E("cron.Ensure", errs.Other, f.ID, err))
			continue // other schedules need not wait for this one
		}
		if !outcome.State.Final() {
			if f.Replaced {
				if err := l.runner.Kill(ctx, f, "a later slot of schedule "+s.Name+" takes its place"); err != nil {
					l.o.OnError(errs.E("cron.Kill", errs.Other, f.ID, err))
				}
			}
			continue
		}
		f.State, f.Message, f.Ended = outcome.State, outcome.Message, time.Now().UTC()
		if err := l.record(ctx, record{Firing: &f}); err != nil {
			return err
		}
	}
	return nil
}

// wind ends what is left of a schedule that was removed: what waits never runs, what runs is watched to its end.
func (l *leader) wind(ctx context.Context, name string) error {
	s := Schedule{Name: name}
	if err := l.tend(ctx, s); err != nil {
		return err
	}
	for _, f := range l.history.Of(name).open() {
		if f.State == Running {
			return nil
		}
	}
	return l.record(ctx, record{Forget: name})
}

func (l *leader) record(ctx context.Context, r record) error {
	data, err := encode(r)
	if err != nil {
		return err
	}
	return l.journal.Append(ctx, data)
}
