// Package storetest is the conformance suite of the store contract: every driver and every wrapper passes it.
//
//	func TestMem(t *testing.T) {
//		storetest.Run(t, func(*testing.T) store.Store { return mem.New() })
//	}
//
// The suite asks what the contract promises and no more. Where drivers may differ (an object "a/b" beside an object
// "a") it asks that they refuse in the promised way.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Run tests the stores that open makes. Each subtest opens one of its own, empty and not shared with anybody; open
// cleans up through t. Stores that take uploads or keep logs are tested for that too.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Store)
	}{
		{"PutGet", testPutGet},
		{"InvisibleBeforeCommit", testInvisible},
		{"Abort", testAbort},
		{"CommitTwice", testCommitTwice},
		{"Overwrite", testOverwrite},
		{"OverwriteIsAtomic", testOverwriteAtomic},
		{"OpenReaderSeesOneVersion", testReaderOneVersion},
		{"IfAbsent", testIfAbsent},
		{"IfAbsentRace", testIfAbsentRace},
		{"Ranges", testRanges},
		{"ReaderInfo", testReaderInfo},
		{"Version", testVersion},
		{"Absent", testAbsent},
		{"Delete", testDelete},
		{"ListOrder", testListOrder},
		{"ListPrefix", testListPrefix},
		{"ListStops", testListStops},
		{"ListWhileDeleting", testListWhileDeleting},
		{"OddNames", testOddNames},
		{"BadNames", testBadNames},
		{"NameBelowObject", testNameBelowObject},
		{"ReuseOfFolders", testReuseOfFolders},
		{"Empty", testEmpty},
		{"Large", testLarge},
		{"Canceled", testCanceled},
		{"Parallel", testParallel},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
	t.Run("Multipart", func(t *testing.T) { runMultipart(t, open) })
	t.Run("Logs", func(t *testing.T) { runLogs(t, open) })
}

// put commits an object and fails the test if it can't.
func put(t *testing.T, st store.Store, name store.Name, data string, opts ...store.CreateOption) {
	t.Helper()
	if err := store.Put(t.Context(), st, name, []byte(data), opts...); err != nil {
		t.Fatalf("put %q: %v", name, err)
	}
}

// get returns an object's bytes.
func get(t *testing.T, st store.Store, name store.Name) string {
	t.Helper()
	return read(t, st, name, store.Range{})
}

func read(t *testing.T, st store.Store, name store.Name, r store.Range) string {
	t.Helper()
	rd, err := st.Open(t.Context(), name, r)
	if err != nil {
		t.Fatalf("open %q: %v", name, err)
	}
	data, err := io.ReadAll(rd)
	if err := errors.Join(err, rd.Close()); err != nil {
		t.Fatalf("read %q: %v", name, err)
	}
	return string(data)
}

// create starts an object; it is aborted at the end of the test, which is harmless after a commit.
func create(t *testing.T, st store.Store, name store.Name, opts ...store.CreateOption) store.Writer {
	t.Helper()
	w, err := st.Create(t.Context(), name, opts...)
	if err != nil {
		t.Fatalf("create %q: %v", name, err)
	}
	t.Cleanup(func() {
		if err := w.Abort(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("abort %q: %v", name, err)
		}
	})
	return w
}

func write(t *testing.T, w io.Writer, data []byte) {
	t.Helper()
	if n, err := w.Write(data); err != nil || n != len(data) {
		t.Fatalf("write %d bytes: %d, %v", len(data), n, err)
	}
}

// names lists a prefix.
func names(t *testing.T, st store.Store, prefix string) []string {
	t.Helper()
	var got []string
	for info, err := range st.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("list %q: %v", prefix, err)
		}
		got = append(got, string(info.Name))
	}
	return got
}

// wantNames checks a listing.
func wantNames(t *testing.T, st store.Store, prefix string, want ...string) {
	t.Helper()
	if got := names(t, st, prefix); !slices.Equal(got, want) {
		t.Errorf("list %q:\n got %q\nwant %q", prefix, got, want)
	}
}

// wantKind checks what sort of error an operation ended with.
func wantKind(t *testing.T, err error, want ...errs.Kind) {
	t.Helper()
	if err == nil || !slices.Contains(want, errs.KindOf(err)) {
		t.Errorf("got error %v (kind %v), want kind %v", err, errs.KindOf(err), want)
	}
}

// wantAbsent checks that nothing of an object can be seen.
func wantAbsent(t *testing.T, st store.Store, name store.Name) {
	t.Helper()
	_, err := st.Stat(t.Context(), name)
	wantKind(t, err, errs.NotFound)
	wantKind(t, openErr(t.Context(), st, name, store.Range{}), errs.NotFound)
	if slices.Contains(names(t, st, string(name)), string(name)) {
		t.Errorf("%q is listed", name)
	}
}

// openErr returns the error with which Open or reading ends, if one does.
func openErr(ctx context.Context, st store.Store, name store.Name, r store.Range) error {
	rd, err := st.Open(ctx, name, r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, rd)
	return errors.Join(err, rd.Close())
}

// Pattern fills n bytes so that every place and every seed looks different; it is here for drivers' own tests, too.
func Pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

func wantBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	t.Errorf("%s: %d bytes, want %d; they differ at %d", what, len(got), len(want), at)
}
