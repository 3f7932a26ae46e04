package journal_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// TestCheckpointsTruncate also shows that seals stay, and that a leader removes what its predecessor left behind.
func TestCheckpointsTruncate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		stuck := fault.New(st, 1, fault.Rule{Op: around.Delete, Effect: fault.Hold})
		first := lead(t, stuck, &values{}, journal.Options{})
		appendAll(t, first, "a", "b")
		checkpoint(t, first)
		first.Close() // in the midst of its deletions
		second := lead(t, st, &values{}, journal.Options{CheckpointEntries: 3})
		appendAll(t, second, "c", "d")
		synctest.Wait()
		check := func(want ...string) {
			t.Helper()
			if got := objects(t, st); !slices.Equal(got, want) {
				t.Errorf("there is %v, not %v", got, want)
			}
		}
		number := func(part string, n int) string { return fmt.Sprintf("%s/%020d", part, n) }
		check(number("checkpoint", 3), number("log", 1), number("log", 2), number("log", 3), number("log", 4),
			number("log", 5), number("log", 6))
		appendAll(t, second, "e")
		synctest.Wait()
		check(number("checkpoint", 7), number("log", 1), number("log", 4))
		want(t, st, "a", "b", "c", "d", "e")
	})
}

func TestCheckpointsBySize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		l := lead(t, st, &values{}, journal.Options{CheckpointEntries: -1, CheckpointBytes: 1000})
		for range 25 {
			appendAll(t, l, strings.Repeat("x", 99))
			synctest.Wait()
		}
		if got := objects(t, st); got[0] != "checkpoint/00000000000000000021" || len(got) != 7 {
			t.Errorf("there is %v", got)
		}
	})
}

// TestAppendsGoOnBesideACheckpoint holds a checkpoint back. A second one that is asked for meanwhile covers what came.
func TestAppendsGoOnBesideACheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		until := make(chan struct{})
		slow := fault.Rule{Op: around.Commit, Match: "checkpoint/", Nth: 1, Effect: fault.Hold, Until: until}
		l := lead(t, fault.New(st, 1, slow), &values{}, journal.Options{})
		appendAll(t, l, "a")
		ends := make(chan error, 2)
		go func() { ends <- l.Checkpoint(t.Context()) }()
		synctest.Wait()
		appendAll(t, l, "b", "c")
		go func() { ends <- l.Checkpoint(t.Context()) }()
		synctest.Wait()
		if len(ends) > 0 {
			t.Error("a checkpoint was reported before it was durable")
		}
		close(until)
		for range 2 {
			if err := <-ends; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if got := objects(t, st); got[0] != "checkpoint/00000000000000000004" || len(got) != 2 {
			t.Errorf("there is %v", got)
		}
		want(t, st, "a", "b", "c")
	})
}

// TestFailedCheckpointsAreToldAndRepeated breaks a checkpoint that was asked for, one that was due, and a deletion.
func TestFailedCheckpointsAreToldAndRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		full := errs.E("disk", errs.Exhausted, nil, nil)
		bad := fault.New(st, 1, fault.Rule{Op: around.Commit, Match: "checkpoint/", Nth: 1, Err: full},
			fault.Rule{Op: around.Commit, Match: "checkpoint/", Nth: 2, Err: full},
			fault.Rule{Op: around.Delete, Nth: 1, Err: full})
		var told []error
		l := lead(t, bad, &values{}, journal.Options{
			CheckpointEntries: 3, OnError: func(err error) { told = append(told, err) },
		})
		if err := l.Checkpoint(t.Context()); !errors.Is(err, errs.Exhausted) || len(told) != 0 {
			t.Errorf("the one asked for: %v, told %v", err, told)
		}
		for i, want := range []int{0, 0, 1, 1, 1, 2, 2, 2, 2} {
			appendAll(t, l, fmt.Sprint(i))
			synctest.Wait()
			if len(told) != want {
				t.Errorf("after append %d, told %v", i, told)
			}
		}
		if got := objects(t, st); len(got) != 2 {
			t.Errorf("in the end there is %v", got)
		}
	})
}

// broken is a State whose snapshots fail, at once or while they are written.
type broken struct {
	values
	late bool
}

func (b *broken) Snapshot() (io.WriterTo, error) {
	if b.late {
		return brokenWriterTo{}, nil
	}
	return nil, errors.New("no snapshot")
}

type brokenWriterTo struct{}

func (brokenWriterTo) WriteTo(w io.Writer) (int64, error) {
	n, _ := w.Write([]byte("half of it"))
	return int64(n), errors.New("no snapshot")
}

func TestBrokenSnapshotChangesNothing(t *testing.T) {
	for _, late := range []bool{false, true} {
		st := mem.New()
		l := lead(t, st, &broken{late: late}, journal.Options{})
		appendAll(t, l, "a")
		if err := l.Checkpoint(t.Context()); err == nil || !strings.Contains(err.Error(), "no snapshot") {
			t.Errorf("got %v", err)
		}
		appendAll(t, l, "b")
		want(t, st, "a", "b")
	}
}
