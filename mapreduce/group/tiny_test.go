package group_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/collect"
	"github.com/seed3322913c/runner/mapreduce/group"
)

// BenchmarkTiny is all of the data plane for a job of a kilobyte: one map, one reducer.
func BenchmarkTiny(b *testing.B) {
	sum := functions.NewInt64Fold(functions.FoldSum).(functions.Int64Folder)
	pool := arena.New(arena.Options{})
	root := b.TempDir()
	for n := 0; b.Loop(); n++ {
		dir := filepath.Join(root, fmt.Sprint(n))
		mapper(b, dir, func(o collect.Options) (collect.Collector, error) {
			return collect.NewFolder(sum, collect.FoldOptions{Options: o})
		}, collect.Options{Budget: pool.Budget(256 << 20), Partitions: 16}, func(c collect.Collector) error {
			for i := range 150 {
				if err := functions.EmitInt64(c, fmt.Appendf(nil, "word%d", i%50), 1); err != nil {
					return err
				}
			}
			return nil
		})
		in := fetch(b, []string{dir}, 0, 16)
		budget := pool.Budget(256 << 20)
		g, err := group.NewFold(b.Context(), in, sum, group.Options{Scratch: root, Budget: budget})
		if err != nil {
			b.Fatal(err)
		}
		keys := 0
		if err := g.Each(b.Context(), func([]byte, int64) error { keys++; return nil }); err != nil || keys != 50 {
			b.Fatal(keys, err)
		}
		g.Close()
		closeAll(b, in)
		budget.Close()
	}
}
