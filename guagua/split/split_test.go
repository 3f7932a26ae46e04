package split

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestEveryByteOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "workers")
		sizes := rapid.SliceOfN(rapid.Int64Range(0, 1000), 0, 12).Draw(t, "sizes")
		var files []File
		var total, largest int64
		for i, size := range sizes {
			name := fmt.Sprintf("f%d", i)
			if rapid.Bool().Draw(t, "whole") {
				name += ".gz"
				largest = max(largest, size)
			}
			files = append(files, File{name, size})
			total += size
		}
		whole := func(uri string) bool { return strings.HasSuffix(uri, ".gz") }
		seen := map[string]int64{}
		for i, s := range Cut(files, n, whole) {
			if s.Index != i {
				t.Fatalf("split %d says it is %d", i, s.Index)
			}
			var load int64
			for _, p := range s.Pieces {
				if p.Length <= 0 || whole(p.URI) && !p.Whole() {
					t.Fatalf("piece %+v", p)
				}
				if p.Offset != seen[p.URI] {
					t.Fatalf("%s: byte %d comes after %d", p.URI, p.Offset, seen[p.URI])
				}
				seen[p.URI] += p.Length
				load += p.Length
			}
			if fair := total/int64(n) + 1 + largest; load > fair {
				t.Fatalf("worker %d has %d bytes of %d, among %d workers", i, load, total, n)
			}
		}
		for _, f := range files {
			if seen[f.URI] != f.Size {
				t.Fatalf("%s: %d bytes of %d", f.URI, seen[f.URI], f.Size)
			}
		}
	})
}

func TestTwoFilesForTwoWorkers(t *testing.T) {
	got := fmt.Sprint(Cut([]File{{"a", 6}, {"b", 6}}, 2, func(string) bool { return false }))
	if got != "[a b]" {
		t.Error(got)
	}
}
