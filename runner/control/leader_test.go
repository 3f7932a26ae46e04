package control

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/roster"
)

// newLeaderOf returns a leadership of a world that does nothing by itself.
func newLeaderOf(t *testing.T, w *world, f Fleet) *leader {
	t.Helper()
	b := &book{Roster: roster.New()}
	j, err := journal.Lead(t.Context(), w.st, prefix, b, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() }) // returns nil always
	s := New(Config{Store: w.st, Coord: w.coord, Fleet: f, Jobs: embedded.Jobs{Store: w.st}})
	return newLeader(s.cfg, b, j)
}

// record appends what happens to a leader's journal.
func record(t *testing.T, l *leader, records ...roster.Record) {
	t.Helper()
	if err := l.append(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
}

// admit records a job, and that it may have an executor.
func admit(t *testing.T, w *world, l *leader, id scheduler.JobID) {
	t.Helper()
	if err := (embedded.Jobs{Store: w.st}).SubmitAs(t.Context(), scheduler.Job{ID: id, Kind: "toy"}); err != nil {
		t.Fatal(err)
	}
	record(t, l, roster.Record{Enter: &roster.Entry{Job: id, Queue: "default", Want: 1}},
		roster.Record{Allow: &roster.Allow{Job: id, Count: 1, Time: time.Unix(1e9, 0)}})
}

// TestKilledAtItsAdmission: who wants a job's end when it was admitted, and has no shepherd yet, is heard.
func TestKilledAtItsAdmission(t *testing.T) {
	w := newWorld()
	l := newLeaderOf(t, w, w)
	const id = scheduler.JobID("7k2f-words")
	admit(t, w, l, id)
	record(t, l, roster.Record{Kill: &roster.Kill{Job: id, Why: "killed by ann"}})
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var herds sync.WaitGroup
	l.herd(soon, &herds, id)
	herds.Wait()
	report, err := am.Load(t.Context(), w.st, scheduler.Job{ID: id})
	if err != nil || report.State != scheduler.JobKilled {
		t.Errorf("it is %s, %v", report.State, err)
	}
}

// busy is a world that cannot tell a job what it may have, so many times, and admits another meanwhile.
type busy struct {
	*world
	times   int
	decided func() // is called while a job is launched; may be nil
}

func (b *busy) Allow(ctx context.Context, id scheduler.JobID, n int) error {
	if b.times--; b.times >= 0 {
		return errs.E("busy", errs.Unavailable, id, nil)
	}
	return b.world.Allow(ctx, id, n)
}

func (b *busy) Launch(ctx context.Context, job scheduler.Job, n int) error {
	if b.decided != nil {
		b.decided()
	}
	return b.world.Launch(ctx, job, n)
}

// TestWhatFailsIsDue: what was decided is carried out also if it cannot be at first, and keeps nobody else waiting.
func TestWhatFailsIsDue(t *testing.T) {
	w := newWorld()
	l := newLeaderOf(t, w, &busy{world: w, times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	var herds sync.WaitGroup
	defer herds.Wait()
	defer cancel()
	const first, second = scheduler.JobID("7k2a-first"), scheduler.JobID("7k2b-second")
	admit(t, w, l, first)
	l.herd(ctx, &herds, first)
	l.mu.Lock()
	h := l.mu.herd[first]
	l.mu.Unlock()
	<-h.launched
	record(t, l, roster.Record{Allow: &roster.Allow{Job: first, Count: 3}})
	admit(t, w, l, second)
	l.due = []scheduler.JobID{first, second}
	if err := l.carryOut(ctx, &herds); !errs.Retryable(err) {
		t.Errorf("it went as if nothing had happened: %v", err)
	}
	w.until(t, "the second runs", func() bool { return len(w.launched()) == 2 })
	if err := l.carryOut(ctx, &herds); err != nil || len(l.due) > 0 {
		t.Errorf("%v, due are %v", err, l.due)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.allowed[first] != 3 {
		t.Errorf("the first may have %d", w.allowed[first])
	}
}

// TestDecidedWhileLaunched: what a job may have changes while it is launched, with what it was to have before.
func TestDecidedWhileLaunched(t *testing.T) {
	w := newWorld()
	f := &busy{world: w}
	l := newLeaderOf(t, w, f)
	const id = scheduler.JobID("7k2f-words")
	admit(t, w, l, id)
	f.decided = func() { record(t, l, roster.Record{Allow: &roster.Allow{Job: id, Count: 2}}) }
	if err := l.launch(t.Context(), scheduler.Job{ID: id}); err != nil {
		t.Fatal(err)
	}
	if w.allowed[id] != 2 {
		t.Errorf("it may have %d", w.allowed[id])
	}
}

// TestSaidTwiceAtOnce: a job is the one that was recorded while it was checked, whose output may be there by now.
func TestSaidTwiceAtOnce(t *testing.T) {
	w := newWorld()
	jobs, job := embedded.Jobs{Store: w.st}, scheduler.Job{ID: "7k2f-words", Name: "words", Kind: "toy"}
	s := New(Config{Store: w.st, Jobs: jobs, Check: func(ctx context.Context, job scheduler.Job) error {
		return errors.Join(errs.E("check", errs.Exist, job.Output, nil), jobs.SubmitAs(ctx, job))
	}})
	if known, err := s.record(t.Context(), job); err != nil || known.ID != job.ID {
		t.Errorf("%+v, %v", known, err)
	}
}
