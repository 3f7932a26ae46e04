package group_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/collect"
	"github.com/seed3322913c/runner/mapreduce/group"
	"github.com/seed3322913c/runner/mapreduce/segment/segmenttest"
)

// concat is a combiner and a reducer that joins the values of a key.
type concat struct{}

func (concat) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	var all []byte
	for values.Next() {
		all = append(all, values.Value()...)
	}
	return out.Emit(key, all)
}

// late is concat in the background: it puts out each group when the next one comes, as one in another process may.
type late struct {
	concat
	kept *pair
}

func (l *late) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	if err := l.Flush(out); err != nil {
		return err
	}
	var o output
	if err := l.concat.Reduce(key, values, &o); err != nil {
		return err
	}
	l.kept = &o[0]
	return nil
}

func (l *late) Flush(out functions.Emitter) error {
	p := l.kept
	l.kept = nil
	if p == nil {
		return nil
	}
	return out.Emit([]byte(p.key), []byte(p.value))
}

// TestSortPipeline sorts any records over several maps and reducers, with any memory, combiner and order, and compares
// with a stable sort of everything.
func TestSortPipeline(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		compare := rapid.SampledFrom([]func(a, b []byte) int{nil, foldCase}).Draw(rt, "compare")
		parts := rapid.SampledFrom([]int{1, 2, 7}).Draw(rt, "partitions")
		partition := func(key, _ []byte) int { return byLength(parts)(key) }
		if compare == nil && rapid.Bool().Draw(rt, "by hash") {
			partition = nil
		}
		combiners := []functions.Reducer{nil, concat{}, &late{}}
		combiner := combiners[rapid.IntRange(0, len(combiners)-1).Draw(rt, "combiner")]
		var all []pair
		var dirs []string
		for m := range rapid.IntRange(1, 4).Draw(rt, "maps") {
			dir := t.TempDir()
			dirs = append(dirs, dir)
			keys := segmenttest.Keys(400).Draw(rt, "keys")
			repeat := rapid.SampledFrom([]int{1, 1, 10}).Draw(rt, "repeat")
			o := collect.Options{Budget: small(rapid.Int64Range(60<<10, 300<<10).Draw(rt, "memory")), Partitions: parts}
			mapper(t, dir, func(o collect.Options) (collect.Collector, error) {
				return collect.NewSorter(collect.SortOptions{
					Options: o, Compare: compare, Partition: partition, Combiner: combiner})
			}, o, func(c collect.Collector) error {
				for i := range len(keys) * repeat {
					p := pair{keys[i%len(keys)], fmt.Sprintf("%d.%d ", m, i)}
					all = append(all, p)
					if err := c.Emit([]byte(p.key), []byte(p.value)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		order := compare
		if order == nil {
			order = bytes.Compare
		}
		slices.SortStableFunc(all, func(a, b pair) int { return order([]byte(a.key), []byte(b.key)) })
		var want, got output
		for i, p := range all {
			if i > 0 && order([]byte(p.key), []byte(all[i-1].key)) == 0 {
				want[len(want)-1].value += p.value
			} else {
				want = append(want, p)
			}
		}
		fanIn := rapid.SampledFrom([]int{0, 2}).Draw(rt, "fan in")
		for lo := 0; lo < parts; {
			hi := rapid.IntRange(lo+1, parts).Draw(rt, "cut")
			in, scratch := fetch(t, dirs, lo, hi), t.TempDir()
			g, err := group.NewMerge(t.Context(), in, group.MergeOptions{
				Options: group.Options{Scratch: scratch, Budget: small(64 << 10)}, Compare: compare, FanIn: fanIn})
			if err != nil {
				t.Fatal(err)
			}
			var mine output
			if err := g.Reduce(t.Context(), concat{}, &mine); err != nil {
				t.Fatal(err)
			}
			if !slices.IsSortedFunc(mine, func(a, b pair) int { return order([]byte(a.key), []byte(b.key)) }) {
				t.Fatalf("not sorted: %q", mine)
			}
			records := int64(0)
			for _, r := range in {
				records += r.Index().Records()
			}
			if s := g.Stats(); s.Groups != int64(len(mine)) || s.Records != records {
				t.Fatalf("%d groups of %d records, stats %+v", len(mine), records, s)
			}
			got = append(got, mine...)
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			closeAll(t, in)
			noneLeft(t, scratch)
			lo = hi
		}
		if got, want := normal(got), normal(want); !slices.Equal(got, want) {
			t.Fatalf("got %q\nwant %q", got, want)
		}
	})
}

// normal sorts groups by key, whatever reducer they came from. Of keys that are equal in the job's order any one stands
// for all.
func normal(groups output) output {
	for i := range groups {
		groups[i].key = strings.ToLower(groups[i].key)
	}
	slices.SortFunc(groups, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.value, b.value))
	})
	return groups
}

// TestSecondarySort groups by the first byte of keys that are sorted as a whole.
func TestSecondarySort(t *testing.T) {
	dir := t.TempDir()
	mapper(t, dir, func(o collect.Options) (collect.Collector, error) {
		return collect.NewSorter(collect.SortOptions{Options: o})
	}, collect.Options{Budget: small(64 << 10), Partitions: 1}, func(c collect.Collector) error {
		for _, key := range []string{"b2", "a3", "a1", "b1", "a2"} {
			if err := c.Emit([]byte(key), []byte(key[1:])); err != nil {
				return err
			}
		}
		return nil
	})
	in := fetch(t, []string{dir}, 0, 1)
	defer closeAll(t, in)
	g, err := group.NewMerge(t.Context(), in, group.MergeOptions{
		Options: group.Options{Scratch: t.TempDir(), Budget: small(64 << 10)},
		Group:   func(a, b []byte) int { return cmp.Compare(a[0], b[0]) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var got output
	if err := g.Reduce(t.Context(), concat{}, &got); err != nil {
		t.Fatal(err)
	}
	if want := (output{{"a1", "123"}, {"b1", "12"}}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestOneKey gives a reducer more values of one key than memory would hold.
func TestOneKey(t *testing.T) {
	const n = 300_000
	dir := t.TempDir()
	_, stats := mapper(t, dir, func(o collect.Options) (collect.Collector, error) {
		return collect.NewSorter(collect.SortOptions{Options: o, Values: functions.ValueInt64})
	}, collect.Options{Budget: small(256 << 10), Partitions: 1}, func(c collect.Collector) error {
		for range n {
			if err := functions.EmitInt64(c, []byte("the key"), 1); err != nil {
				return err
			}
		}
		return nil
	})
	if stats.Spills < 10 {
		t.Errorf("the map did not spill: %+v", stats)
	}
	in := fetch(t, []string{dir}, 0, 1)
	defer closeAll(t, in)
	g, err := group.NewMerge(t.Context(), in, group.MergeOptions{
		Options: group.Options{Scratch: t.TempDir(), Budget: small(64 << 10), Values: functions.ValueInt64}})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	total := int64(0)
	r := reduce(func(_ []byte, values functions.Values) error {
		for v := values.(functions.Int64Values); v.Next(); {
			total += v.Int64()
		}
		return nil
	})
	if err := g.Reduce(t.Context(), r, nil); err != nil || total != n {
		t.Errorf("total %d, %v", total, err)
	}
}

// BenchmarkSort sorts records of 100 bytes with keys of 10, as sort benchmarks do: 4 maps, one reducer, one core. With
// little memory every record is written and read once more on the map side.
func BenchmarkSort(b *testing.B) {
	const maps, each = 4, 250_000
	records := make([]byte, each*100)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(records)
	for _, memory := range []int64{256 << 20, 8 << 20} {
		b.Run(fmt.Sprintf("memory=%dMiB", memory>>20), func(b *testing.B) {
			b.SetBytes(maps * each * 100)
			pool := arena.New(arena.Options{})
			for b.Loop() {
				var dirs []string
				for range maps {
					dir := b.TempDir()
					dirs = append(dirs, dir)
					mapper(b, dir, func(o collect.Options) (collect.Collector, error) {
						return collect.NewSorter(collect.SortOptions{Options: o})
					}, collect.Options{Budget: pool.Budget(memory), Partitions: 4}, func(c collect.Collector) error {
						for i := range each {
							if err := c.Emit(records[i*100:i*100+10], records[i*100+10:i*100+100]); err != nil {
								return err
							}
						}
						return nil
					})
				}
				in := fetch(b, dirs, 0, 4)
				budget := pool.Budget(memory)
				opts := group.MergeOptions{Options: group.Options{Scratch: b.TempDir(), Budget: budget}}
				g, err := group.NewMerge(b.Context(), in, opts)
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				r := reduce(func(_ []byte, values functions.Values) error {
					for values.Next() {
						n += len(values.Value())
					}
					return nil
				})
				if err := g.Reduce(b.Context(), r, nil); err != nil || n != maps*each*90 {
					b.Fatal(n, err)
				}
				g.Close()
				closeAll(b, in)
				budget.Close()
			}
		})
	}
}
