package group_test

import (
	"bytes"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/record"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/collect"
	"github.com/seed3322913c/runner/mapreduce/group"
)

// TestLongKeys has keys that are longer than a block of a segment can be, which differ at their end only.
func TestLongKeys(t *testing.T) {
	long := bytes.Repeat([]byte("x"), record.MaxBlock+1000)
	longer := append(bytes.Clone(long), 'y')
	keys := [][]byte{longer, []byte("short"), long, longer, {}}
	want := []struct {
		key   []byte
		value int64
	}{{nil, 1}, {[]byte("short"), 1}, {long, 1}, {longer, 2}}
	sum := functions.NewInt64Fold(functions.FoldSum)
	emit := func(c collect.Collector) error {
		for _, key := range keys {
			if err := functions.EmitInt64(c, key, 1); err != nil {
				return err
			}
		}
		return nil
	}
	budget := func() *arena.Budget { return arena.New(arena.Options{}).Budget(400 << 20) }
	for name, make := range map[string]maker{
		"folded": func(o collect.Options) (collect.Collector, error) {
			return collect.NewFolder(sum.(functions.Int64Folder), collect.FoldOptions{Options: o})
		},
		"sorted": func(o collect.Options) (collect.Collector, error) {
			return collect.NewSorter(collect.SortOptions{Options: o, Values: functions.ValueInt64})
		},
	} {
		dir := t.TempDir()
		mapper(t, dir, make, collect.Options{Budget: budget(), Partitions: 1}, emit)
		in := fetch(t, []string{dir}, 0, 1)
		opts := group.Options{Scratch: t.TempDir(), Budget: budget(), Values: functions.ValueInt64}
		var g group.Groups
		var err error
		if name == "folded" {
			g, err = group.NewFold(t.Context(), in, sum.(functions.Int64Folder), opts)
		} else {
			g, err = group.NewMerge(t.Context(), in, group.MergeOptions{Options: opts})
		}
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		r := reduce(func(key []byte, values functions.Values) error {
			total := int64(0)
			for v := values.(functions.Int64Values); v.Next(); {
				total += v.Int64()
			}
			if n >= len(want) || !bytes.Equal(key, want[n].key) || total != want[n].value {
				t.Errorf("%s: key %d has %d bytes, its sum is %d", name, n, len(key), total)
			}
			n++
			return nil
		})
		if err := g.Reduce(t.Context(), r, nil); err != nil || n != len(want) {
			t.Errorf("%s: %d keys, %v", name, n, err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		closeAll(t, in)
	}
}
