package cron

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// trigger asks for a schedule with an id.
func trigger(t *testing.T, b Book, name, id string) {
	t.Helper()
	if _, err := b.Trigger(t.Context(), name, id, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// TestSaidAgain: a trigger whose answer was lost is one trigger, also if it was decided on before it is said again.
func TestSaidAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book, yard := Book{mem.New()}, newYard(time.Hour)
		every(t, book, "0 0 1 1 *", nil)
		l := leads(t, book, yard)
		for range 2 {
			trigger(t, book, "s", "once")
			trigger(t, book, "s", "once")
			if _, err := l.round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want(t, book, "s", Running)
	})
}

// TestDecidedMeanwhile: who lists schedules while a trigger is decided on, and removed, does not stumble over it.
func TestDecidedMeanwhile(t *testing.T) {
	objects := mem.New()
	every(t, Book{objects}, "0 0 1 1 *", nil)
	trigger(t, Book{objects}, "s", "once")
	on := make(chan struct{})
	close(on)
	slow := fault.New(objects, 1, fault.Rule{Op: around.Open, Match: "trigger/", Effect: fault.Hold, Until: on,
		Hit: func() {
			if err := (Book{objects}).drop(t.Context(), "s", "once"); err != nil {
				t.Error(err)
			}
		}})
	if all, err := (Book{slow}).All(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

// TestTriggersGoWithTheirSchedule: one of the same name that is added later is not run for somebody who wanted the
// other, also if he said so while that was removed.
func TestTriggersGoWithTheirSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book, yard := Book{mem.New()}, newYard(time.Hour)
		l := leads(t, book, yard)
		for _, late := range []bool{false, true} {
			every(t, book, "0 0 1 1 *", nil)
			trigger(t, book, "s", "old")
			if late { // the schedule is gone, and the trigger comes after those that were removed with it
				if err := book.Store.Delete(t.Context(), scheduleObject("s")); err != nil {
					t.Fatal(err)
				}
				if _, err := l.round(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := book.Remove(t.Context(), "s"); err != nil {
				t.Fatal(err)
			}
			every(t, book, "0 0 1 1 *", nil)
			if _, err := l.round(t.Context()); err != nil {
				t.Fatal(err)
			}
			want(t, book, "s")
			if err := book.Remove(t.Context(), "s"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestAddedMeanwhile: a trigger stays that is seen before its schedule is, which was added while schedules were listed.
func TestAddedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects, yard := mem.New(), newYard(time.Hour)
		s := every(t, Book{objects}, "0 0 1 1 *", nil)
		trigger(t, Book{objects}, "s", "once")
		if err := objects.Delete(t.Context(), scheduleObject("s")); err != nil {
			t.Fatal(err)
		}
		on := make(chan struct{})
		close(on)
		slow := fault.New(objects, 1, fault.Rule{Op: around.Open, Match: "trigger/", Nth: 1, Effect: fault.Hold, Until: on,
			Hit: func() {
				if err := (Book{objects}).Add(t.Context(), s); err != nil {
					t.Error(err)
				}
			}})
		l := leads(t, Book{slow}, yard)
		for range 2 {
			if _, err := l.round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want(t, Book{objects}, "s", Running)
	})
}

// TestUnlisted: what is known of a schedule is not forgotten because it was not listed once: its last slot would fire
// again.
func TestUnlisted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects, yard := mem.New(), newYard(time.Second)
		s := every(t, Book{objects}, "* * * * *", nil)
		on := make(chan struct{})
		close(on)
		slow := fault.New(objects, 1)
		l := leads(t, Book{slow}, yard)
		round := func() {
			t.Helper()
			if _, err := l.round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		round()
		time.Sleep(2 * time.Second)
		round()
		want(t, Book{objects}, "s", Succeeded)
		if err := (Book{objects}).Remove(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		slow.Add(fault.Rule{Op: around.Open, Match: "schedules/s/", Nth: 1, Effect: fault.Hold, Until: on, Hit: func() {
			if err := (Book{objects}).Replace(t.Context(), s); err != nil { // as it was
				t.Error(err)
			}
		}})
		round()
		round()
		want(t, Book{objects}, "s", Succeeded)
	})
}
