package invoke_test

import (
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// TestLogsOutliveTheirHost: what was said about an invocation is in the store when its host has gone, and as long as the
// invocation is known.
func TestLogsOutliveTheirHost(t *testing.T) {
	m := newMachines(t, "")
	inv := m.want(`{"Exit":true}`, invoke.Dead, "its handler exited with status 3, after it said: also heard out of here")
	stray := invoke.LogObject("forgotten")
	if err := store.Put(t.Context(), m.st, stray, []byte("long ago")); err != nil {
		t.Fatal(err)
	}
	m.close() // which waits for what is being copied
	text, err := store.Get(t.Context(), m.st, invoke.LogObject(inv.ID), 1<<20)
	if err != nil || strings.Count(string(text), "out of here") != 3 {
		t.Errorf("kept is %q, %v", text, err)
	}
	m.open()
	if _, err := m.st.Stat(t.Context(), invoke.LogObject(inv.ID)); err != nil {
		t.Errorf("the log of what is known: %v", err)
	}
	if _, err := m.st.Stat(t.Context(), stray); errs.KindOf(err) != errs.NotFound {
		t.Errorf("the log of what nobody knows: %v", err)
	}
}

// TestShortLogsAreInTheJournal: a log of a line or two is stored with the result, and has no object of its own.
func TestShortLogsAreInTheJournal(t *testing.T) {
	m := newMachines(t, "")
	short := m.want(`{"Log":3}`, invoke.Succeeded, `"!"`)
	long := m.want(`{"Log":1024}`, invoke.Succeeded, `"!"`)
	m.close() // which waits for what is being copied
	m.open()
	inv, _ := m.host.Ledger().Get(short.ID)
	if string(inv.Log) != "attempt 1 for \"\"\nxxx\n" {
		t.Errorf("the journal has %q", inv.Log)
	}
	if _, err := m.st.Stat(t.Context(), invoke.LogObject(short.ID)); errs.KindOf(err) != errs.NotFound {
		t.Errorf("it is in an object, too: %v", err)
	}
	text, err := store.Get(t.Context(), m.st, invoke.LogObject(long.ID), 1<<20)
	if inv, _ := m.host.Ledger().Get(long.ID); err != nil || len(text) < 1<<10 || inv.Log != nil {
		t.Errorf("of the long one, %d bytes are in an object, %v, and %d in the journal", len(text), err, len(inv.Log))
	}
}
