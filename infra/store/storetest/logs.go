package storetest

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// runLogs tests the ability to keep logs, of stores that have it.
func runLogs(t *testing.T, open func(t *testing.T) store.Store) {
	if _, ok := store.LogsOf(open(t)); !ok {
		return
	}
	for name, test := range map[string]func(*testing.T, store.Store, store.Logs){
		"Append": testLogAppend, "Exist": testLogExist, "Deleted": testLogDeleted, "Race": testLogRace,
	} {
		t.Run(name, func(t *testing.T) {
			st := open(t)
			logs, ok := store.LogsOf(st)
			if !ok {
				t.Fatal("some of these stores keep logs, and this one does not")
			}
			test(t, st, logs)
		})
	}
}

// newLog makes a log, and another handle of it.
func newLog(t *testing.T, logs store.Logs, name store.Name) (one, other store.Log) {
	t.Helper()
	one, err := logs.CreateLog(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	other, err = logs.OpenLog(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(one.Close(), other.Close()); err != nil {
			t.Error(err)
		}
	})
	return one, other
}

func appendTo(t *testing.T, l store.Log, data string, want int64) {
	t.Helper()
	if at, err := l.Append([]byte(data)); err != nil || at != want {
		t.Errorf("appended %q at %d (%v), want %d", data, at, err, want)
	}
}

// testLogAppend appends by two handles: each learns where its bytes are, and who reads sees those there are.
func testLogAppend(t *testing.T, st store.Store, logs store.Logs) {
	one, other := newLog(t, logs, "a/log")
	if got := get(t, st, "a/log"); got != "" {
		t.Errorf("new, it holds %q", got)
	}
	appendTo(t, one, "one", 0)
	appendTo(t, other, "other", 3)
	rd, err := st.Open(t.Context(), "a/log", store.Range{Offset: 3})
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, one, "more", 8)
	if err := rd.Close(); err != nil {
		t.Error(err)
	}
	if got := read(t, st, "a/log", store.Range{Offset: 3}); got != "othermore" {
		t.Errorf("from 3 it holds %q", got)
	}
	if info, err := st.Stat(t.Context(), "a/log"); err != nil || info.Size != 12 {
		t.Errorf("%+v, %v", info, err)
	}
	if got := read(t, st, "a/log", store.Range{Offset: 12}); got != "" {
		t.Errorf("after its end it holds %q", got)
	}
}

func testLogExist(t *testing.T, st store.Store, logs store.Logs) {
	newLog(t, logs, "log")
	put(t, st, "object", "x")
	for _, name := range []store.Name{"log", "object"} {
		if _, err := logs.CreateLog(t.Context(), name); !errors.Is(err, errs.Exist) {
			t.Errorf("made %s again: %v", name, err)
		}
	}
	if _, err := logs.OpenLog(t.Context(), "absent"); !errors.Is(err, errs.NotFound) {
		t.Errorf("opened what is not there: %v", err)
	}
}

// testLogDeleted goes on with a log that was deleted, whose name is free again.
func testLogDeleted(t *testing.T, st store.Store, logs store.Logs) {
	one, other := newLog(t, logs, "log")
	appendTo(t, one, "before", 0)
	if err := st.Delete(t.Context(), "log"); err != nil {
		t.Fatal(err)
	}
	put(t, st, "log", "new")
	appendTo(t, other, "behind", 6)
	appendTo(t, one, "both", 12)
	if got := get(t, st, "log"); got != "new" {
		t.Errorf("the new object holds %q", got)
	}
}

// testLogRace appends by many at once: every piece is whole, and where its writer was told.
func testLogRace(t *testing.T, st store.Store, logs store.Logs) {
	const writers, pieces, size = 4, 30, 5000
	newLog(t, logs, "log")
	var mu sync.Mutex
	var places []int64
	written := map[int64]byte{}
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			l, err := logs.OpenLog(t.Context(), "log")
			if err != nil {
				t.Error(err)
				return
			}
			defer l.Close()
			for i := range pieces {
				letter := byte(w*pieces + i)
				at, err := l.Append(bytes.Repeat([]byte{letter}, size))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				places, written[at] = append(places, at), letter
				mu.Unlock()
			}
		})
	}
	all.Wait()
	data := []byte(get(t, st, "log"))
	slices.Sort(places)
	for i, at := range places {
		if at != int64(i*size) || !bytes.Equal(data[at:at+size], bytes.Repeat([]byte{written[at]}, size)) {
			t.Fatalf("piece %d, told to be at %d, is not there", i, at)
		}
	}
	if len(data) != writers*pieces*size {
		t.Errorf("%d bytes", len(data))
	}
}
