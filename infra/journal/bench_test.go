package journal_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// BenchmarkAppend appends records of 200 bytes from many goroutines: over files with all the syncs that durability
// takes, and over memory, which shows the journal's own cost.
func BenchmarkAppend(b *testing.B) {
	files, err := file.New(b.TempDir(), file.Options{})
	if err != nil {
		b.Fatal(err)
	}
	o := journal.Options{CheckpointEntries: -1}
	for name, st := range map[string]store.Store{"file": files, "segments": files, "mem": mem.New()} {
		o.Segments = name == "segments"
		for _, goroutines := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", name, goroutines), func(b *testing.B) {
				prefix := store.Name(fmt.Sprintf("%s%d", name, goroutines))
				l, err := journal.Lead(b.Context(), st, prefix, &anything{}, o)
				if err != nil {
					b.Fatal(err)
				}
				defer l.Close()
				var left atomic.Int64
				left.Store(int64(b.N))
				rec := make([]byte, 200)
				b.ResetTimer()
				ends := make(chan error, goroutines)
				for range goroutines {
					go func() {
						var err error
						for err == nil && left.Add(-1) >= 0 {
							err = l.Append(b.Context(), rec)
						}
						ends <- err
					}()
				}
				for range goroutines {
					if err := <-ends; err != nil {
						b.Error(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
			})
		}
	}
}
