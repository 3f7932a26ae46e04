package block

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/s3"
	"github.com/seed3322913c/runner/infra/store/s3/s3test"
)

// BenchmarkSmall compares sixteen clients that each make an object of 4 KiB with one object that has the bytes of all
// sixteen, which is what packing small files could save at most.
func BenchmarkSmall(b *testing.B) {
	const clients, size = 16, 4 << 10
	for _, kind := range []string{"folder", "S3"} {
		var st store.Store
		var err error
		if kind == "folder" {
			st, err = file.New(b.TempDir(), file.Options{})
		} else {
			srv := s3test.Start(b)
			st, err = s3.Open(b.Context(), srv.Config(srv.NewBucket(b)))
		}
		if err != nil {
			b.Fatal(err)
		}
		newID := ids()
		var mu sync.Mutex
		put := func(data []byte) {
			mu.Lock()
			id := newID()
			mu.Unlock()
			if _, err := Copy(b.Context(), st, bytes.NewReader(data), 1<<20, func() uint64 { return id }); err != nil {
				b.Error(err)
			}
		}
		for _, packed := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/packed=%v", kind, packed), func(b *testing.B) {
				for b.Loop() {
					if packed {
						put(noise(clients * size))
						continue
					}
					var all sync.WaitGroup
					for range clients {
						all.Go(func() { put(noise(size)) })
					}
					all.Wait()
				}
				b.ReportMetric(clients*float64(b.N)/b.Elapsed().Seconds(), "files/s")
			})
		}
	}
}
