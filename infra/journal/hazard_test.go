package journal_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// between returns st, with f run before the first call of op on a name that ends in suffix.
func between(st store.Store, op around.Op, suffix string, f func()) store.Store {
	var done atomic.Bool
	return around.New(st, func(_ context.Context, c around.Call, do func([]byte) (int, error)) (int, error) {
		if c.Op == op && strings.HasSuffix(string(c.Name), suffix) && done.CompareAndSwap(false, true) {
			f()
		}
		return do(c.Data)
	})
}

// holdEntry lets the creation of an entry wait.
func holdEntry(seq string, until <-chan struct{}) fault.Rule {
	return fault.Rule{Op: around.Commit, Match: "log/" + seq, Effect: fault.Hold, Until: until}
}

// checkpoint makes a checkpoint, and waits until what it covers is deleted.
func checkpoint(t *testing.T, l *journal.Leader) {
	t.Helper()
	if err := l.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func want(t *testing.T, st store.Store, records ...string) {
	t.Helper()
	if got := read(t, st); !slices.Equal(got, records) {
		t.Errorf("the log holds %v, not %v", got, records)
	}
}

// TestPausedLeaderMeetsTheSeal is why seals stay: all else at its next number is truncated when it comes back.
func TestPausedLeaderMeetsTheSeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		paused := lead(t, st, &values{}, journal.Options{})
		appendAll(t, paused, "a")
		next := lead(t, st, &values{}, journal.Options{})
		appendAll(t, next, "b")
		checkpoint(t, next)
		if err := paused.Append(t.Context(), []byte("late")); !errors.Is(err, errs.Fenced) {
			t.Errorf("the paused leader appended: %v", err)
		}
		want(t, st, "a", "b")
	})
}

// TestTruncatedPlaceIsNotTheEnd lets a candidate's next entry be truncated before it looks there.
func TestTruncatedPlaceIsNotTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		old := lead(t, st, &values{}, journal.Options{})
		appendAll(t, old, "a")
		s := &values{}
		truncating := between(st, around.Open, "log/00000000000000000002", func() { checkpoint(t, old) })
		l := lead(t, truncating, s, journal.Options{})
		if got := s.get(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("the candidate read %v", got)
		}
		appendAll(t, l, "b")
		want(t, st, "a", "b")
	})
}

// TestSealAtATruncatedPlace lets the truncation happen after the candidate has looked, and before it seals.
func TestSealAtATruncatedPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		old := lead(t, st, &values{}, journal.Options{})
		s := &values{}
		l := lead(t, between(st, around.Commit, "log/00000000000000000002", func() {
			appendAll(t, old, "a")
			checkpoint(t, old)
		}), s, journal.Options{})
		if got := s.get(); l.Epoch() != 3 || !slices.Equal(got, []string{"a"}) {
			t.Errorf("the candidate leads from %d on, and has read %v", l.Epoch(), got)
		}
		if err := old.Append(t.Context(), []byte("late")); !errors.Is(err, errs.Fenced) {
			t.Errorf("the old leader appended: %v", err)
		}
		appendAll(t, l, "b")
		want(t, st, "a", "b")
	})
}

// TestStraySealIsNotRead plants such a seal, whose candidate then dies, before a follower that has not read what was
// truncated there. The entry behind it is still to be truncated, so the log seems to go on.
func TestStraySealIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		stuck := fault.Rule{Op: around.Delete, Match: "log/00000000000000000003", Effect: fault.Hold}
		old := lead(t, fault.New(st, 1, stuck), &values{}, journal.Options{})
		s := &values{}
		f, err := journal.Follow(st, "j", s, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.CatchUp(t.Context()); err != nil || f.Seq() != 1 {
			t.Fatal(f.Seq(), err)
		}
		dying, die := context.WithCancel(t.Context())
		_, err = journal.Lead(dying, between(st, around.Commit, "log/00000000000000000002", func() {
			appendAll(t, old, "a", "b")
			checkpoint(t, old)
			appendAll(t, old, "c")
		}), "j", &dyingState{die: die}, journal.Options{})
		if !errors.Is(err, errs.Canceled) {
			t.Fatalf("the candidate did not die: %v", err)
		}
		if got := objects(t, st); !slices.Contains(got, "log/00000000000000000002") {
			t.Fatalf("there is no stray seal: %v", got)
		}
		if err := f.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.get(); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("the follower read %v", got)
		}
		want(t, st, "a", "b", "c")
	})
}

// dyingState is the State of a candidate that dies when it has to start over.
type dyingState struct {
	values
	die func()
}

func (d *dyingState) Apply(record []byte) error { d.die(); return d.values.Apply(record) }

// TestLostReplyIsNotARival loses the first answer to each write. Nothing is written twice, nobody is fenced.
func TestLostReplyIsNotARival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		bad := fault.New(st, 1)
		for _, name := range []string{"00000000000000000001", "00000000000000000002", "00000000000000000003"} {
			bad.Add(fault.Rule{Op: around.Commit, Match: name, Nth: 1, Effect: fault.LoseReply})
		}
		l := lead(t, bad, &values{}, journal.Options{})
		if l.Epoch() != 1 {
			t.Errorf("the seal whose answer was lost is 1, the epoch %d", l.Epoch())
		}
		appendAll(t, l, "a", "b")
		want(t, st, "a", "b")
	})
}

// TestLateDuplicates lets every write arrive once more after everything was truncated.
func TestLateDuplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		bad := fault.New(st, 1, fault.Rule{Op: around.Commit, Effect: fault.Duplicate})
		l := lead(t, bad, &values{}, journal.Options{})
		appendAll(t, l, "a", "b")
		checkpoint(t, l)
		appendAll(t, l, "c")
		checkpoint(t, l)
		_ = bad.Replay(t.Context()) // most of them find their name taken
		want(t, st, "a", "b", "c")
		appendAll(t, lead(t, st, &values{}, journal.Options{}), "d")
		want(t, st, "a", "b", "c", "d")
	})
}

// TestStaleLeaderCheckpoints lets a leader that was fenced, and does not know it, checkpoint and truncate.
func TestStaleLeaderCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		stale := lead(t, st, &values{}, journal.Options{})
		appendAll(t, stale, "a")
		l := lead(t, st, &values{}, journal.Options{})
		appendAll(t, l, "b")
		checkpoint(t, stale)
		appendAll(t, l, "c")
		want(t, st, "a", "b", "c")
		checkpoint(t, l)
		checkpoint(t, stale) // older than the newest, and already there
		appendAll(t, l, "d")
		want(t, st, "a", "b", "c", "d")
	})
}

func TestStoreThatIgnoresIfAbsentIsRefused(t *testing.T) {
	_, err := journal.Lead(t.Context(), careless{mem.New()}, "j", &values{}, journal.Options{})
	if !errors.Is(err, errs.Unsupported) {
		t.Errorf("got %v", err)
	}
}

// careless replaces what was to be created only if absent.
type careless struct{ store.Store }

func (c careless) Create(ctx context.Context, n store.Name, _ ...store.CreateOption) (store.Writer, error) {
	return c.Store.Create(ctx, n)
}

// TestDeadStoreEndsTheLeadership also shows what is said of the record under way and of those behind it.
func TestDeadStoreEndsTheLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		never := make(chan struct{})
		bad := fault.New(st, 1, holdEntry("00000000000000000003", never))
		l := lead(t, bad, &values{}, journal.Options{Try: time.Second, GiveUp: time.Minute})
		appendAll(t, l, "a")
		start := time.Now()
		if err := l.Append(t.Context(), []byte("b")); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("got %v", err)
		}
		if d := time.Since(start); d < 50*time.Second || d > time.Minute {
			t.Errorf("it gave up after %v", d)
		}
		<-l.Done()
		if !errors.Is(l.Err(), errs.Unavailable) || errors.Is(l.Err(), errs.Canceled) {
			t.Errorf("it ended with %v", l.Err())
		}
	})
}

// TestOutcomeOfAnAppendThatIsGivenUp tells what was under way, and may land, from what was not sent.
func TestOutcomeOfAnAppendThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, s := mem.New(), &values{}
		until := make(chan struct{})
		bad := fault.New(st, 1, holdEntry("00000000000000000002", until))
		l := lead(t, bad, s, journal.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		sent, waiting := make(chan error, 1), make(chan error, 1)
		go func() { sent <- l.Append(ctx, []byte("sent")) }()
		synctest.Wait()
		go func() { waiting <- l.Append(ctx, []byte("waiting")) }()
		if err := <-sent; !errors.Is(err, errs.Unavailable) || errors.Is(err, errs.Canceled) {
			t.Errorf("what was under way: %v", err)
		}
		if err := <-waiting; !errors.Is(err, errs.Canceled) || errors.Is(err, errs.Unavailable) {
			t.Errorf("what was not sent: %v", err)
		}
		close(until)
		appendAll(t, l, "after")
		if want := []string{"sent", "after"}; !slices.Equal(s.get(), want) {
			t.Errorf("the state holds %v", s.get())
		}
		want(t, st, "sent", "after")
	})
}
