package mapreduce

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
)

// TestSecondarySort counts what each user did: one group each, whose first key is that of the order asked for.
func TestSecondarySort(t *testing.T) {
	var text strings.Builder
	const users, times = 40, 60
	for n := range users * times {
		n = n * 7 % (users * times)
		fmt.Fprintf(&text, "user%d:%d\n", n%users, n/users)
	}
	dir := fill(t, map[string]string{"a": text.String(), "b": "alone\nalone\n"})
	for seed := range uint64(16) {
		random := rand.New(rand.NewPCG(seed, 0))
		o := builtins("sort", "", "count")
		o.Combiner = functions.Ref{}
		o.Key = functions.KeyOrder{Group: 1, Separator: ":", Numeric: random.IntN(2) == 0, Reverse: random.IntN(2) == 0}
		o.Partitioner = pick(random, HashPartitioner, TotalOrderPartitioner)
		o.Reducers, o.SplitSize = ExactReducers(1+random.IntN(6)), 5000
		first := "0"
		switch {
		case o.Key.Reverse && o.Key.Numeric:
			first = "59"
		case o.Key.Reverse:
			first = "9"
		}
		want := map[string]int{"alone\t2": 1}
		for u := range users {
			want[fmt.Sprintf("user%d:%s\t%d", u, first, times)] = 1
		}
		c := newCluster(t, BodyOptions{})
		c.memory = pick(random, int64(8<<20), 64<<20)
		parts := c.mustRun(newJob(t, o, t.TempDir()+"/out", dir))
		if d := cmp.Diff(want, merged(t, parts)); d != "" {
			t.Errorf("seed %d: %+v: %.1000s", seed, o, d)
		}
		lines := strings.SplitAfter(strings.Join(parts, ""), "\n")
		if o.Partitioner == TotalOrderPartitioner && !slices.IsSorted(lines[:users]) {
			t.Errorf("seed %d: parts are not in order", seed)
		}
	}
}

// TestNumericSort sorts all keys as numbers, across parts.
func TestNumericSort(t *testing.T) {
	var text strings.Builder
	const n = 3000
	for i := range n {
		fmt.Fprintln(&text, i*7%n)
	}
	dir := fill(t, map[string]string{"a": text.String()})
	for _, reverse := range []bool{false, true} {
		c := newCluster(t, BodyOptions{})
		o := Options{Mapper: functions.Ref{Builtin: "sort"}, Reducer: functions.Ref{Builtin: "sort"}}
		o.Key, o.Partitioner = functions.KeyOrder{Numeric: true, Reverse: reverse}, TotalOrderPartitioner
		o.Reducers, o.SplitSize = ExactReducers(3), 2000
		got := strings.Fields(strings.Join(c.mustRun(newJob(t, o, t.TempDir()+"/out", dir)), ""))
		for i, line := range got {
			want := i
			if reverse {
				want = n - 1 - i
			}
			if line != fmt.Sprint(want) || len(got) != n {
				t.Fatalf("reverse %v: line %d of %d is %s", reverse, i, len(got), line)
			}
		}
	}
}

// TestOrderedSum: where keys have an order of their own, values that could be folded are sorted, and come out right.
func TestOrderedSum(t *testing.T) {
	dir := fill(t, map[string]string{"a": strings.Repeat("9 10 x\n", 500)})
	c := newCluster(t, BodyOptions{})
	o := builtins("wordcount", "sum", "sum")
	o.Key, o.Reducers = functions.KeyOrder{Numeric: true}, ExactReducers(1)
	if got := strings.Join(c.mustRun(newJob(t, o, t.TempDir()+"/out", dir)), ""); got != "x\t500\n9\t500\n10\t500\n" {
		t.Errorf("%q", got)
	}
}
