package meter_test

import (
	"testing"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/infra/store/meter"
	"github.com/seed3322913c/runner/infra/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return meter.New(mem.New()) })
}

// Each is told what was done with its own context, and nobody what was done without one.
func TestCount(t *testing.T) {
	st := meter.New(mem.New())
	var mine, theirs meter.Count
	ctx := meter.With(t.Context(), &mine)
	if err := store.Put(ctx, st, "a", []byte("12345")); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), st, "b", []byte("123")); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(meter.With(t.Context(), &theirs), st, "a", 10); err != nil {
		t.Fatal(err)
	}
	for info, err := range st.List(ctx, "") {
		if err != nil || info.Size == 0 {
			t.Fatal(info, err)
		}
	}
	for _, c := range []struct {
		name                       string
		count                      *meter.Count
		asked, puts, read, written int64
	}{{"mine", &mine, 2, 2, 0, 5}, {"theirs", &theirs, 1, 0, 5, 0}} {
		a, p, r, w := c.count.Requests.Load(), c.count.Puts.Load(), c.count.Read.Load(), c.count.Written.Load()
		if a != c.asked || p != c.puts || r != c.read || w != c.written {
			t.Errorf("%s: %d requests, %d puts, %d read, %d written", c.name, a, p, r, w)
		}
	}
}
