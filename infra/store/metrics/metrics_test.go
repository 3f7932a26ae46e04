package metrics_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/infra/store/metrics"
	"github.com/seed3322913c/runner/infra/store/storetest"
)

func TestStore(t *testing.T) {
	reg := prometheus.NewRegistry() // one for many stores
	storetest.Run(t, func(t *testing.T) store.Store {
		st, err := metrics.New(mem.New(), reg)
		if err != nil {
			t.Fatal(err)
		}
		return st
	})
}

func TestCounts(t *testing.T) {
	reg := prometheus.NewRegistry()
	inner := fault.New(mem.New(), 1, fault.Rule{Op: around.Read, Nth: 3}, fault.Rule{Op: around.Commit, Nth: 2})
	st, err := metrics.New(inner, reg)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := store.Put(ctx, st, "a", []byte("12345")); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(ctx, st, "b", []byte("678")); !errors.Is(err, errs.Unavailable) {
		t.Fatal(err)
	}
	for range 2 { // the second one fails at its first Read
		if _, err := store.Get(ctx, st, "a", 10); err != nil && !errors.Is(err, errs.Unavailable) {
			t.Fatal(err)
		}
	}
	if _, err := st.Stat(ctx, "none"); !errors.Is(err, errs.NotFound) {
		t.Fatal(err)
	}
	want := `
# HELP store_bytes_total Bytes read from and written to the object store.
# TYPE store_bytes_total counter
store_bytes_total{direction="read"} 5
store_bytes_total{direction="written"} 8
# HELP store_calls_total Calls to the object store, by operation and result.
# TYPE store_calls_total counter
store_calls_total{op="abort",result="ok"} 2
store_calls_total{op="abort-upload",result="ok"} 0
store_calls_total{op="begin-upload",result="ok"} 0
store_calls_total{op="commit",result="ok"} 1
store_calls_total{op="commit",result="unavailable"} 1
store_calls_total{op="complete-upload",result="ok"} 0
store_calls_total{op="create",result="ok"} 2
store_calls_total{op="delete",result="ok"} 0
store_calls_total{op="list",result="ok"} 0
store_calls_total{op="open",result="ok"} 2
store_calls_total{op="read",result="unavailable"} 1
store_calls_total{op="stat",result="not found"} 1
store_calls_total{op="stat",result="ok"} 0
store_calls_total{op="upload-part",result="ok"} 0
store_calls_total{op="uploads",result="ok"} 0
`
	err = testutil.GatherAndCompare(reg, strings.NewReader(want), "store_calls_total", "store_bytes_total")
	if err != nil {
		t.Error(err)
	}
}

func TestNamesInUse(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "store_bytes_total", Help: "another"}))
	if _, err := metrics.New(mem.New(), reg); err == nil {
		t.Error("another metric of the same name was no error")
	}
}

func BenchmarkStat(b *testing.B) {
	inner := mem.New()
	if err := store.Put(b.Context(), inner, "a", nil); err != nil {
		b.Fatal(err)
	}
	counted, err := metrics.New(inner, prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	for name, st := range map[string]store.Store{"bare": inner, "counted": counted} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := st.Stat(b.Context(), "a"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
