package control

import (
	"context"
	"iter"
	"testing"

	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// TestWatchWaits watches a job that waits for its turn: it is told of when something changes, however long that takes.
func TestWatchWaits(t *testing.T) {
	w := newWorld()
	s, _ := w.start(t, "a")
	w.leads(t, s)
	first := submit(t, s, submission("first", 4))
	w.until(t, "the first runs", func() bool { return len(w.launched()) == 1 })
	second := submit(t, s, submission("second", 4))
	w.until(t, "the second says why it waits", func() bool { return state(t, s, second).Waits != "" })

	told := make(chan embedded.Status, 1000)
	go func() {
		defer close(told)
		for status, err := range s.Watch(t.Context(), scheduler.Job{ID: second}) {
			if told <- status; err != nil || status.State.Final() {
				return
			}
		}
	}()
	w.until(t, "it was told how the job stands", func() bool { return len(told) > 0 })
	rounds := w.looks()
	w.until(t, "many rounds have passed", func() bool { return w.looks() > rounds+30 })
	if n := len(told); n != 1 {
		t.Errorf("it was told of %d times while nothing has changed", n)
	}
	if err := w.finish(t.Context(), first, scheduler.JobSucceeded, ""); err != nil {
		t.Fatal(err)
	}
	w.until(t, "the second runs", func() bool { return len(w.launched()) == 2 })
	if err := w.finish(t.Context(), second, scheduler.JobSucceeded, ""); err != nil {
		t.Fatal(err)
	}
	var last embedded.Status
	for last = range told {
	}
	if last.State != scheduler.JobSucceeded {
		t.Errorf("the last that was told is %s", last.State)
	}
}

// teller is a world that tells how jobs go on. An application master that was killed says nothing any more, as if
// another one could come.
type teller struct{ *world }

func (w teller) Standing(ctx context.Context, job scheduler.Job) (embedded.Status, error) {
	report, err := am.Load(ctx, w.st, job)
	w.mu.Lock()
	defer w.mu.Unlock()
	return embedded.Status{Report: report, Interrupted: w.alive[job.ID] == nil}, err
}

func (w teller) Reports(ctx context.Context, id scheduler.JobID) iter.Seq2[am.Report, error] {
	return func(yield func(am.Report, error) bool) {
		if yield(am.Report{Job: id, State: scheduler.JobRunning}, nil) {
			<-ctx.Done()
			yield(am.Report{}, ctx.Err())
		}
	}
}

// TestWatchEndsWithTheLastMaster watches a job whose only application master is killed: it is told that the job was cut
// off, and nothing more.
func TestWatchEndsWithTheLastMaster(t *testing.T) {
	w := newWorld()
	s, _ := w.startWith(t, "a", teller{w})
	w.leads(t, s)
	id := submit(t, s, submission("words", 1))
	w.until(t, "it runs", func() bool { return state(t, s, id).State == scheduler.JobSubmitted })
	var last embedded.Status
	for status, err := range s.Watch(t.Context(), scheduler.Job{ID: id}) {
		if err != nil {
			t.Fatal(err)
		}
		if last = status; status.State == scheduler.JobRunning {
			w.desert(id)
		}
	}
	if !last.Interrupted || last.State.Final() {
		t.Errorf("the last that was told is %+v", last)
	}
}
