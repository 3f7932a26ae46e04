// Package bins holds records in memory, apart by a number: a partition, or a range of keys.
//
// A bin is a list of chunks that grow with it, from one Region, so a thousand bins of a few bytes cost little and a few
// bins of many megabytes too. A record never crosses chunks, and segment.Slack bytes behind every chunk may be read.
//
//	bin 0: [chunk 512 B][chunk 1 KiB][chunk 2 KiB, half full]
//	bin 1: [chunk 512 B]
//
// What is in a bin can be had in the order it came, or sorted. Sorting needs memory too, and happens when there is none
// left; so a set that is to be sorted holds as much from the start as its largest bin will need, and cannot fail later.
package bins

import (
	"math"
	"unsafe"

	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// Chunks double from minChunk to maxChunk: large ones waste their last half, small ones cost a list entry each.
const (
	minChunk = 512
	maxChunk = 32 << 10
)

// Options tune a Set.
type Options struct {
	Layout  segment.Layout        // of the records
	Sort    bool                  // whether Sorted is going to be called
	Compare func(a, b []byte) int // order of keys; nil: byte order
}

// Set is a number of bins. It is used by one goroutine.
type Set struct {
	budget *arena.Budget
	opts   Options
	region *arena.Region
	tails  []tail
	chunks [][][]byte // by bin; the newest is not yet cut to what is written
	room   int        // records that the largest bin may have
	order  []byte     // memory for 2*room entries
}

// tail is where the next record goes: apart from the rest, since all of them together should stay in the cache.
type tail struct {
	free    []byte // what is left of the newest chunk
	records int
}

// New returns a set of n empty bins.
func New(b *arena.Budget, n int, opts Options) *Set {
	s := &Set{budget: b, opts: opts, region: arena.NewRegion(b), tails: make([]tail, n), chunks: make([][][]byte, n)}
	if !opts.Sort {
		s.room = math.MaxInt
	}
	return s
}

// Len returns the number of bins.
func (s *Set) Len() int { return len(s.tails) }

// Tail returns room for n bytes or more at the end of bin i. The caller writes one record to its beginning and tells
// its length to Advance. It fails with errs.Exhausted when the budget has no room: then use what is in the bins, and
// Reset.
func (s *Set) Tail(i, n int) ([]byte, error) {
	if t := &s.tails[i]; len(t.free) >= n && t.records < s.room {
		return t.free, nil
	}
	return s.grow(i, n)
}

// Advance ends a record of n bytes in bin i.
func (s *Set) Advance(i, n int) {
	t := &s.tails[i]
	t.free = t.free[n:]
	t.records++
}

func (s *Set) grow(i, n int) ([]byte, error) {
	t := &s.tails[i]
	if t.records >= s.room {
		if err := s.reserve(); err != nil {
			return nil, err
		}
	}
	if len(t.free) >= n {
		return t.free, nil
	}
	size := min(maxChunk, minChunk<<min(len(s.chunks[i]), 16))
	chunk, err := s.region.Alloc(max(size, n+segment.Slack))
	if err != nil {
		return nil, err
	}
	s.cut(i)
	s.chunks[i] = append(s.chunks[i], chunk)
	t.free = chunk[:len(chunk)-segment.Slack]
	return t.free, nil
}

// reserve makes more room for sorting.
func (s *Set) reserve() error {
	room := max(256, s.room+s.room/2)
	order, err := s.budget.Alloc(2 * room * entrySize)
	if err != nil {
		return err
	}
	s.budget.Free(s.order)
	s.room, s.order = room, order
	return nil
}

const entrySize = int(unsafe.Sizeof(entry{}))

// cut shortens the newest chunk of bin i to what is written.
func (s *Set) cut(i int) {
	if list := s.chunks[i]; len(list) > 0 {
		last := &list[len(list)-1]
		*last = (*last)[:cap(*last)-segment.Slack-len(s.tails[i].free)]
	}
}

// Records returns how many records bin i has.
func (s *Set) Records(i int) int { return s.tails[i].records }

// Chunks returns the records of bin i in the order they came, whole in each chunk. They are valid until the next record
// goes into the bin, or Reset.
func (s *Set) Chunks(i int) [][]byte {
	s.cut(i)
	return s.chunks[i]
}

// Sorted returns the records of bin i in the order of their keys, equal keys in the order they came. It is valid until
// the next call, a next record, or Reset.
func (s *Set) Sorted(i int) Sorted {
	chunks := s.Chunks(i)
	all := arena.Of[entry](s.order)
	es := list(chunks, all, s.opts.Layout)
	if s.opts.Compare != nil {
		sortCompare(es, chunks, s.opts.Compare)
	} else {
		byteOrder{chunks}.sort(es, all[len(es):2*len(es)], 0)
	}
	return Sorted{chunks, es}
}

// Sorted is a sorted bin.
type Sorted struct {
	chunks  [][]byte
	entries []entry
}

// Len returns how many records it has.
func (s Sorted) Len() int { return len(s.entries) }

// Record returns the bytes from record i to the end of its chunk.
func (s Sorted) Record(i int) []byte { return record(s.chunks, s.entries[i]) }

// Reset empties all bins and gives their memory back.
func (s *Set) Reset() {
	clear(s.tails)
	for i := range s.chunks {
		s.chunks[i] = s.chunks[i][:0]
	}
	s.region.Reset()
}

// Close is Reset, and gives back what sorting took. The set is of no use afterwards.
func (s *Set) Close() {
	s.Reset()
	s.budget.Free(s.order)
	s.order, s.room = nil, 0
}
