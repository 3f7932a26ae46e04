package control

import (
	"testing"

	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
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
