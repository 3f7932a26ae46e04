package functions_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
)

func TestKeyOrder(t *testing.T) {
	for _, c := range []struct {
		order functions.KeyOrder
		want  string
	}{
		{functions.KeyOrder{Numeric: true}, "a 1 2 10"},
		{functions.KeyOrder{Numeric: true, Reverse: true}, "10 2 1 a"},
		{functions.KeyOrder{Reverse: true}, "b a"},
		{functions.KeyOrder{Group: 1, Separator: ",", Numeric: true}, "u,2 u,10 u,1e2 v,1"},
		{functions.KeyOrder{Group: 1, Separator: ",", Numeric: true, Reverse: true}, "u,10 u,2 v,1"},
		{functions.KeyOrder{Group: 2, Separator: ",", Reverse: true}, "a,b,z a,b,a a,c,a"},
	} {
		got := strings.Fields(c.want)
		slices.Reverse(got)
		slices.SortFunc(got, func(a, b string) int { return c.order.Compare()([]byte(a), []byte(b)) })
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %v, want %s", c.order, got, c.want)
		}
	}
	if err := (functions.KeyOrder{Group: -1}).Validate(); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a negative group: %v", err)
	}
}

// TestKeyOrderIsAnOrder: a comparison is transitive and total, keeps groups together, and puts them in byte order.
func TestKeyOrderIsAnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := functions.KeyOrder{
			Group:     rapid.IntRange(0, 2).Draw(t, "group"),
			Separator: rapid.SampledFrom([]string{"", ",", "::"}).Draw(t, "separator"),
			Numeric:   rapid.Bool().Draw(t, "numeric"), Reverse: rapid.Bool().Draw(t, "reverse"),
		}
		compare := o.Compare()
		if compare == nil {
			compare = bytes.Compare
		}
		key := rapid.Custom(func(t *rapid.T) []byte {
			return []byte(rapid.StringMatching(`[ab01.\-,:\t]{0,6}`).Draw(t, "key"))
		})
		keys := rapid.SliceOfN(key, 2, 20).Draw(t, "keys")
		slices.SortFunc(keys, compare)
		for i, a := range keys {
			for _, b := range keys[i:] {
				if compare(a, b) > 0 || compare(b, a) < 0 || compare(a, b) == 0 && !bytes.Equal(a, b) {
					t.Fatalf("%q and %q: %d, %d", a, b, compare(a, b), compare(b, a))
				}
				if o.Group > 0 && bytes.Compare(o.GroupOf(a), o.GroupOf(b)) > 0 {
					t.Fatalf("%q before %q, but groups the other way", a, b)
				}
			}
		}
	})
}
