package group_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/collect"
	"github.com/seed3322913c/runner/mapreduce/group"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/mapreduce/segment/segmenttest"
)

// pair is a record of the job.
type pair struct{ key, value string }

// product is a fold that is not one of the well-known ones.
type product struct{}

func (product) FoldInt64(a, b int64) int64 { return a * b }

func folderOf(kind functions.FoldKind) functions.Int64Folder {
	if kind == functions.FoldOther {
		return product{}
	}
	return functions.NewInt64Fold(kind).(functions.Int64Folder)
}

// foldCase is an order in which different keys are equal.
func foldCase(a, b []byte) int { return bytes.Compare(bytes.ToLower(a), bytes.ToLower(b)) }

// byLength is a user's partitioner.
func byLength(parts int) func(key []byte) int {
	return func(key []byte) int { return len(key) % parts }
}

// small is a budget of n bytes in slabs so small that it is used up bit by bit.
func small(n int64) *arena.Budget { return arena.New(arena.Options{Slab: 4 << 10}).Budget(n) }

// maker makes one of the collectors.
type maker func(o collect.Options) (collect.Collector, error)

// mapper collects the records of one map into a directory of its own, and checks that nothing is left behind.
func mapper(t testing.TB, dir string, newCollector maker, o collect.Options,
	emit func(c collect.Collector) error) (segment.Index, collect.Stats) {
	t.Helper()
	defer o.Budget.Close()
	o.Dir, o.Scratch = filepath.Join(dir, "out"), filepath.Join(dir, "scratch")
	for _, d := range []string{o.Dir, o.Scratch} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	c, err := newCollector(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	if err := emit(c); err != nil {
		t.Fatal(err)
	}
	x, err := c.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	noneLeft(t, o.Scratch)
	if o.Budget.Left() != o.Budget.Limit() {
		t.Fatalf("%d bytes are still held", o.Budget.Limit()-o.Budget.Left())
	}
	return x, c.Stats()
}

func noneLeft(t testing.TB, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Fatalf("files left behind: %v, %v", left, err)
	}
}

// fetch opens partitions lo to hi-1 of all maps.
func fetch(t testing.TB, dirs []string, lo, hi int) (in []*segment.Range) {
	t.Helper()
	for _, dir := range dirs {
		r, err := segment.Open(filepath.Join(dir, "out"), lo, hi)
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, r)
	}
	return in
}

func closeAll(t testing.TB, in []*segment.Range) {
	t.Helper()
	for _, r := range in {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// output is an Emitter that keeps what it gets.
type output []pair

func (o *output) Emit(key, value []byte) error {
	*o = append(*o, pair{string(key), string(value)})
	return nil
}

// TestFoldPipeline folds any records over several maps and reducers, with any memory, and compares with a Go map.
func TestFoldPipeline(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fold := folderOf(functions.FoldKind(rapid.IntRange(0, 3).Draw(rt, "fold")))
		parts := rapid.SampledFrom([]int{1, 2, 7, 64}).Draw(rt, "partitions")
		var partition func(key []byte) int
		if rapid.Bool().Draw(rt, "user's partitioner") {
			partition = byLength(parts)
		}
		kind := rapid.SampledFrom([]functions.ValueKind{functions.ValueInt64, functions.ValueText}).Draw(rt, "kind")
		codec := rapid.SampledFrom([]record.Codec{record.None, record.S2}).Draw(rt, "codec")
		want := map[string]int64{}
		var dirs []string
		emitted, collected := int64(0), int64(0)
		for range rapid.IntRange(1, 4).Draw(rt, "maps") {
			dir := t.TempDir()
			dirs = append(dirs, dir)
			keys := segmenttest.Keys(500).Draw(rt, "keys")
			repeat := rapid.SampledFrom([]int{1, 1, 30}).Draw(rt, "repeat")
			memory := rapid.Int64Range(40<<10, 200<<10).Draw(rt, "memory of the map")
			o := collect.Options{Budget: small(memory), Partitions: parts, Codec: codec}
			x, stats := mapper(t, dir, func(o collect.Options) (collect.Collector, error) {
				return collect.NewFolder(fold, collect.FoldOptions{Options: o, Values: kind, Partition: partition})
			}, o, func(c collect.Collector) error {
				for i := range len(keys) * repeat {
					key, value := keys[i%len(keys)]+strings.Repeat("~", i/len(keys)), int64(i%7-2)
					emitted++
					if old, ok := want[key]; ok {
						want[key] = fold.FoldInt64(old, value)
					} else {
						want[key] = value
					}
					if err := emit(c, kind, i, key, value); err != nil {
						return err
					}
				}
				return nil
			})
			if stats.Records != int64(len(keys)*repeat) || stats.CombineIn != stats.Records || stats.CombineOut != x.Records() {
				t.Fatalf("stats %+v of %d records, %d in the segment", stats, len(keys)*repeat, x.Records())
			}
			collected += x.Records()
		}
		got, last, read := map[string]int64{}, "", int64(0)
		for lo := 0; lo < parts; {
			hi := rapid.IntRange(lo+1, parts).Draw(rt, "cut")
			in := fetch(t, dirs, lo, hi)
			scratch := t.TempDir()
			memory := rapid.Int64Range(24<<10, 200<<10).Draw(rt, "memory of the reducer")
			opts := group.Options{Scratch: scratch, Budget: small(memory), Values: kind}
			g, err := group.NewFold(t.Context(), in, fold, opts)
			if err != nil {
				t.Fatal(err)
			}
			each := func(key string, value int64) error {
				if _, twice := got[key]; twice || key <= last && g.Stats().Groups > 1 {
					return fmt.Errorf("key %q after %q", key, last)
				}
				got[key], last = value, key
				return nil
			}
			if rapid.Bool().Draw(rt, "reduce") {
				r := reduce(func(key []byte, values functions.Values) error { return one(kind, key, values, each) })
				err = g.Reduce(t.Context(), r, nil)
			} else {
				err = g.Each(t.Context(), func(key []byte, value int64) error { return each(string(key), value) })
			}
			if err != nil {
				t.Fatal(err)
			}
			read += g.Stats().Records
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			closeAll(t, in)
			noneLeft(t, scratch)
			if opts.Budget.Left() != opts.Budget.Limit() {
				t.Fatal("memory is still held")
			}
			lo = hi
		}
		if !maps.Equal(got, want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
		if read != collected {
			t.Fatalf("%d records out of maps, %d into reducers", collected, read)
		}
	})
}

// emit puts out a number in each way there is.
func emit(c collect.Collector, kind functions.ValueKind, i int, key string, value int64) error {
	b := append([]byte(key), "slack behind it.."...)
	k := b[:len(key)]
	if i%2 == 0 {
		k = b[:len(key):len(key)]
	}
	defer func() { // what was emitted is the caller's again
		for i := range b {
			b[i] = '!'
		}
	}()
	if i%3 > 0 {
		return functions.EmitInt64(c, k, value)
	}
	if kind == functions.ValueText {
		return c.Emit(k, strconv.AppendInt(nil, value, 10))
	}
	return c.Emit(k, binary.AppendVarint(nil, value))
}

// reduce is a Reducer.
type reduce func(key []byte, values functions.Values) error

func (r reduce) Reduce(key []byte, values functions.Values, _ functions.Emitter) error {
	return r(key, values)
}

// one checks that there is one value, the same in both forms.
func one(kind functions.ValueKind, key []byte, values functions.Values, each func(string, int64) error) error {
	if !values.Next() {
		return errors.New("no value")
	}
	n, text := values.(functions.Int64Values).Int64(), string(values.Value())
	want := fmt.Sprint(n)
	if kind == functions.ValueInt64 {
		want = string(binary.AppendVarint(nil, n))
	}
	if text != want {
		return fmt.Errorf("%v %q is %d", kind, text, n)
	}
	if values.Next() {
		return errors.New("two values")
	}
	return each(string(key), n)
}

// TestFoldSpills has far more keys than the memory holds, on both sides, in one partition and in many.
func TestFoldSpills(t *testing.T) {
	const n = 60_000
	fold := folderOf(functions.FoldSum)
	for _, parts := range []int{1, 16} {
		dir, scratch := t.TempDir(), t.TempDir()
		_, stats := mapper(t, dir, func(o collect.Options) (collect.Collector, error) {
			return collect.NewFolder(fold, collect.FoldOptions{Options: o, Values: functions.ValueInt64})
		}, collect.Options{Budget: small(256 << 10), Partitions: parts}, func(c collect.Collector) error {
			for round := range 3 {
				for i := range n {
					key := fmt.Appendf(nil, "key %d %s", i, strings.Repeat("k", i%50))
					if err := functions.EmitInt64(c, key, int64(round)); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if stats.Spills < 10 || stats.Spilled <= 3*n {
			t.Errorf("%d partitions: the map did not spill: %+v", parts, stats)
		}
		in := fetch(t, []string{dir, dir}, 0, parts)
		g, err := group.NewFold(t.Context(), in, fold, group.Options{Scratch: scratch, Budget: small(256 << 10)})
		if err != nil {
			t.Fatal(err)
		}
		last := ""
		if err := g.Each(t.Context(), func(key []byte, value int64) error {
			if string(key) <= last || value != 6 {
				return fmt.Errorf("%q after %q is %d", key, last, value)
			}
			last = string(key)
			return nil
		}); err != nil {
			t.Error(err)
		}
		if s := g.Stats(); s.Groups != n || s.Records != 6*n || s.Spilled < n {
			t.Errorf("%d partitions: stats %+v", parts, s)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		closeAll(t, in)
		noneLeft(t, scratch)
	}
}

func TestWrongInput(t *testing.T) {
	dir := t.TempDir()
	mapper(t, dir, func(o collect.Options) (collect.Collector, error) {
		return collect.NewSorter(collect.SortOptions{Options: o})
	}, collect.Options{Budget: small(64 << 10), Partitions: 2}, func(c collect.Collector) error { return nil })
	in := fetch(t, []string{dir, dir}, 0, 2)
	defer closeAll(t, in)
	opts := group.Options{Scratch: t.TempDir(), Budget: small(64 << 10)}
	if _, err := group.NewFold(t.Context(), in, product{}, opts); !errors.Is(err, errs.Invalid) {
		t.Errorf("sorted segments folded: %v", err)
	}
	none, err := group.NewFold(t.Context(), nil, product{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := none.Each(t.Context(), func([]byte, int64) error { return errors.New("a key") }); err != nil {
		t.Error(err)
	}
	if err := none.Close(); err != nil {
		t.Error(err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	folded := t.TempDir()
	mapper(t, folded, func(o collect.Options) (collect.Collector, error) {
		return collect.NewFolder(product{}, collect.FoldOptions{Options: o})
	}, collect.Options{Budget: small(64 << 10), Partitions: 2}, func(c collect.Collector) error { return nil })
	in = fetch(t, []string{folded}, 0, 2)
	defer closeAll(t, in)
	if _, err := group.NewFold(canceled, in, product{}, opts); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if _, err := group.NewMerge(t.Context(), in, group.MergeOptions{Options: opts}); !errors.Is(err, errs.Invalid) {
		t.Errorf("folded segments merged: %v", err)
	}
}
