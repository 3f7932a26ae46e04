package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// segments are the options of a journal in segments.
func segments() journal.Options { return journal.Options{CheckpointEntries: -1, Segments: true} }

// segment returns the name of the one segment that there is.
func segment(t *testing.T, st store.Store) store.Name {
	t.Helper()
	var found []string
	for _, name := range objects(t, st) {
		if strings.HasPrefix(name, "segment/") {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		t.Fatalf("the segments are %v", found)
	}
	return store.Name("j/" + found[0])
}

func contents(t *testing.T, st store.Store, name store.Name) []byte {
	t.Helper()
	data, err := store.Get(t.Context(), st, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestSegments also shows that a checkpoint leaves the segment that follows it, and what nobody was led to goes.
func TestSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		first := lead(t, st, &values{}, segments())
		appendAll(t, first, "a", "b")
		if got := objects(t, st); len(got) != 3 || got[0] != "log/00000000000000000001" ||
			got[1] != "log/00000000000000000002" {
			t.Errorf("there is %v", got)
		}
		follower := &values{}
		f, err := journal.Follow(st, "j", follower, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		follow := func(want ...string) {
			t.Helper()
			if err := f.CatchUp(t.Context()); err != nil || !slices.Equal(follower.get(), want) {
				t.Errorf("the follower has %v (%v), not %v", follower.get(), err, want)
			}
		}
		follow("a", "b")
		second := lead(t, st, &values{}, segments())
		if err := first.Append(t.Context(), []byte("lost")); !errors.Is(err, errs.Fenced) {
			t.Errorf("the first leader goes on: %v", err)
		}
		appendAll(t, second, "c")
		follow("a", "b", "c")
		appendAll(t, second, "d")
		stray := store.Name(fmt.Sprintf("j/segment/%020d-%032x", 3, 7))
		if err := store.Put(t.Context(), st, stray, nil); err != nil {
			t.Fatal(err)
		}
		checkpoint(t, second)
		synctest.Wait()
		appendAll(t, second, "e")
		if got := objects(t, st); len(got) != 3 || !strings.HasPrefix(got[0], "checkpoint/") ||
			got[1] != "log/00000000000000000001" || got[2] != strings.TrimPrefix(string(segment(t, st)), "j/") {
			t.Errorf("after the checkpoint there is %v", got)
		}
		follow("a", "b", "c", "d", "e") // what was between it reads from the checkpoint
		want(t, st, "a", "b", "c", "d", "e")
	})
}

// TestSegmentsAfterObjects leads a journal of objects on in segments, and then over a store that keeps none.
func TestSegmentsAfterObjects(t *testing.T) {
	st := mem.New()
	appendAll(t, lead(t, st, &values{}, journal.Options{}), "a")
	appendAll(t, lead(t, st, &values{}, segments()), "b")
	appendAll(t, lead(t, st, &values{}, journal.Options{}), "c") // where the log is, whatever it would like
	want(t, st, "a", "b", "c")
	other := fault.New(st, 1)
	want(t, other, "a", "b", "c")
	_, err := journal.Lead(t.Context(), other, "j", &values{}, segments())
	if !errors.Is(err, errs.Unsupported) {
		t.Errorf("over a store without logs: %v", err)
	}
	fresh := fault.New(mem.New(), 1)
	appendAll(t, lead(t, fresh, &values{}, segments()), "a")
	if got := objects(t, fresh); len(got) != 2 {
		t.Errorf("a store without logs holds %v", got)
	}
}

// inSegment makes a store whose journal is a seal, a roll, and a segment of these bytes.
func inSegment(t *testing.T, like store.Store, data []byte) store.Store {
	t.Helper()
	st := mem.New()
	for _, name := range []store.Name{"j/log/00000000000000000001", "j/log/00000000000000000002"} {
		if err := store.Put(t.Context(), st, name, contents(t, like, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Put(t.Context(), st, segment(t, like), data); err != nil {
		t.Fatal(err)
	}
	return st
}

// ofTwo returns a journal of the records a and b, its segment, and where the second entry begins there.
func ofTwo(t *testing.T) (st store.Store, data []byte, second int) {
	st = mem.New()
	appendAll(t, lead(t, st, &values{}, segments()), "a", "b")
	data = contents(t, st, segment(t, st))
	return st, data, bytes.LastIndex(data, data[:16])
}

// TestOldSegmentsGo makes checkpoints of a journal whose name looks like the end of a segment's.
func TestOldSegmentsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		l, err := journal.Lead(t.Context(), st, "j/k-00", &values{}, segments())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for range 3 {
			appendAll(t, l, "a")
			checkpoint(t, l)
		}
		if got := objects(t, st); len(got) != 3 {
			t.Errorf("there is %v", got)
		}
	})
}

// TestTornEntries lets leaders die in the midst of an append, at each byte of it, and the next one go on. What both
// began lies before what the third writes.
func TestTornEntries(t *testing.T) {
	like, data, second := ofTwo(t)
	for n := range len(data) - second {
		torn := data[:second+n]
		st := inSegment(t, like, torn)
		want(t, st, "a")
		appendAll(t, lead(t, st, &values{}, segments()), "c")
		want(t, st, "a", "c")
		for m := range len(data) - second {
			st := inSegment(t, like, slices.Concat(torn, data[second:second+m]))
			want(t, st, "a")
			if m < 16 { // within the mark: it may fill just what the first has left open
				appendAll(t, lead(t, st, &values{}, segments()), "c")
				want(t, st, "a", "c")
			}
		}
		want(t, inSegment(t, like, slices.Concat(torn, data[second:])), "a", "b")
	}
}

// endsAsMarksBegin reports whether one of two frames, or its head, has at its end the first byte of the mark, or would
// have it with a bit flipped: such damage looks like what two dead writers leave.
func endsAsMarksBegin(data []byte, second int) bool {
	const head = 24
	return slices.ContainsFunc([]int{head, second, second + head, len(data)}, func(end int) bool {
		return data[end-1]&^0x40 == data[0]&^0x40
	})
}

// TestDamageInSegmentsIsTold flips each byte of a segment: what was acknowledged is never taken for torn.
func TestDamageInSegmentsIsTold(t *testing.T) {
	like, data, second := ofTwo(t)
	for endsAsMarksBegin(data, second) {
		like, data, second = ofTwo(t)
	}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 0x40
		_, err := journal.Read(t.Context(), inSegment(t, like, bad), "j", &values{}, journal.Options{})
		if !errors.Is(err, errs.Corrupt) || !strings.Contains(err.Error(), "j/segment/") {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	gone := inSegment(t, like, nil)
	if err := gone.Delete(t.Context(), segment(t, like)); err != nil {
		t.Fatal(err)
	}
	_, err := journal.Read(t.Context(), gone, "j", &values{}, journal.Options{})
	if !errors.Is(err, errs.Corrupt) {
		t.Errorf("without its segment: %v", err)
	}
}

// TestSegmentThatCannotBeMade leaves the journal as it is.
func TestSegmentThatCannotBeMade(t *testing.T) {
	full := errs.E("disk", errs.Exhausted, nil, nil)
	var told error
	o := segments()
	o.OnError = func(err error) { told = err }
	st := mem.New()
	appendAll(t, lead(t, noRoom{st, full}, &values{}, o), "a")
	if want(t, st, "a"); !errors.Is(told, errs.Exhausted) {
		t.Errorf("told %v", told)
	}
	for _, name := range objects(t, st) {
		if !strings.HasPrefix(name, "log/") {
			t.Errorf("there is %s", name)
		}
	}
}

// noRoom is a store that keeps no more logs.
type noRoom struct {
	*mem.Store
	err error
}

// CreateLog implements store.Logs.
func (s noRoom) CreateLog(context.Context, store.Name) (store.Log, error) { return nil, s.err }

// FuzzSegment reads any bytes as a segment: they are taken as what they say, or refused.
func FuzzSegment(f *testing.F) {
	st := mem.New()
	o := segments()
	o.Rand = strings.NewReader(strings.Repeat("0123456789abcdef", 100))
	l, err := journal.Lead(f.Context(), st, "j", &values{}, o)
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	if err := l.Append(f.Context(), []byte("record"), nil); err != nil {
		f.Fatal(err)
	}
	name := store.Name(fmt.Sprintf("j/segment/%020d-%x", 2, "0123456789abcdef"))
	seed(f, st, name)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := store.Put(t.Context(), st, name, data); err != nil {
			t.Fatal(err)
		}
		_, err := journal.Read(t.Context(), st, "j", &anything{}, journal.Options{})
		if err != nil && !errors.Is(err, errs.Corrupt) && !errors.Is(err, errs.Unsupported) {
			t.Error(err)
		}
	})
}
