package group

import (
	"bytes"
	"math/bits"
	"slices"

	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/bins"
	"github.com/seed3322913c/runner/mapreduce/fold"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// ranges hold folded keys in bins by where they lie in byte order, so that each bin is small enough to be sorted in the
// cache, and all of them in order are all keys in order.
type ranges struct {
	fold fold.Func
	cuts []uint64 // the prefix with which each range but the first begins; one less than a power of two
	bins *bins.Set
}

const (
	// rangeBytes is how large a range should become: with what sorting it takes, it fits L2.
	rangeBytes = 96 << 10
	// maxRanges is how many places can be written to in turn before the cache forgets them.
	maxRanges = 1024
	// minRange is what a range takes of the memory at least, in bytes.
	minRange = 1 << 10
)

// newRanges divides the keys to come as evenly as those of sample are: keys of one hash partition are a fair sample of
// all. There will be about times as many as in sample.
func newRanges(b *arena.Budget, f fold.Func, sample *fold.Table, times float64) *ranges {
	prefixes := make([]uint64, 0, sample.Len())
	size := 0
	_ = sample.All(func(key []byte, _ int64) error { // never fails
		prefixes = append(prefixes, segment.Prefix(key, 0))
		size += len(key) + recordOverhead
		return nil
	})
	slices.Sort(prefixes)
	n := 1
	for n < maxRanges && float64(n)*rangeBytes < float64(size)*times && int64(n)*minRange*8 < b.Left() {
		n *= 2
	}
	r := &ranges{fold: f, cuts: make([]uint64, n-1)}
	for i := range r.cuts {
		r.cuts[i] = prefixes[(i+1)*len(prefixes)/n]
	}
	r.bins = bins.New(b, n, bins.Options{Layout: segment.Folded, Sort: true})
	return r
}

// recordOverhead is about how many bytes a record has beside its key.
const recordOverhead = 3

// find returns the range of a key: a binary search without branches, since each of them would be mispredicted half the
// time.
func (r *ranges) find(prefix uint64) (i int) {
	for step := (len(r.cuts) + 1) / 2; step > 0; step /= 2 {
		_, below := bits.Sub64(prefix, r.cuts[i+step-1], 0)
		i += step & (int(below) - 1)
	}
	return i
}

// add keeps a record. It fails with errs.Exhausted when there is no room.
func (r *ranges) add(key []byte, value int64) error {
	i := r.find(segment.Prefix(key, 0))
	b, err := r.bins.Tail(i, segment.MaxHeader+len(key))
	if err != nil {
		return err
	}
	n := segment.PutHeader(b, len(key), segment.ZigZag(value))
	n += copy(b[n:], key)
	r.bins.Advance(i, n)
	return nil
}

// each calls yield for each key in order, with all its values folded.
func (r *ranges) each(yield func(key []byte, value int64) error) error {
	f := folding{fold: r.fold, yield: yield}
	for i := range r.bins.Len() {
		sorted := r.bins.Sorted(i)
		for j := range sorted.Len() {
			key, value, _, err := segment.NextFolded(sorted.Record(j))
			if err == nil {
				err = f.add(key, value)
			}
			if err != nil {
				return err
			}
		}
		if err := f.end(); err != nil {
			return err
		}
	}
	return nil
}

// folding passes sorted records on, those of equal keys as one.
type folding struct {
	fold   fold.Func
	yield  func(key []byte, value int64) error
	copies bool // keys given to add change before the next call
	any    bool // there is a key that was not yet passed on
	key    []byte
	value  int64
}

// add takes the next record.
func (f *folding) add(key []byte, value int64) error {
	if f.any && bytes.Equal(f.key, key) {
		f.value = f.fold.Fold(f.value, value)
		return nil
	}
	if err := f.end(); err != nil {
		return err
	}
	if f.copies {
		key = append(f.key[:0], key...)
	}
	f.any, f.key, f.value = true, key, value
	return nil
}

// end passes on the last key.
func (f *folding) end() error {
	if !f.any {
		return nil
	}
	f.any = false
	return f.yield(f.key, f.value)
}
