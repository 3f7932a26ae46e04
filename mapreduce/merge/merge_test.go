package merge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/mapreduce/segment/segmenttest"
)

type pair struct{ key, value string }

// source holds pairs, sorted before, with an empty partition before and after them.
func source(t testing.TB, pairs []pair) Source {
	t.Helper()
	var b bytes.Buffer
	w := segment.NewWriter(&b, segment.Sorted, segment.WriterOptions{Block: 100})
	err := w.End()
	for _, p := range pairs {
		err = errors.Join(err, w.Record([]byte(p.key), []byte(p.value)))
	}
	err = errors.Join(err, w.End(), w.End())
	index, e := w.Finish()
	if err := errors.Join(err, e); err != nil {
		t.Fatal(err)
	}
	return Source{Range: segment.NewRange(bytes.NewReader(b.Bytes()), index, nil), Part: 1}
}

func budget(n int64) *arena.Budget { return arena.New(arena.Options{}).Budget(n) }

// foldCase is an order in which different keys are equal.
func foldCase(a, b []byte) int { return bytes.Compare(bytes.ToLower(a), bytes.ToLower(b)) }

// TestMerge merges any sources, in any number of passes: what comes out is what a stable sort of all of them would
// give.
func TestMerge(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		compare := rapid.SampledFrom([]func(a, b []byte) int{nil, foldCase}).Draw(rt, "compare")
		order := compare
		if order == nil {
			order = bytes.Compare
		}
		less := func(a, b pair) int { return order([]byte(a.key), []byte(b.key)) }
		var sources []Source
		var want []pair
		for s := range rapid.IntRange(0, 12).Draw(rt, "sources") {
			var pairs []pair
			for i, key := range segmenttest.Keys(60).Draw(rt, "keys") {
				pairs = append(pairs, pair{key, fmt.Sprintf("%d.%d", s, i)})
			}
			slices.SortStableFunc(pairs, less)
			sources = append(sources, source(t, pairs))
			want = append(want, pairs...)
		}
		slices.SortStableFunc(want, less)
		fanIn := rapid.SampledFrom([]int{0, 1, 3, 20}).Draw(rt, "fan in")
		opts := Options{Compare: compare, Scratch: dir, Budget: budget(0), FanIn: fanIn}
		m, err := Open(t.Context(), sources, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		var got []pair
		for r := m.Record(); r != nil; r = m.Record() {
			got = append(got, pair{string(r.Key), string(r.Value)})
			if err := m.Next(); err != nil {
				t.Fatal(err)
			}
		}
		if m.Spilled() > 0 && len(sources) <= opts.fanIn(sources) {
			t.Fatal("a pass that was not needed")
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %q\nwant %q", got, want)
		}
	})
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
}

func TestMergeStopsAtDamage(t *testing.T) {
	dir := t.TempDir()
	good := source(t, []pair{{"a", "1"}, {"c", "2"}})
	var b bytes.Buffer
	w := segment.NewWriter(&b, segment.Sorted, segment.WriterOptions{Block: 1})
	for _, key := range []string{"b", "d", "e"} {
		if err := w.Record([]byte(key), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	x, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	b.Bytes()[b.Len()-1] ^= 1
	bad := Source{Range: segment.NewRange(bytes.NewReader(b.Bytes()), x, nil)}
	for _, fanIn := range []int{2, 10} {
		m, err := Open(t.Context(), []Source{good, bad, good}, Options{Scratch: dir, Budget: budget(0), FanIn: fanIn})
		for err == nil {
			if m.Record() == nil {
				t.Fatal("damage was not noticed")
			}
			err = m.Next()
		}
		if !errors.Is(err, errs.Corrupt) {
			t.Errorf("fan in %d: %v", fanIn, err)
		}
	}
}

// list is an Iterator over memory.
type list []segment.Record

func (l *list) Record() *segment.Record {
	if len(*l) == 0 {
		return nil
	}
	return &(*l)[0]
}

func (l *list) Next() error { *l = (*l)[1:]; return nil }

func listOf(pairs ...pair) *list {
	var l list
	for _, p := range pairs {
		l = append(l, segment.Record{Key: []byte(p.key), Value: []byte(p.value)})
	}
	return &l
}

// reducer is a Reducer, and an Emitter of what it puts out.
type reducer func(key []byte, values functions.Values) error

func (r reducer) Reduce(key []byte, values functions.Values, _ functions.Emitter) error {
	return r(key, values)
}

func TestReduceGroups(t *testing.T) {
	input := []pair{{"A", "1"}, {"a", "2"}, {"a", "3"}, {"b", "4"}, {"b", "5"}, {"C", "6"}}
	for name, c := range map[string]struct {
		compare func(a, b []byte) int
		take    int // values that are read of each group
		want    string
	}{
		"equal keys":   {nil, 10, "A:1 a:23 b:45 C:6 "},
		"by case":      {foldCase, 10, "A:123 b:45 C:6 "},
		"first values": {foldCase, 1, "A:1 b:4 C:6 "},
		"none read":    {nil, 0, "A: a: b: C: "},
	} {
		t.Run(name, func(t *testing.T) {
			var got []byte
			r := reducer(func(key []byte, values functions.Values) error {
				if cap(key)-len(key) < segment.Slack {
					t.Error("key without slack")
				}
				if _, ok := values.(functions.Int64Values); ok {
					t.Error("bytes are not int64")
				}
				got = append(append(got, key...), ':')
				for range c.take {
					if !values.Next() {
						break
					}
					got = append(got, values.Value()...)
				}
				got = append(got, ' ')
				return nil
			})
			n, err := Reduce(t.Context(), listOf(input...), Grouping{Compare: c.compare}, r, nil)
			if err != nil || string(got) != c.want || n.Count != int64(bytes.Count(got, []byte(" "))) {
				t.Errorf("got %q, %v, %v, want %q", got, n, err, c.want)
			}
		})
	}
}

func TestReduceNumbers(t *testing.T) {
	total := int64(0)
	sum := reducer(func(_ []byte, values functions.Values) error {
		ints := values.(functions.Int64Values)
		for ints.Next() {
			total += ints.Int64()
		}
		return nil
	})
	for _, c := range []struct {
		kind functions.ValueKind
		in   []pair
		want int64
		err  error
	}{
		{functions.ValueInt64, []pair{{"k", "\x02"}, {"k", "\x01"}, {"l", "\x80\x01"}}, 64, nil},
		{functions.ValueText, []pair{{"k", "-5"}, {"l", "47"}}, 42, nil},
		{functions.ValueInt64, []pair{{"k", "\x02x"}}, 0, errs.Invalid},
		{functions.ValueInt64, []pair{{"k", ""}}, 0, errs.Invalid},
		{functions.ValueText, []pair{{"k", "five"}, {"l", "1"}}, 0, errs.Invalid},
	} {
		total = 0
		_, err := Reduce(t.Context(), listOf(c.in...), Grouping{Values: c.kind}, sum, nil)
		if !errors.Is(err, c.err) || total != c.want {
			t.Errorf("%v %q: total %d, %v", c.kind, c.in, total, err)
		}
	}
}

func TestReduceEnds(t *testing.T) {
	mine := errors.New("mine")
	fails := reducer(func(key []byte, _ functions.Values) error {
		if string(key) == "b" {
			return mine
		}
		return nil
	})
	three := listOf(pair{"a", ""}, pair{"b", ""}, pair{"c", ""})
	if n, err := Reduce(t.Context(), three, Grouping{}, fails, nil); err != mine || n.Count != 1 {
		t.Errorf("%d groups, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	endless := make(list, 3*checkEvery)
	for i := range endless {
		endless[i].Key = []byte("same")
	}
	all := endless
	r := reducer(func(_ []byte, values functions.Values) error {
		cancel()
		for values.Next() {
		}
		return nil
	})
	if _, err := Reduce(ctx, &all, Grouping{}, r, nil); !errors.Is(err, context.Canceled) || len(all) == 0 {
		t.Errorf("after a cancel: %v, %d records left", err, len(all))
	}
}

func BenchmarkMerge(b *testing.B) {
	const n, each = 16, 50_000
	dir := b.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	var sources []Source
	for range n {
		keys := make([]string, each)
		for i := range keys {
			keys[i] = fmt.Sprintf("%x word", random.Uint64()>>random.IntN(60))
		}
		slices.Sort(keys)
		r, err := segment.Spill(dir, segment.Sorted, segment.WriterOptions{}, func(w *segment.Writer) error {
			for _, key := range keys {
				if err := w.Record([]byte(key), []byte("1")); err != nil {
					return err
				}
			}
			return w.End()
		})
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		sources = append(sources, Source{Range: r})
	}
	for b.Loop() {
		m, err := Open(b.Context(), sources, Options{Scratch: dir, FanIn: n})
		if err != nil {
			b.Fatal(err)
		}
		for m.Record() != nil {
			if err := m.Next(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n*each), "ns/record")
}
