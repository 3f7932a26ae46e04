package fault_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/bits"
	"slices"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/infra/store/storetest"
)

func TestWithoutRules(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return fault.New(mem.New(), 1) })
}

func TestFail(t *testing.T) {
	mine := errors.New("mine")
	for _, c := range []struct {
		rule fault.Rule
		want error
		kept bool // the object is there afterwards
	}{
		{fault.Rule{Op: around.Create}, errs.Unavailable, false},
		{fault.Rule{Op: around.Write, Err: errs.Exhausted}, errs.Exhausted, false},
		{fault.Rule{Op: around.Commit, Err: mine}, mine, false},
		{fault.Rule{Op: around.Commit, Effect: fault.LoseReply}, errs.Unavailable, true},
		{fault.Rule{Op: around.Write, Effect: fault.Cut}, errs.Unavailable, false},
		{fault.Rule{Op: around.Commit, Match: "other"}, nil, true},
		{fault.Rule{Op: around.Commit, Nth: 2}, nil, true},
		{fault.Rule{Match: "name"}, errs.Unavailable, false},
	} {
		inner := mem.New()
		st := fault.New(inner, 1, c.rule)
		if err := store.Put(t.Context(), st, "a/name", []byte("data")); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c.rule, err)
		}
		if _, err := inner.Stat(t.Context(), "a/name"); (err == nil) != c.kept {
			t.Errorf("%+v: afterwards %v", c.rule, err)
		}
	}
}

// A commit whose reply was lost can be repeated on the same writer, as the contract says.
func TestCommitAgainAfterLostReply(t *testing.T) {
	ctx := t.Context()
	st := fault.New(mem.New(), 1, fault.Rule{Op: around.Commit, Nth: 1, Effect: fault.LoseReply})
	w, err := st.Create(ctx, "a", store.IfAbsent())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(ctx); !errors.Is(err, errs.Unavailable) {
		t.Fatal(err)
	}
	if err := w.Commit(ctx); err != nil {
		t.Error(err)
	}
}

func TestReads(t *testing.T) {
	ctx, inner := t.Context(), mem.New()
	data := storetest.Pattern(1000, 1)
	if err := store.Put(ctx, inner, "a", data); err != nil {
		t.Fatal(err)
	}
	read := func(r fault.Rule) ([]byte, error) {
		r.Op = around.Read
		rd, err := fault.New(inner, 7, r).Open(ctx, "a", store.Range{})
		if err != nil {
			t.Fatal(err)
		}
		defer rd.Close()
		got := make([]byte, len(data))
		n, err := io.ReadFull(rd, got)
		return got[:n], err
	}
	got, err := read(fault.Rule{Effect: fault.Cut})
	if !errors.Is(err, errs.Unavailable) || !bytes.Equal(got, data[:500]) {
		t.Errorf("cut: %d bytes, %v", len(got), err)
	}
	got, err = read(fault.Rule{Effect: fault.Cut, Err: io.EOF})
	if err != io.ErrUnexpectedEOF || !bytes.Equal(got, data[:500]) {
		t.Errorf("silent cut: %d bytes, %v", len(got), err)
	}
	got, err = read(fault.Rule{Effect: fault.Corrupt})
	flipped := 0
	for i := range got {
		flipped += bits.OnesCount8(got[i] ^ data[i])
	}
	if err != nil || flipped != 1 {
		t.Errorf("corrupt: %d bits differ, %v", flipped, err)
	}
	again, err := read(fault.Rule{Effect: fault.Corrupt})
	if err != nil || !bytes.Equal(got, again) {
		t.Errorf("the same seed hit another bit; %v", err)
	}
}

// Which calls are hit depends on the seed and the number of the call.
func TestSameSeedSameFaults(t *testing.T) {
	run := func(seed uint64) (hits []int) {
		st := fault.New(mem.New(), seed, fault.Rule{Op: around.Stat, Match: "a", Chance: 0.3})
		for i := range 100 {
			if _, err := st.Stat(t.Context(), "other"); !errors.Is(err, errs.NotFound) { // no match: moves no counter
				t.Fatal(err)
			}
			if _, err := st.Stat(t.Context(), "a"); errors.Is(err, errs.Unavailable) {
				hits = append(hits, i)
			}
		}
		return hits
	}
	one, two := run(1), run(2)
	if len(one) < 10 || len(one) > 60 {
		t.Errorf("a chance of 0.3 hit %d of 100", len(one))
	}
	if !slices.Equal(one, run(1)) || slices.Equal(one, two) {
		t.Errorf("seed 1: %v and %v; seed 2: %v", one, run(1), two)
	}
}

func TestHold(t *testing.T) {
	held, until := make(chan struct{}), make(chan struct{})
	inner := mem.New()
	st := fault.New(inner, 1, fault.Rule{
		Op: around.Commit, Nth: 1, Effect: fault.Hold, Until: until, Hit: func() { close(held) },
	})
	result := make(chan error)
	go func() { result <- store.Put(t.Context(), st, "a", []byte("slow"), store.IfAbsent()) }()
	<-held
	if err := store.Put(t.Context(), st, "a", []byte("quick"), store.IfAbsent()); err != nil {
		t.Error(err)
	}
	close(until)
	if err := <-result; !errors.Is(err, errs.Exist) {
		t.Errorf("the slow one: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	st.Add(fault.Rule{Op: around.Stat, Effect: fault.Hold, Hit: cancel})
	if _, err := st.Stat(ctx, "a"); !errors.Is(err, errs.Canceled) {
		t.Errorf("held for ever: %v", err)
	}
	st.Clear()
	if _, err := st.Stat(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

func TestReplay(t *testing.T) {
	ctx := t.Context()
	st := fault.New(mem.New(), 1, fault.Rule{Match: "dup", Effect: fault.Duplicate})
	put := func(name store.Name, data string, opts ...store.CreateOption) {
		t.Helper()
		if err := store.Put(ctx, st, name, []byte(data), opts...); err != nil {
			t.Fatal(err)
		}
	}
	want := func(name store.Name, data string) {
		t.Helper()
		if got, err := store.Get(ctx, st, name, 100); err != nil || string(got) != data {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	put("dup/over", "first")
	put("dup/over", "second")
	put("dup/once", "only", store.IfAbsent())
	put("dup/gone", "truncated", store.IfAbsent())
	st.Clear()
	put("dup/over", "third")
	if err := st.Delete(ctx, "dup/gone"); err != nil {
		t.Fatal(err)
	}

	if err := st.Replay(ctx); !errors.Is(err, errs.Exist) {
		t.Errorf("an if-absent create that arrived again: %v", err)
	}
	want("dup/over", "second")
	want("dup/once", "only")
	want("dup/gone", "truncated") // a late duplicate brings back what was deleted: the journal's hazard
	if err := st.Replay(ctx); err != nil {
		t.Errorf("a second replay: %v", err)
	}

	put("late", "x")
	st.Add(fault.Rule{Op: around.Delete, Effect: fault.Duplicate})
	if err := st.Delete(ctx, "late"); err != nil {
		t.Fatal(err)
	}
	put("late", "y")
	if err := st.Replay(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Stat(ctx, "late"); !errors.Is(err, errs.NotFound) {
		t.Errorf("a delete that arrived again: %v", err)
	}
}
