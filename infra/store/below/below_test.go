package below

import (
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/infra/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		st, err := New(mem.New(), "some/folder")
		if err != nil {
			t.Fatal(err)
		}
		return st
	})
}

// TestNeighboursAreNotSeen has objects beside the folder, and ones whose names begin alike.
func TestNeighboursAreNotSeen(t *testing.T) {
	all := mem.New()
	st, err := New(all, "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []store.Name{"ab", "b/a/x", "a/x"} {
		if err := store.Put(t.Context(), all, name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for info, err := range st.List(t.Context(), "") {
		if err != nil || info.Name != "x" {
			t.Error(info, err)
		}
		n++
	}
	if n != 1 {
		t.Error(n, "objects")
	}
	if _, err := New(all, "a//b"); errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
}
