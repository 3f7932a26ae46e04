// Package split divides an input among workers: every byte to exactly one of them, and about as many to each.
//
// Files that must be read whole go first, the largest to the worker that has least. The others are cut: they lie in
// order, one after the other, and worker 0 takes from the front what it has room for, then worker 1, and so on.
//
//	whole    [=====] [===]                    worker 0   [=====]                + 0 MB
//	cut      a---------b------c-----------    worker 1   [===] a--              + 2 MB
//	                                          worker 2   -------b-              + 5 MB   ...
package split

import (
	"cmp"
	"slices"

	"github.com/seed3322913c/runner/guagua"
)

// File is a file of the input.
type File struct {
	URI  string
	Size int64
}

// Cut divides files among n workers. Empty files are nobody's. A worker may have nothing, if there are fewer bytes or
// whole files than workers.
func Cut(files []File, n int, whole func(uri string) bool) []guagua.Split {
	out, load := make([]guagua.Split, n), make([]int64, n)
	for i := range out {
		out[i].Index = i
	}
	give := func(i int, f File, from, length int64) {
		out[i].Pieces = append(out[i].Pieces, guagua.Piece{URI: f.URI, Offset: from, Length: length, Size: f.Size})
		load[i] += length
	}
	var cut, uncut []File
	var total int64
	for _, f := range files {
		total += f.Size
		switch {
		case f.Size == 0:
		case whole(f.URI):
			uncut = append(uncut, f)
		default:
			cut = append(cut, f)
		}
	}
	slices.SortStableFunc(uncut, func(a, b File) int { return cmp.Compare(b.Size, a.Size) })
	for _, f := range uncut {
		i := slices.Index(load, slices.Min(load))
		give(i, f, 0, f.Size)
	}
	share, i := (total+int64(n)-1)/int64(n), 0
	for _, f := range cut {
		for from := int64(0); from < f.Size; {
			for i < n-1 && load[i] >= share {
				i++
			}
			length := f.Size - from
			if i < n-1 {
				length = min(length, share-load[i])
			}
			give(i, f, from, length)
			from += length
		}
	}
	return out
}
