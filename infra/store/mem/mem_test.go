package mem_test

import (
	"errors"
	"io"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/infra/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return mem.New() })
}

func TestCrash(t *testing.T) {
	ctx, st := t.Context(), mem.New()
	if err := store.Put(ctx, st, "old", []byte("committed")); err != nil {
		t.Fatal(err)
	}
	w, err := st.Create(ctx, "new")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("uncommitted")); err != nil {
		t.Fatal(err)
	}
	r, err := st.Open(ctx, "old", store.Range{})
	if err != nil {
		t.Fatal(err)
	}

	st.Crash()

	if _, err := w.Write([]byte("more")); !errors.Is(err, errs.Unavailable) {
		t.Errorf("write after a crash: %v", err)
	}
	if err := w.Commit(ctx); !errors.Is(err, errs.Unavailable) {
		t.Errorf("commit after a crash: %v", err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, errs.Unavailable) {
		t.Errorf("read after a crash: %v", err)
	}
	if _, err := st.Stat(ctx, "new"); !errors.Is(err, errs.NotFound) {
		t.Errorf("what was not committed: %v", err)
	}
	if data, err := store.Get(ctx, st, "old", 100); err != nil || string(data) != "committed" {
		t.Errorf("what was committed: %q, %v", data, err)
	}
}
