package ledger

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
)

func open(t *testing.T, st store.Store) *Ledger {
	t.Helper()
	l, err := Open(t.Context(), st, "jobs/x/guagua", journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func checkpoint(i int, epoch uint64) Checkpoint {
	return Checkpoint{
		At: superstep.Point{Iteration: i, Epoch: epoch}, Result: []byte(fmt.Sprintf("result %d of %d", i, epoch)),
		State: []byte{byte(i), 0, 1}, Lines: []Line{{i, []byte(fmt.Sprintf(`{"iteration":%d}`, i))}},
	}
}

func TestASuccessorFindsTheNewest(t *testing.T) {
	st := mem.New()
	first := open(t, st)
	if n := first.Newest(); n != (superstep.Ledger{}) {
		t.Errorf("a new ledger has %v", n)
	}
	for i := 1; i <= 5; i++ {
		if err := first.Save(t.Context(), checkpoint(i, first.Epoch())); err != nil {
			t.Fatal(err)
		}
	}
	second := open(t, st)
	want := checkpoint(5, first.Epoch())
	want.Lines = nil
	got, err := second.Load(t.Context())
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	if second.Epoch() <= first.Epoch() || len(second.Lines()) != 5 {
		t.Errorf("epoch %d after %d, %d lines", second.Epoch(), first.Epoch(), len(second.Lines()))
	}
	kept := 0
	for _, err := range st.List(t.Context(), "jobs/x/guagua/checkpoint/") {
		if err != nil {
			t.Fatal(err)
		}
		kept++
	}
	if kept != 2 {
		t.Errorf("%d checkpoints are kept, want the last two", kept)
	}
}

func TestAFencedCheckpointNeverCounts(t *testing.T) {
	st := mem.New()
	old := open(t, st)
	next := open(t, st)
	if err := next.Save(t.Context(), checkpoint(3, next.Epoch())); err != nil {
		t.Fatal(err)
	}
	late := checkpoint(9, old.Epoch())
	late.Final = true
	if err := old.Save(t.Context(), late); !errors.Is(err, errs.Fenced) {
		t.Fatalf("the old master's checkpoint: %v", err)
	}
	last := open(t, st)
	at, lines := last.Newest(), last.Lines()
	if at.At != (superstep.Point{Iteration: 3, Epoch: next.Epoch()}) || at.Final || len(lines) != 1 {
		t.Errorf("%+v %v", at, lines)
	}
}

// TestLinesAreReplaced: a successor goes on from an earlier iteration than the one before had lines for.
func TestLinesAreReplaced(t *testing.T) {
	s := &state{}
	for _, c := range []Checkpoint{
		{At: superstep.Point{Iteration: 2, Epoch: 1}, Lines: []Line{{1, []byte(`"a"`)}, {2, []byte(`"b"`)}}},
		{At: superstep.Point{Iteration: 4, Epoch: 1}, Lines: []Line{{3, []byte(`"c"`)}, {4, []byte(`"d"`)}}},
		{At: superstep.Point{Iteration: 4, Epoch: 2}, Lines: []Line{{3, []byte(`"e"`)}, {4, []byte(`"f"`)}}},
	} {
		records, err := encode(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if err := s.Apply(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	var text []string
	for _, l := range s.Lines {
		text = append(text, string(l.Text))
	}
	if got := strings.Join(text, ""); got != `"a""b""e""f"` {
		t.Error(got)
	}
}

func TestLongLinesTravelInPieces(t *testing.T) {
	c := checkpoint(1, 1)
	for i := range 40 {
		c.Lines = append(c.Lines, Line{2 + i, []byte(`"` + strings.Repeat("x", 1<<18) + `"`)})
	}
	records, err := encode(c)
	if err != nil || len(records) < 9 {
		t.Fatal(len(records), err)
	}
	s := &state{}
	for i, r := range records {
		if len(r) > journal.MaxAppend/2 {
			t.Errorf("record of %d bytes", len(r))
		}
		if err := s.Apply(r); err != nil {
			t.Fatal(err)
		}
		if counts := s.At == c.At; counts != (i == len(records)-1) {
			t.Errorf("the checkpoint counts with record %d of %d", i, len(records))
		}
	}
	if len(s.Lines) != 41 {
		t.Errorf("%d lines", len(s.Lines))
	}
}

func TestDamagedCheckpoints(t *testing.T) {
	st := mem.New()
	l := open(t, st)
	if err := l.Save(t.Context(), checkpoint(1, l.Epoch())); err != nil {
		t.Fatal(err)
	}
	name := l.name(l.Newest().At)
	good, err := store.Get(t.Context(), st, name, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 4
		if _, _, err := decode(bad); err == nil {
			t.Errorf("byte %d was changed, and nobody noticed", i)
		}
		if _, _, err := decode(good[:i]); err == nil {
			t.Errorf("cut after %d bytes, and nobody noticed", i)
		}
	}
	if err := st.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Load(t.Context()); !errors.Is(err, errs.NotFound) {
		t.Error(err)
	}
}

// FuzzCheckpoint: whatever a store returns, reading it ends with an answer.
func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte("GGCK\x01\x00\x00\x00"))
	f.Add(make([]byte, 40))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, s, err := decode(data); err == nil && len(r)+len(s)+headLen+4 != len(data) {
			t.Errorf("%d and %d bytes out of %d", len(r), len(s), len(data))
		}
	})
}
