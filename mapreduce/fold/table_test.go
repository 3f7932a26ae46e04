package fold

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/segment/segmenttest"
)

// product is a fold that is not one of the well-known ones.
type product struct{}

func (product) FoldInt64(a, b int64) int64 { return a * b }

func folder(kind functions.FoldKind) functions.Int64Folder {
	if kind == functions.FoldOther {
		return product{}
	}
	return functions.NewInt64Fold(kind).(functions.Int64Folder)
}

func TestFold(t *testing.T) {
	for kind, want := range map[functions.FoldKind]int64{
		functions.FoldSum: 1, functions.FoldMin: -2, functions.FoldMax: 3, functions.FoldOther: -6,
	} {
		f := Of(folder(kind))
		if got := f.Fold(-2, 3); got != want {
			t.Errorf("%v of -2 and 3 is %d, want %d", kind, got, want)
		}
		if f.IsSum() != (kind == functions.FoldSum) {
			t.Errorf("%v: IsSum is %v", kind, f.IsSum())
		}
	}
}

// TestTable fills tables as their users do: what does not fit is taken out and folded elsewhere.
func TestTable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := Of(folder(functions.FoldKind(rapid.IntRange(0, 3).Draw(rt, "fold"))))
		limit := rapid.Int64Range(minSlots*int64(slotSize), 60_000).Draw(rt, "limit")
		b := arena.New(arena.Options{}).Budget(1 << 20)
		defer b.Close()
		table, err := NewTable(b, f, 0, limit)
		if err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		got, want := map[string]int64{}, map[string]int64{}
		fold := func(into map[string]int64) func(key []byte, value int64) error {
			return func(key []byte, value int64) error {
				if old, ok := into[string(key)]; ok {
					value = f.Fold(old, value)
				}
				into[string(key)] = value
				return nil
			}
		}
		for range rapid.IntRange(1, 3).Draw(rt, "rounds") {
			for i, key := range segmenttest.Keys(300).Draw(rt, "keys") {
				value := int64(i%5 - 1)
				if err := fold(want)([]byte(key), value); err != nil {
					t.Fatal(err)
				}
				err := table.Add([]byte(key), value)
				if errors.Is(err, errs.Exhausted) {
					if err = table.All(fold(got)); err == nil {
						table.Reset(i)
						err = fold(got)([]byte(key), value)
					}
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := table.All(fold(got)); err != nil {
				t.Fatal(err)
			}
			table.Reset(rapid.IntRange(0, 1000).Draw(rt, "guess"))
		}
		if !maps.Equal(got, want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
		if table.Len() != 0 {
			t.Fatalf("%d keys after Reset", table.Len())
		}
	})
}

func TestTableGrows(t *testing.T) {
	b := arena.New(arena.Options{}).Budget(64 << 20)
	defer b.Close()
	table, err := NewTable(b, Of(product{}), 0, b.Limit())
	if err != nil {
		t.Fatal(err)
	}
	const n = 100_000
	for round := range 2 {
		for i := range n {
			if err := table.Add(fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", i%20)), int64(round+1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if table.Len() != n {
		t.Fatalf("%d keys, want %d", table.Len(), n)
	}
	if err := table.All(func(key []byte, value int64) error {
		if value != 2 {
			return fmt.Errorf("%q is %d", key, value)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	if err := table.All(func([]byte, int64) error { return stop }); err != stop {
		t.Errorf("All goes on after an error: %v", err)
	}
	table.Close()
	if b.Left() != b.Limit() {
		t.Errorf("%d bytes are still held", b.Limit()-b.Left())
	}
	if _, err := NewTable(b, Of(product{}), 1000, 1000); !errors.Is(err, errs.Exhausted) {
		t.Errorf("a table beyond its limit: %v", err)
	}
}

func BenchmarkTable(b *testing.B) {
	budget := arena.New(arena.Options{}).Budget(64 << 20)
	defer budget.Close()
	const n = 10_000 // as many as fit L2
	table, err := NewTable(budget, Of(folder(functions.FoldSum)), n, budget.Limit())
	if err != nil {
		b.Fatal(err)
	}
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = append(fmt.Appendf(nil, "word%d%s", i*7919%n, strings.Repeat("y", i%12)), make([]byte, 16)...)
		keys[i] = keys[i][:len(keys[i])-16]
	}
	for b.Loop() {
		for _, key := range keys {
			if err := table.Add(key, 1); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
}
