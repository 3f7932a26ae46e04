package functionstest

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed3322913c/runner/functions"
)

// CheckCombiner reports where a function's combiner does not keep its promise on the samples: that the order in which
// values are folded, and what is folded first, makes no difference. Floats may differ by rounding.
func CheckCombiner[V any](t testing.TB, f functions.Function, samples ...V) {
	t.Helper()
	raw := f.Raw()
	if raw.Combiner == nil {
		t.Fatal("the function has no combiner")
	}
	m := &machine{t: t, raw: raw, counters: Counters{}}
	fold := func(a, b V) V {
		t.Helper()
		return folded(m, a, b)
	}
	for _, a := range samples {
		for _, b := range samples {
			ab := fold(a, b)
			if ba := fold(b, a); !cmp.Equal(ab, ba, closely()...) {
				t.Errorf("the combiner is not commutative: of %v and %v it makes %v, of %v and %v %v", a, b, ab, b, a, ba)
			}
			for _, c := range samples {
				left, right := fold(ab, c), fold(a, fold(b, c))
				if !cmp.Equal(left, right, closely()...) {
					t.Errorf("the combiner is not associative on %v, %v, %v: folding the first two first makes %v, the last two %v",
						a, b, c, left, right)
				}
			}
		}
	}
}

// folded has the combiner fold two values.
func folded[V any](m *machine, a, b V) (none V) {
	m.t.Helper()
	const key = "key"
	g := encoded(m.t, Group[string, V]{key, []V{a, b}})
	out, err := m.reduceAll(m.raw.Combiner, []group{g}, functions.ValueCodec[V]().Kind == functions.ValueInt64)
	if err != nil {
		m.t.Fatalf("combine: %v", err)
	}
	if len(out.records) != 1 || string(out.records[0].key) != key {
		m.t.Fatalf("of two values the combiner makes %d records, want one of the same key", len(out.records))
	}
	return decode(m.t, functions.ValueCodec[V](), out.records[0].value)
}

// closely compares as people mean it: sums of floats depend on their order a little.
func closely() cmp.Options {
	const fraction = 1e-9
	everything := func(reflect.Type) bool { return true }
	return cmp.Options{cmpopts.EquateApprox(fraction, 0), cmpopts.EquateNaNs(), cmp.Exporter(everything)}
}
