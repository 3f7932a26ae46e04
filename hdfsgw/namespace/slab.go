package namespace

import "slices"

// pageSize is how many records are copied when the first of them changes after a snapshot.
const pageSize = 512

// slab keeps records of one type by number. It has no pointer per record, so the garbage collector passes it by.
// Number 0 is never given out. A snapshot shares all pages; a page is copied when it is changed afterwards.
type slab[T any] struct {
	pages []*page[T]
	next  uint32   // the lowest number never used
	free  []uint32 // numbers to use again
	gen   uint32   // of the pages that may be changed in place
}

type page[T any] struct {
	gen     uint32
	records [pageSize]T
}

// get returns a record to look at.
func (s *slab[T]) get(i uint32) *T { return &s.pages[i/pageSize].records[i%pageSize] }

// edit returns a record to change.
func (s *slab[T]) edit(i uint32) *T {
	p := s.pages[i/pageSize]
	if p.gen != s.gen {
		p = &page[T]{gen: s.gen, records: p.records}
		s.pages[i/pageSize] = p
	}
	return &p.records[i%pageSize]
}

// add stores a record and returns its number.
func (s *slab[T]) add(v T) uint32 {
	var i uint32
	if n := len(s.free); n > 0 {
		i, s.free = s.free[n-1], s.free[:n-1]
	} else {
		s.next = max(s.next, 1)
		i = s.next
		s.next++
		if int(i/pageSize) == len(s.pages) {
			s.pages = append(s.pages, &page[T]{gen: s.gen})
		}
	}
	*s.edit(i) = v
	return i
}

// remove gives a number back.
func (s *slab[T]) remove(i uint32) {
	var zero T
	*s.edit(i) = zero
	s.free = append(s.free, i)
}

// len returns how many records there are.
func (s *slab[T]) len() int { return int(max(s.next, 1)) - 1 - len(s.free) }

// snapshot returns the records as they are now, for looking at only.
func (s *slab[T]) snapshot() slab[T] {
	s.gen++
	return slab[T]{pages: slices.Clone(s.pages), next: s.next}
}
