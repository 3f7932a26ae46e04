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
