package journal_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store/fault"
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

func TestReadOfAnEmptyJournal(t *testing.T) {
	s := &values{list: []string{"left over"}}
	seq, err := journal.Read(t.Context(), mem.New(), "j", s, journal.Options{})
	if err != nil || seq != 0 || len(s.get()) != 0 {
		t.Errorf("read %q up to %d, %v", s.get(), seq, err)
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
		if err := first.Append(t.Context()); !errors.Is(err, errs.Fenced) { // no records: only asks whether it leads
			t.Errorf("the earlier leader's append: %v", err)
		}
	}
	<-first.Done()
	if !errors.Is(first.Err(), errs.Fenced) {
		t.Errorf("it ended with %v", first.Err())
	}
	if err := first.Checkpoint(t.Context()); !errors.Is(err, errs.Fenced) {
		t.Errorf("then it was asked for a checkpoint: %v", err)
	}
	if err := second.Append(t.Context()); err != nil || second.Err() != nil {
		t.Error(err, second.Err())
	}
}

// TestAppendsShareEntriesWhileOneFlies holds one entry back: what comes meanwhile goes into the next one, together.
func TestAppendsShareEntriesWhileOneFlies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, s := mem.New(), &values{}
		until := make(chan struct{})
		l := lead(t, fault.New(st, 1, holdEntry("00000000000000000002", until)), s, journal.Options{Try: time.Hour})
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() { appendAll(t, l, fmt.Sprint(i)) })
			synctest.Wait()
		}
		close(until)
		wg.Wait()
		var order []string
		for i := range 20 {
			order = append(order, fmt.Sprint(i))
		}
		if got := s.get(); !slices.Equal(got, order) {
			t.Errorf("applied in the order %v", got)
		}
		if got := objects(t, st); len(got) != 3 {
			t.Errorf("20 appends made %v", got)
		}
	})
}

// TestLargeAppendsAreSplitIntoEntries queues more than fits one entry, and tries more than any entry may hold.
func TestLargeAppendsAreSplitIntoEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, s := mem.New(), &values{}
		until := make(chan struct{})
		l := lead(t, fault.New(st, 1, holdEntry("00000000000000000002", until)), s, journal.Options{Try: time.Hour})
		if err := l.Append(t.Context(), make([]byte, journal.MaxAppend)); !errors.Is(err, errs.Invalid) {
			t.Errorf("too much: %v", err)
		}
		noise := make([]byte, journal.MaxAppend-100)
		for i := range noise {
			noise[i] = byte(i * i >> 7)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { appendAll(t, l, string(noise)) })
			synctest.Wait()
		}
		close(until)
		wg.Wait()
		if got := read(t, st); len(got) != 3 || got[2] != string(noise) {
			t.Errorf("%d records are read", len(got))
		}
	})
}

func TestRecordThatCannotBeAppliedEndsTheLeadership(t *testing.T) {
	st := mem.New()
	l := lead(t, st, &values{}, journal.Options{})
	if err := l.Append(t.Context(), []byte("poison")); err == nil || !strings.Contains(err.Error(), "cannot swallow") {
		t.Errorf("got %v", err)
	}
	<-l.Done()
	for range 2 {
		_, err := journal.Lead(t.Context(), st, "j", &values{}, journal.Options{})
		if err == nil || !strings.Contains(err.Error(), "log/00000000000000000002") {
			t.Errorf("the next leader: %v", err)
		}
	}
}

func TestCloseEndsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lead(t, fault.New(mem.New(), 1, holdEntry("00000000000000000002", nil)), &values{}, journal.Options{})
		ends := make(chan error, 3)
		go func() { ends <- l.Append(t.Context(), []byte("under way")) }()
		synctest.Wait()
		go func() { ends <- l.Append(t.Context(), []byte("waiting")) }()
		go func() { ends <- l.Checkpoint(t.Context()) }()
		synctest.Wait()
		for range 2 {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		kinds := map[errs.Kind]int{}
		for range 3 {
			kinds[errs.KindOf(<-ends)]++
		}
		if kinds[errs.Unavailable] != 1 || kinds[errs.Canceled] != 2 {
			t.Errorf("they ended with %v", kinds)
		}
		<-l.Done()
		if err := l.Append(t.Context()); !errors.Is(err, errs.Canceled) || !errors.Is(l.Err(), errs.Canceled) {
			t.Errorf("afterwards: %v, %v", err, l.Err())
		}
	})
}

func TestBadOptionsAreRefused(t *testing.T) {
	for _, o := range []journal.Options{{Writer: strings.Repeat("w", 300)}, {Try: -1}, {GiveUp: -1}, {Poll: -1}} {
		if _, err := journal.Lead(t.Context(), mem.New(), "j", &values{}, o); !errors.Is(err, errs.Invalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	_, err := journal.Lead(t.Context(), mem.New(), "a//b", &values{}, journal.Options{})
	if !errors.Is(err, errs.Invalid) {
		t.Errorf("a bad prefix: %v", err)
	}
	noNonce := journal.Options{Rand: strings.NewReader("")}
	if _, err := journal.Lead(t.Context(), mem.New(), "j", &values{}, noNonce); !errors.Is(err, errs.Internal) {
		t.Errorf("no randomness: %v", err)
	}
}
