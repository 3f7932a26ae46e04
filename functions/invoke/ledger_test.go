package invoke

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/errs"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

func newLedger(t interface{ Fatal(...any) }) *Ledger {
	l := &Ledger{}
	if err := l.Restore(nil); err != nil {
		t.Fatal(err)
	}
	return l
}

func apply(t interface{ Fatal(...any) }, l *Ledger, records ...record) {
	for _, r := range records {
		if err := l.Apply(r.encode()); err != nil {
			t.Fatal(err)
		}
	}
}

func payload(text string) *Payload { return &Payload{Inline: []byte(text), Size: int64(len(text))} }

// show writes an invocation on a line.
func show(l *Ledger) string {
	var b strings.Builder
	for _, inv := range l.List("", "") {
		fmt.Fprintf(&b, "%s %s@%d %s", inv.ID, inv.Function, inv.Version, inv.State)
		if inv.Attempts > 0 {
			fmt.Fprintf(&b, " after %d", inv.Attempts)
		}
		if !inv.NotBefore.IsZero() {
			fmt.Fprintf(&b, " again at %d", int(inv.NotBefore.Sub(noon).Seconds()))
		}
		if inv.State == Succeeded {
			fmt.Fprintf(&b, " %s", inv.Result.Inline)
		}
		if inv.Error != "" {
			fmt.Fprintf(&b, " %q", inv.Error)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestTransitions holds what each record makes of each state.
func TestTransitions(t *testing.T) {
	l := newLedger(t)
	for _, step := range []struct {
		r    record
		want string
	}{
		{record{Op: opAccepted, ID: "a", At: at(0), Function: "wc", Version: 1, Key: "k", Event: payload("e")},
			"a wc@1 QUEUED\n"},
		{record{Op: opAccepted, ID: "a", At: at(1), Function: "other", Version: 2, Event: payload("f")}, "a wc@1 QUEUED\n"},
		{record{Op: opSucceeded, ID: "unknown", At: at(1), Result: payload("r")}, "a wc@1 QUEUED\n"},
		{record{Op: opRedriven, ID: "a", At: at(1), Version: 2}, "a wc@1 QUEUED\n"},
		{record{Op: opFailed, ID: "a", At: at(2), Again: at(3), Error: "no"}, "a wc@1 QUEUED after 1 again at 3 \"no\"\n"},
		{record{Op: opDead, ID: "a", At: at(4), Error: "never"}, "a wc@1 DEAD after 2 \"never\"\n"},
		{record{Op: opSucceeded, ID: "a", At: at(5), Result: payload("late")}, "a wc@1 DEAD after 2 \"never\"\n"},
		{record{Op: opRedriven, ID: "a", At: at(6), Version: 2}, "a wc@2 QUEUED \"never\"\n"},
		{record{Op: opSucceeded, ID: "a", At: at(7), Result: payload("first")}, "a wc@2 SUCCEEDED after 1 first\n"},
		{record{Op: opSucceeded, ID: "a", At: at(8), Result: payload("second")}, "a wc@2 SUCCEEDED after 1 first\n"},
		{record{Op: opFailed, ID: "a", At: at(9), Error: "no"}, "a wc@2 SUCCEEDED after 1 first\n"},
	} {
		apply(t, l, step.r)
		if got := show(l); got != step.want {
			t.Errorf("after %s: %swant %s", step.r.encode(), got, step.want)
		}
	}
	if inv, ok := l.ByKey("wc", "k"); !ok || inv.ID != "a" {
		t.Errorf("the key leads to %v, %v", inv.ID, ok)
	}
	if _, ok := l.ByKey("wc", ""); ok {
		t.Error("no key leads to an invocation")
	}
	apply(t, l, record{Op: opAccepted, ID: "b", At: at(7 + int(KeepFor.Seconds()) + 1), Function: "wc",
		Event: payload("e")})
	if got, want := show(l), "b wc@0 QUEUED\n"; got != want {
		t.Errorf("a day later there is %swant %s", got, want)
	}
	if _, ok := l.ByKey("wc", "k"); ok || len(l.takeDropped()) != 1 {
		t.Error("what is forgotten is known by its key")
	}
	for _, bad := range []string{"nonsense", `{"op":"accepted","id":"c"}`, `{"op":"succeeded","id":"b"}`,
		`{"op":"vanished","id":"b"}`} {
		if err := l.Apply([]byte(bad)); err == nil {
			t.Errorf("%s was understood", bad)
		}
	}
}

func TestAfter(t *testing.T) {
	r := pack.Retries{Attempts: 3, First: pack.Time(time.Second), Most: pack.Time(time.Minute)}
	broken, invalid := errors.New("broken"), errs.Errorf("", errs.Invalid, nil, "no such order")
	for _, c := range []struct {
		had  int
		o    outcome
		want record
	}{
		{0, outcome{result: *payload("r"), took: 5}, record{Op: opSucceeded, Result: payload("r"), Took: 5}},
		{0, outcome{err: broken}, record{Op: opFailed, Again: at(1), Error: "broken", Kind: "error"}},
		{1, outcome{err: broken}, record{Op: opFailed, Again: at(2), Error: "broken", Kind: "error"}},
		{2, outcome{err: broken}, record{Op: opDead, Error: "broken", Kind: "error"}},
		{0, outcome{err: invalid}, record{Op: opDead, Error: "no such order", Kind: "invalid"}},
	} {
		c.want.ID, c.want.At = "i", noon
		if diff := cmp.Diff(c.want, after(Invocation{ID: "i", Attempts: c.had}, c.o, r, noon)); diff != "" {
			t.Errorf("after %d attempts and %+v:\n%s", c.had, c.o, diff)
		}
	}
}

// TestAnyHistory: whatever records come, what has once succeeded keeps its first result, a key leads to one invocation,
// nothing that is queued or dead is lost, and a snapshot of any moment is as good as the log up to it.
func TestAnyHistory(t *testing.T) {
	ids := []ID{"a", "b", "c", "d"}
	rapid.Check(t, func(t *rapid.T) {
		l, results, accepted := newLedger(t), map[ID]string{}, map[ID]bool{}
		for n := range rapid.IntRange(1, 60).Draw(t, "records") {
			r := record{
				Op: rapid.SampledFrom([]op{opAccepted, opFailed, opSucceeded, opDead, opRedriven}).Draw(t, "op"),
				ID: rapid.SampledFrom(ids).Draw(t, "id"), At: at(n), Function: "wc", Version: n, Error: "e", Again: at(n + 1),
				Event: payload("e"), Result: payload(fmt.Sprint(n)),
			}
			r.Key = "key of " + string(r.ID)
			before, _ := l.Get(r.ID)
			apply(t, l, r)
			accepted[r.ID] = accepted[r.ID] || r.Op == opAccepted
			now, known := l.Get(r.ID)
			if known != accepted[r.ID] {
				t.Fatalf("%s is known: %v", r.ID, known)
			}
			if first, ok := results[r.ID]; ok && (now.State != Succeeded || string(now.Result.Inline) != first) {
				t.Fatalf("%s had the result %s, and is %+v", r.ID, first, now)
			}
			if now.State == Succeeded && before.State != Succeeded {
				results[r.ID] = string(now.Result.Inline)
			}
			if inv, ok := l.ByKey("wc", r.Key); ok != known || ok && inv.ID != r.ID {
				t.Fatalf("the key of %s leads to %+v", r.ID, inv)
			}
		}
		var b bytes.Buffer
		s, err := l.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		again := &Ledger{}
		if err := again.Restore(&b); err != nil {
			t.Fatal(err)
		}
		later := record{Op: opSucceeded, ID: "a", At: at(100), Result: payload("later")}
		apply(t, l, later)
		apply(t, again, later)
		if diff := cmp.Diff(l.List("", ""), again.List("", "")); diff != "" {
			t.Fatalf("the snapshot differs:\n%s", diff)
		}
		if l.bytes != again.bytes || !slices.Equal(l.ended, again.ended) || !slices.Equal(l.dead, again.dead) {
			t.Fatalf("the snapshot counts %d bytes, ended %v, dead %v; the log %d, %v, %v", again.bytes, again.ended, again.dead,
				l.bytes, l.ended, l.dead)
		}
	})
}

// TestTheLedgerIsBounded by number, bytes and age, but for what is queued.
func TestTheLedgerIsBounded(t *testing.T) {
	l := newLedger(t)
	add := func(id string, size int, op op) {
		apply(t, l, record{Op: opAccepted, ID: ID(id), At: noon, Function: "wc", Event: payload("")},
			record{Op: op, ID: ID(id), At: noon, Result: payload(strings.Repeat("x", size))})
	}
	for n := range KeepMost + 5 {
		add(fmt.Sprint("many", n), 1, opSucceeded)
	}
	if n := len(l.List("", Succeeded)); n != KeepMost {
		t.Errorf("%d are kept, want %d", n, KeepMost)
	}
	l.bytes = KeepBytes - 5 // as if they were longer; each takes one byte away when it goes
	add("long", 10, opSucceeded)
	if n := len(l.List("", Succeeded)); n != KeepMost-4 || l.bytes != KeepBytes {
		t.Errorf("%d are kept with %d bytes", n, l.bytes)
	}
	for n := range KeepDead + 5 {
		add(fmt.Sprint("dead", n), 0, opDead)
	}
	if n := len(l.List("", Dead)); n != KeepDead {
		t.Errorf("%d dead letters are kept, want %d", n, KeepDead)
	}
}

func TestStats(t *testing.T) {
	l := newLedger(t)
	for n := range 100 {
		id := ID(fmt.Sprint(n))
		apply(t, l, record{Op: opAccepted, ID: id, At: at(n), Function: "wc", Event: payload("")},
			record{Op: opSucceeded, ID: id, At: at(n), Took: time.Duration(100 - n), Result: payload("")})
	}
	apply(t, l, record{Op: opAccepted, ID: "q", At: at(200), Function: "wc", Event: payload("")},
		record{Op: opAccepted, ID: "o", At: at(200), Function: "other", Event: payload("")},
		record{Op: opAccepted, ID: "d", At: at(150), Function: "wc", Event: payload("")},
		record{Op: opDead, ID: "d", At: at(150)})
	want := Stats{Queued: 1, Succeeded: 100, Dead: 1, P50: 50, P95: 95, P99: 99, Last: at(200)}
	if diff := cmp.Diff(want, l.Stats("wc")); diff != "" {
		t.Error(diff)
	}
	if got := l.Stats("none"); got != (Stats{}) {
		t.Errorf("nothing has %+v", got)
	}
}
