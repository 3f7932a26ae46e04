package journal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store/mem"
)

func TestAppendIsAppliedThenReplayed(t *testing.T) {
	st, s := mem.New(), &values{}
	l := lead(t, st, s, journal.Options{})
	if l.Epoch() != 1 {
		t.Errorf("the first epoch is %d", l.Epoch())
	}
	for _, v := range []string{"a", "b", ""} {
		if err := l.Append(t.Context(), []byte(v), []byte(v+v)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"a", "aa", "b", "bb", "", ""}
	if !slices.Equal(s.get(), want) {
		t.Errorf("applied %q", s.get())
	}
	var again values
	seq, err := journal.Read(t.Context(), st, "j", &again, journal.Options{})
	if err != nil || seq != 4 || !slices.Equal(again.get(), want) {
		t.Errorf("read %q up to %d, %v", again.get(), seq, err)
	}
}

func TestManyAppendersShareEntries(t *testing.T) {
	st, s := mem.New(), &values{}
	l := lead(t, st, s, journal.Options{CheckpointEntries: 7})
	const writers, each = 16, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := l.Append(context.Background(), fmt.Appendf(nil, "%d:%d", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := l.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	var again values
	if _, err := journal.Read(t.Context(), st, "j", &again, journal.Options{}); err != nil {
		t.Fatal(err)
	}
	if len(again.list) != writers*each || !slices.Equal(again.list, s.get()) {
		t.Errorf("%d records read, %d applied", len(again.list), len(s.get()))
	}
}

func TestLaterLeaderFencesEarlier(t *testing.T) {
	st := mem.New()
	first := lead(t, st, &values{}, journal.Options{})
	second := lead(t, st, &values{}, journal.Options{})
	if second.Epoch() <= first.Epoch() {
		t.Errorf("epochs %d, then %d", first.Epoch(), second.Epoch())
	}
	for range 2 {
		if err := first.Append(t.Context(), []byte("late")); !errors.Is(err, errs.Fenced) {
			t.Errorf("the earlier leader's append: %v", err)
		}
	}
	<-first.Done()
	if !errors.Is(first.Err(), errs.Fenced) {
		t.Errorf("it ended with %v", first.Err())
	}
	if err := second.Append(t.Context(), []byte("fine")); err != nil {
		t.Error(err)
	}
}
