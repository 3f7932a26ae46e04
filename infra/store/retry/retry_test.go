package retry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/infra/store/retry"
	"github.com/seed3322913c/runner/infra/store/storetest"
)

// noUploads hides the ability to take uploads.
type noUploads struct{ store.Store }

// quick has no long waits; where time is not virtual.
func quick() retry.Options {
	return retry.Options{First: time.Microsecond, Most: time.Millisecond, Keep: store.MinPart}
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return retry.New(mem.New(), quick()) })
}

func TestStoreWithoutUploads(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return retry.New(noUploads{mem.New()}, quick()) })
}

// The whole contract holds over a store that often fails, often after the effect.
func TestBadStore(t *testing.T) {
	now := make(chan struct{})
	close(now)
	rules := []fault.Rule{
		{Op: around.BeginUpload, Effect: fault.Hold, Until: now}, // no fault: a lost reply leaves an upload to a sweep
		{Chance: 0.15},
		{Chance: 0.15, Effect: fault.LoseReply},
		{Op: around.Read, Chance: 0.2, Effect: fault.Cut},
		{Op: around.Read, Chance: 0.1},
		{Op: around.Next, Chance: 0.02},
		{Op: around.Write, Chance: 0.05, Effect: fault.Cut},
	}
	seed := uint64(0)
	storetest.Run(t, func(t *testing.T) store.Store {
		seed++
		t.Logf("seed %d", seed)
		return retry.New(fault.New(mem.New(), seed, rules...), quick())
	})
	storetest.Run(t, func(t *testing.T) store.Store {
		seed++
		t.Logf("seed %d, no uploads", seed)
		// A write beyond what is kept is not repeated, so this store loses no Writes.
		return retry.New(noUploads{fault.New(mem.New(), seed, rules[:6]...)}, quick())
	})
}

// A create whose reply was lost is not taken for somebody else's, and somebody else's not for its own.
func TestIfAbsentUnderLostReplies(t *testing.T) {
	for _, size := range []int{10, 3 * store.MinPart} {
		ctx, inner := t.Context(), mem.New()
		st := retry.New(fault.New(inner, 1,
			fault.Rule{Op: around.Commit, Nth: 1, Effect: fault.LoseReply},
			fault.Rule{Op: around.CompleteUpload, Nth: 1, Effect: fault.LoseReply},
			fault.Rule{Op: around.UploadPart, Nth: 2, Effect: fault.LoseReply},
			fault.Rule{Op: around.UploadPart, Nth: 4},
		), quick())
		data := storetest.Pattern(size, 1)
		if err := store.Put(ctx, st, "a", data, store.IfAbsent()); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if got, err := store.Get(ctx, inner, "a", 1<<30); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
		if err := store.Put(ctx, st, "a", data, store.IfAbsent()); !errors.Is(err, errs.Exist) {
			t.Errorf("%d bytes, by somebody else: %v", size, err)
		}
		for u := range inner.Uploads(ctx, "") {
			t.Errorf("an upload of %s is left", u.Name)
		}
	}
}

// hidden is a reader that doesn't say what it reads.
type hidden struct{ store.Store }

func (s hidden) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	rd, err := s.Store.Open(ctx, name, r)
	return struct{ io.ReadCloser }{rd}, err
}

func TestReadGoesOnInTheSameVersion(t *testing.T) {
	data := storetest.Pattern(1000, 1)
	breaks := fault.Rule{Op: around.Read, Nth: 2}
	read := func(inner store.Store, r store.Range, between func()) ([]byte, error) {
		t.Helper()
		rd, err := retry.New(inner, quick()).Open(t.Context(), "a", r)
		if err != nil {
			t.Fatal(err)
		}
		defer rd.Close()
		head := make([]byte, 100)
		if _, err := io.ReadFull(rd, head); err != nil {
			t.Fatal(err)
		}
		between()
		rest, err := io.ReadAll(rd)
		return append(head, rest...), err
	}
	fresh := func() *mem.Store {
		st := mem.New()
		if err := store.Put(t.Context(), st, "a", data); err != nil {
			t.Fatal(err)
		}
		return st
	}
	nothing := func() {}

	for _, r := range []store.Range{{}, {Offset: 7}, {Offset: 7, Length: 100}, {Offset: 7, Length: 500}} {
		got, err := read(fault.New(fresh(), 1, breaks), r, nothing)
		if begin, end := r.Bounds(1000); err != nil || !bytes.Equal(got, data[begin:end]) {
			t.Errorf("range %+v: %d bytes, %v", r, len(got), err)
		}
	}
	st := fresh()
	_, err := read(fault.New(st, 1, breaks), store.Range{}, func() {
		if err := store.Put(t.Context(), st, "a", data); err != nil {
			t.Fatal(err)
		}
	})
	if !errors.Is(err, errs.Unavailable) {
		t.Errorf("replaced while read: %v", err)
	}
	if _, err := read(hidden{fault.New(fresh(), 1, breaks)}, store.Range{}, nothing); !errors.Is(err, errs.Unavailable) {
		t.Errorf("a reader that doesn't say its version went on: %v", err)
	}
	_, err = read(fault.New(fresh(), 1, fault.Rule{Op: around.Read, Nth: 2, Err: errs.Corrupt}), store.Range{}, nothing)
	if !errors.Is(err, errs.Corrupt) {
		t.Errorf("what no repetition heals: %v", err)
	}
}

func TestListGoesOn(t *testing.T) {
	inner := mem.New()
	want := []string{"a", "b", "c", "d", "e"}
	for _, name := range want {
		if err := store.Put(t.Context(), inner, store.Name(name), nil); err != nil {
			t.Fatal(err)
		}
	}
	st := retry.New(fault.New(inner, 1, fault.Rule{Op: around.Next, Chance: 0.4}), quick())
	seq := st.List(t.Context(), "")
	for range 3 { // the same sequence can be walked again
		var got []string
		for info, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(info.Name))
		}
		if !slices.Equal(got, want) {
			t.Errorf("listed %q", got)
		}
	}
}

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		inner := fault.New(mem.New(), 1, fault.Rule{Op: around.Stat, Hit: func() { tries++ }})
		told := 0
		st := retry.New(inner, retry.Options{
			First: time.Second, Most: 4 * time.Second, GiveUp: time.Minute,
			Notify: func(op string, name store.Name, err error) {
				if told++; op != "stat" || name != "a" || !errors.Is(err, errs.Unavailable) {
					t.Errorf("told of %s %s: %v", op, name, err)
				}
			},
		})
		begin := time.Now()
		_, err := st.Stat(t.Context(), "a")
		took := time.Since(begin)
		if !errors.Is(err, errs.Unavailable) || took < 50*time.Second || took > 61*time.Second {
			t.Errorf("gave up after %v with %v", took, err)
		}
		if tries < 12 || tries > 40 || told != tries-1 {
			t.Errorf("%d tries, told of %d", tries, told)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin = time.Now()
		_, err = st.Stat(ctx, "a")
		if took := time.Since(begin); errs.KindOf(err) != errs.Canceled || took != 10*time.Second {
			t.Errorf("ctx ended after %v with %v", took, err)
		}
	})
}

func TestNoRepetitionForOtherKinds(t *testing.T) {
	for _, kind := range []errs.Kind{errs.NotFound, errs.Exist, errs.Permission, errs.Exhausted, errs.Corrupt} {
		tries := 0
		inner := fault.New(mem.New(), 1, fault.Rule{Err: kind, Hit: func() { tries++ }})
		st := retry.New(inner, quick())
		if _, err := st.Stat(t.Context(), "a"); errs.KindOf(err) != kind || tries != 1 {
			t.Errorf("%v: %d tries, %v", kind, tries, err)
		}
	}
}
