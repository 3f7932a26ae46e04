// Package arena hands out memory that is counted and used again.
//
// A process has one Pool. Every attempt gets a Budget from it, and takes all of its large memory from there: input
// buffers, the chunks records are copied to, tables, fetched segments. What does not fit is refused with
// errs.Exhausted, and the caller spills. When the attempt ends its Budget is closed, and the pool keeps the blocks for
// the next attempt, so that a page is faulted in once in the life of a process and not once per attempt.
//
//	Pool ── Budget (an attempt, 600 MiB) ── Alloc: single blocks (a table, a read buffer)
//	     │                               └─ Region: many small pieces, freed together
//	     └─ Budget (another attempt)
//
// On Linux blocks lie outside the Go heap, in huge pages: a table that misses the cache at every probe would otherwise
// miss the TLB too, and faulting gigabytes in pages of 4 KiB costs more than the work itself. Such memory never holds
// Go pointers. Elsewhere blocks come from the heap.
package arena

import (
	"sync"

	"github.com/seed3322913c/runner/infra/errs"
)

// Pool owns the large memory of a process. All methods may be called by many goroutines at once.
type Pool struct {
	opts Options
	mu   struct {
		sync.Mutex
		used  int64            // bytes of blocks that budgets hold
		idle  int64            // bytes of blocks in free
		free  map[int][][]byte // idle blocks by size
		whole map[*byte][]byte // the mapping of each block that is one, by its first byte
	}
}

// Options tune a Pool.
type Options struct {
	Slab  int   // bytes of the blocks that Regions are made of, 2 MiB (a huge page) by default
	Limit int64 // bytes that all budgets together may hold; 0: as much as they allow. Idle blocks count and make way
}

// DefaultSlab is the size of a huge page on the machines we know.
const DefaultSlab = 2 << 20

// New returns an empty pool.
func New(opts Options) *Pool {
	if opts.Slab == 0 {
		opts.Slab = DefaultSlab
	}
	p := &Pool{opts: opts}
	p.mu.free = map[int][][]byte{}
	p.mu.whole = map[*byte][]byte{}
	return p
}

// Budget starts the account of an attempt that may hold limit bytes.
func (p *Pool) Budget(limit int64) *Budget {
	b := &Budget{pool: p}
	b.mu.limit, b.mu.held = limit, map[*byte]int{}
	return b
}

// Trim gives all idle memory back to the system.
func (p *Pool) Trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trimLocked(0)
}

// trimLocked drops idle blocks until at most keep bytes of them are left.
func (p *Pool) trimLocked(keep int64) {
	for size, list := range p.mu.free {
		for len(list) > 0 && p.mu.idle > keep {
			block := list[len(list)-1]
			list = list[:len(list)-1]
			p.mu.idle -= int64(size)
			if whole, ok := p.mu.whole[&block[0]]; ok {
				delete(p.mu.whole, &block[0])
				unmap(whole)
			}
		}
		p.mu.free[size] = list
	}
}

// take returns a block of exactly size bytes, or nil if the pool's limit or the system has no room for it.
func (p *Pool) take(size int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if list := p.mu.free[size]; len(list) > 0 {
		p.mu.free[size] = list[:len(list)-1]
		p.mu.idle -= int64(size)
		p.mu.used += int64(size)
		return list[len(list)-1]
	}
	if limit := p.opts.Limit; limit > 0 {
		if p.mu.used+int64(size) > limit {
			return nil
		}
		p.trimLocked(limit - p.mu.used - int64(size))
	}
	block, whole := newBlock(size)
	if block == nil {
		return nil
	}
	if whole != nil {
		p.mu.whole[&block[0]] = whole
	}
	p.mu.used += int64(size)
	return block
}

func (p *Pool) give(block []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.free[len(block)] = append(p.mu.free[len(block)], block)
	p.mu.used -= int64(len(block))
	p.mu.idle += int64(len(block))
}

// Budget is what one attempt may hold. All methods may be called by many goroutines at once.
type Budget struct {
	pool *Pool
	mu   struct {
		sync.Mutex
		limit  int64
		held   map[*byte]int // size of each block held, by its first byte
		used   int64
		peak   int64
		closed bool
	}
}

// page is the unit that blocks are rounded up to.
const page = 4 << 10

// sizeOf rounds n up so that blocks of nearly the same length can stand in for each other: to an eighth of the next
// lower power of two, at least a page.
func sizeOf(n int) int {
	step := page
	for step<<4 < n {
		step <<= 1
	}
	return (max(n, 1) + step - 1) / step * step
}

// Alloc returns a block of n bytes, whose capacity may be larger and is the caller's too. Its contents are whatever its
// last user left. It fails with errs.Exhausted when the budget does not allow it.
func (b *Budget) Alloc(n int) ([]byte, error) {
	size := sizeOf(n)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.mu.closed && b.mu.used+int64(size) <= b.mu.limit {
		if block := b.pool.take(size); block != nil {
			b.mu.held[&block[0]] = size
			b.mu.used += int64(size)
			b.mu.peak = max(b.mu.peak, b.mu.used)
			return block[:n], nil
		}
	}
	return nil, errs.Errorf("arena.Alloc", errs.Exhausted, nil,
		"%d bytes of memory wanted, %d of %d are in use", size, b.mu.used, b.mu.limit)
}

// Free gives back a block that Alloc returned (or its beginning; only where it starts matters). It must not be used any
// more. A nil block is fine, and so is one that Close gave back before; any other is a bug, and panics.
func (b *Budget) Free(block []byte) {
	if cap(block) == 0 {
		return
	}
	first := &block[:1][0]
	b.mu.Lock()
	defer b.mu.Unlock()
	size, ok := b.mu.held[first]
	if !ok {
		if b.mu.closed {
			return
		}
		panic("arena: Free of a block that is not held")
	}
	delete(b.mu.held, first)
	b.mu.used -= int64(size)
	b.pool.give(block[:size])
}

// Close gives back all that is still held: the end of an attempt, however it ended. Nobody may use its blocks any more.
// A closed budget allows nothing.
func (b *Budget) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for first, size := range b.mu.held {
		b.pool.give(view(first, size))
	}
	clear(b.mu.held)
	b.mu.used, b.mu.closed = 0, true
}

// Limit returns how many bytes may be held.
func (b *Budget) Limit() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.limit
}

// Left returns how many more bytes may be held.
func (b *Budget) Left() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.limit - b.mu.used
}

// Peak returns how many bytes were held at most.
func (b *Budget) Peak() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.peak
}

// Slab returns the size of the blocks that Regions of this budget are made of.
func (b *Budget) Slab() int { return b.pool.opts.Slab }
