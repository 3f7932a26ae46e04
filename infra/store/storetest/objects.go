package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

func testPutGet(t *testing.T, st store.Store) {
	put(t, st, "dir/one", "first")
	if got := get(t, st, "dir/one"); got != "first" {
		t.Errorf("got %q", got)
	}
	info, err := st.Stat(t.Context(), "dir/one")
	if err != nil || info.Name != "dir/one" || info.Size != 5 || info.Version == "" || info.Modified.IsZero() {
		t.Errorf("stat: %+v, %v", info, err)
	}
	if data, err := store.Get(t.Context(), st, "dir/one", 5); err != nil || string(data) != "first" {
		t.Errorf("get with a limit of 5: %q, %v", data, err)
	}
	if data, err := store.Get(t.Context(), st, "dir/one", math.MaxInt64); err != nil || string(data) != "first" {
		t.Errorf("get without a limit: %q, %v", data, err)
	}
	_, err = store.Get(t.Context(), st, "dir/one", 4)
	wantKind(t, err, errs.Exhausted)
}

func testInvisible(t *testing.T, st store.Store) {
	w := create(t, st, "a/b/new")
	wantAbsent(t, st, "a/b/new")
	write(t, w, []byte("half"))
	wantAbsent(t, st, "a/b/new")
	wantNames(t, st, "")
	write(t, w, []byte(" and half"))
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := get(t, st, "a/b/new"); got != "half and half" {
		t.Errorf("got %q", got)
	}
	wantNames(t, st, "", "a/b/new")
}

func testAbort(t *testing.T, st store.Store) {
	put(t, st, "keep", "old")
	for _, name := range []store.Name{"keep", "x/y/gone"} {
		w := create(t, st, name)
		write(t, w, []byte("new"))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for range 2 {
			if err := w.Abort(ended); err != nil {
				t.Errorf("abort %q: %v", name, err)
			}
		}
		if err := w.Commit(t.Context()); err == nil {
			t.Errorf("%q: commit after abort is said to have worked", name)
		}
	}
	wantNames(t, st, "", "keep")
	if got := get(t, st, "keep"); got != "old" {
		t.Errorf("an aborted overwrite left %q", got)
	}
}

func testCommitTwice(t *testing.T, st store.Store) {
	w := create(t, st, "a", store.IfAbsent())
	write(t, w, []byte("mine"))
	for range 2 {
		if err := w.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := get(t, st, "a"); got != "mine" {
		t.Errorf("after abort of what was committed: %q", got)
	}
	put(t, st, "a", "theirs")
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := get(t, st, "a"); got != "theirs" {
		t.Errorf("a second commit wrote again: %q", got)
	}
	if _, err := w.Write([]byte("late")); err == nil {
		if err := w.Commit(t.Context()); err == nil && get(t, st, "a") != "theirs" {
			t.Error("a committed writer wrote")
		}
	}
}

func testOverwrite(t *testing.T, st store.Store) {
	put(t, st, "a", "a long first version")
	w := create(t, st, "a")
	write(t, w, []byte("short"))
	if got := get(t, st, "a"); got != "a long first version" {
		t.Errorf("before commit: %q", got)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := get(t, st, "a"); got != "short" {
		t.Errorf("after commit: %q", got)
	}
	wantNames(t, st, "", "a")
}

// Readers see one of two versions, whole, while two writers take turns.
func testOverwriteAtomic(t *testing.T, st store.Store) {
	versions := [][]byte{bytes.Repeat([]byte("x"), 70_000), bytes.Repeat([]byte("y"), 150_000)}
	put(t, st, "a", string(versions[0]))
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for _, v := range versions {
		writers.Go(func() {
			for range 10 {
				if err := store.Put(t.Context(), st, "a", v); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				data, err := store.Get(t.Context(), st, "a", 1<<20)
				if errors.Is(err, errs.Unavailable) {
					continue // it was replaced between two requests of one read: the contract allows to say so
				}
				if err != nil || !bytes.Equal(data, versions[0]) && !bytes.Equal(data, versions[1]) {
					t.Errorf("a reader saw %d bytes, %v", len(data), err)
					return
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

func testReaderOneVersion(t *testing.T, st store.Store) {
	old := Pattern(200_000, 1)
	put(t, st, "a", string(old))
	rd, err := st.Open(t.Context(), "a", store.Range{})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	got := make([]byte, 1000)
	if _, err := io.ReadFull(rd, got); err != nil {
		t.Fatal(err)
	}
	put(t, st, "a", string(Pattern(200_000, 2)))
	rest, err := io.ReadAll(rd)
	if err != nil {
		wantKind(t, err, errs.Unavailable, errs.NotFound)
		return
	}
	wantBytes(t, "a reader whose object was replaced", append(got, rest...), old)
}

func testIfAbsent(t *testing.T, st store.Store) {
	put(t, st, "a", "first", store.IfAbsent())
	wantKind(t, store.Put(t.Context(), st, "a", []byte("second"), store.IfAbsent()), errs.Exist)
	if got := get(t, st, "a"); got != "first" {
		t.Errorf("got %q", got)
	}
	w := create(t, st, "b", store.IfAbsent())
	write(t, w, []byte("late"))
	put(t, st, "b", "early")
	wantKind(t, w.Commit(t.Context()), errs.Exist)
	if got := get(t, st, "b"); got != "early" {
		t.Errorf("got %q", got)
	}
	if err := st.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	put(t, st, "a", "third", store.IfAbsent())
}

// Of many who create the same name exactly one wins, and its bytes are what is there.
func testIfAbsentRace(t *testing.T, st store.Store) {
	const rounds, racers = 8, 12
	for round := range rounds {
		name := store.Name(fmt.Sprintf("log/%d", round))
		results := make([]error, racers)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range racers {
			wg.Go(func() {
				<-start
				results[i] = store.Put(t.Context(), st, name, fmt.Appendf(nil, "racer %d", i), store.IfAbsent())
			})
		}
		close(start)
		wg.Wait()
		var winner string
		for i, err := range results {
			switch {
			case err == nil && winner == "":
				winner = fmt.Sprintf("racer %d", i)
			case err == nil:
				t.Fatalf("%s: %s and racer %d won", name, winner, i)
			default:
				wantKind(t, err, errs.Exist)
			}
		}
		if got := get(t, st, name); got != winner {
			t.Fatalf("%s holds %q, but %q won", name, got, winner)
		}
	}
}

func testRanges(t *testing.T, st store.Store) {
	const size = 1000
	data := Pattern(size, 3)
	put(t, st, "a", string(data))
	for _, r := range []store.Range{
		{}, {Offset: 0, Length: 1}, {Offset: 0, Length: size}, {Offset: 0, Length: size + 1},
		{Offset: 1}, {Offset: 17, Length: 100}, {Offset: 999}, {Offset: 999, Length: 1}, {Offset: 999, Length: 50},
		{Offset: 1000}, {Offset: 1000, Length: 1}, {Offset: 5000}, {Offset: 5000, Length: 7},
		{Offset: 10, Length: math.MaxInt64}, {Offset: math.MaxInt64}, {Offset: math.MaxInt64, Length: math.MaxInt64},
	} {
		begin, end := r.Bounds(size)
		wantBytes(t, fmt.Sprintf("range %+v", r), []byte(read(t, st, "a", r)), data[begin:end])
	}
	for _, r := range []store.Range{{Offset: -1}, {Length: -1}} {
		wantKind(t, openErr(t.Context(), st, "a", r), errs.Invalid)
	}
}

func testReaderInfo(t *testing.T, st store.Store) {
	put(t, st, "a", "0123456789")
	want, err := st.Stat(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []store.Range{{}, {Offset: 3, Length: 2}, {Offset: 10}, {Offset: 11, Length: 4}} {
		rd, err := st.Open(t.Context(), "a", r)
		if err != nil {
			t.Fatal(err)
		}
		d, ok := rd.(store.Reader)
		if !ok {
			t.Fatalf("%T is no store.Reader", rd)
		}
		got, err := d.Info()
		if err != nil || got.Name != "a" || got.Size != want.Size || got.Version != want.Version {
			t.Errorf("range %+v: info %+v, %v; stat says %+v", r, got, err, want)
		}
		if err := rd.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testVersion(t *testing.T, st store.Store) {
	seen := map[string]bool{}
	for i := range 5 {
		put(t, st, "a", fmt.Sprintf("version %d", i))
		info, err := st.Stat(t.Context(), "a")
		if err != nil || seen[info.Version] {
			t.Errorf("version %q, %v; before: %v", info.Version, err, seen)
		}
		seen[info.Version] = true
		for listed, err := range st.List(t.Context(), "a") {
			if err != nil || listed.Version != info.Version || listed.Size != info.Size {
				t.Errorf("listed as %+v, %v; stat says %+v", listed, err, info)
			}
		}
	}
}

func testEmpty(t *testing.T, st store.Store) {
	put(t, st, "none", "")
	if got := get(t, st, "none"); got != "" {
		t.Errorf("got %q", got)
	}
	if got := read(t, st, "none", store.Range{Offset: 0, Length: 10}); got != "" {
		t.Errorf("got %q", got)
	}
	if info, err := st.Stat(t.Context(), "none"); err != nil || info.Size != 0 {
		t.Errorf("%+v, %v", info, err)
	}
	w := create(t, st, "never/written")
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantNames(t, st, "", "never/written", "none")
}

func testLarge(t *testing.T, st store.Store) {
	data := Pattern(20<<20+12_345, 4)
	w := create(t, st, "large", store.IfAbsent())
	for rest, n := data, 1; len(rest) > 0; n = n*7 + 1 { // sizes from a byte to megabytes
		n = min(n%(3<<20)+1, len(rest))
		write(t, w, rest[:n])
		rest = rest[n:]
	}
	wantAbsent(t, st, "large")
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "large", []byte(get(t, st, "large")), data)
	r := store.Range{Offset: 5<<20 - 3, Length: 10 << 20}
	wantBytes(t, "middle of large", []byte(read(t, st, "large", r)), data[r.Offset:r.Offset+r.Length])
	wantKind(t, store.Put(t.Context(), st, "large", data, store.IfAbsent()), errs.Exist)
}

func testCanceled(t *testing.T, st store.Store) {
	put(t, st, "a", "there")
	w := create(t, st, "b")
	write(t, w, []byte("never"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := st.Create(ctx, "c")
	wantKind(t, err, errs.Canceled)
	wantKind(t, openErr(ctx, st, "a", store.Range{}), errs.Canceled)
	_, err = st.Stat(ctx, "a")
	wantKind(t, err, errs.Canceled)
	wantKind(t, st.Delete(ctx, "a"), errs.Canceled)
	wantKind(t, w.Commit(ctx), errs.Canceled)
	err = nil
	for _, e := range st.List(ctx, "") {
		err = e
	}
	wantKind(t, err, errs.Canceled)
	wantNames(t, st, "", "a")
}

// Many goroutines use one store, each with objects of its own.
func testParallel(t *testing.T, st store.Store) {
	const objects = 10
	name := func(g, i int) store.Name { return store.Name(fmt.Sprintf("p/%d/%d", i, g)) }
	parallel := func(do func(g, i int)) {
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range objects {
					do(g, i)
				}
			})
		}
		wg.Wait()
	}
	parallel(func(g, i int) {
		want := Pattern(1000+i, byte(g))
		if err := store.Put(t.Context(), st, name(g, i), want); err != nil {
			t.Error(err)
		}
		if got, err := store.Get(t.Context(), st, name(g, i), 1<<20); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name(g, i), len(got), err)
		}
	})
	parallel(func(g, i int) {
		if err := st.Delete(t.Context(), name(g, i)); err != nil {
			t.Error(err)
		}
	})
	wantNames(t, st, "")
}
