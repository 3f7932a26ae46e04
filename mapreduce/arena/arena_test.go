package arena

import (
	"errors"
	"sync"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
)

// sizes are around everything that is rounded: pages, slabs, huge pages.
var sizes = []int{
	0, 1, 7, 8, page - 1, page, page + 1, 100_000, DefaultSlab - 1, DefaultSlab, DefaultSlab + 1, 5*DefaultSlab + 123,
}

func TestAlloc(t *testing.T) {
	b := New(Options{}).Budget(1 << 30)
	defer b.Close()
	for _, n := range sizes {
		block, err := b.Alloc(n)
		if err != nil {
			t.Fatal(err)
		}
		if len(block) != n || cap(block) > n+n/8+page {
			t.Errorf("Alloc(%d): length %d, capacity %d", n, len(block), cap(block))
		}
		clear(block[:cap(block)]) // all of it is there
	}
}

func TestBudgetBounds(t *testing.T) {
	b := New(Options{}).Budget(10 * page)
	one, err := b.Alloc(6 * page)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Alloc(5 * page); !errors.Is(err, errs.Exhausted) {
		t.Fatalf("more than the budget: %v", err)
	}
	if b.Left() != 4*page || b.Peak() != 6*page {
		t.Errorf("left %d, peak %d", b.Left(), b.Peak())
	}
	b.Free(one[:1]) // where it begins is enough
	b.Free(nil)
	if _, err := b.Alloc(9 * page); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if _, err := b.Alloc(1); !errors.Is(err, errs.Exhausted) {
		t.Errorf("a closed budget: %v", err)
	}
	b.Free(one) // too late, but not wrong
}

// TestReuse runs attempts that take the same blocks: the second gets the memory of the first.
func TestReuse(t *testing.T) {
	p := New(Options{})
	var first *byte
	for attempt := range 3 {
		b := p.Budget(1 << 30)
		block, err := b.Alloc(3 * DefaultSlab)
		if err != nil {
			t.Fatal(err)
		}
		if attempt > 0 && &block[0] != first {
			t.Errorf("attempt %d has a new block", attempt)
		}
		first = &block[0]
		b.Close()
	}
	p.Trim()
	if p.mu.idle != 0 || p.mu.used != 0 || len(p.mu.whole) != 0 {
		t.Errorf("after Trim: idle %d, used %d, mapped %d", p.mu.idle, p.mu.used, len(p.mu.whole))
	}
}

// TestPoolLimit keeps all budgets together below the limit, idle blocks of other sizes included.
func TestPoolLimit(t *testing.T) {
	p := New(Options{Limit: 10 * DefaultSlab})
	one, two := p.Budget(8*DefaultSlab), p.Budget(8*DefaultSlab)
	defer one.Close()
	defer two.Close()
	block, err := one.Alloc(6 * DefaultSlab)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.Alloc(5 * DefaultSlab); !errors.Is(err, errs.Exhausted) {
		t.Fatalf("more than the pool: %v", err)
	}
	one.Free(block)
	if _, err := two.Alloc(5 * DefaultSlab); err != nil {
		t.Fatalf("the idle block did not make way: %v", err)
	}
	if p.mu.used+p.mu.idle > p.opts.Limit {
		t.Errorf("pool holds %d of %d", p.mu.used+p.mu.idle, p.opts.Limit)
	}
}

func TestManyGoroutines(t *testing.T) {
	p := New(Options{Slab: 64 << 10})
	b := p.Budget(64 << 20)
	defer b.Close()
	var wg sync.WaitGroup
	for g := range byte(4) {
		wg.Go(func() {
			r := NewRegion(b)
			for range 20 {
				var pieces [][]byte
				for n := range 500 {
					piece, err := r.Alloc(n)
					if err != nil {
						t.Error(err)
						return
					}
					for i := range piece {
						piece[i] = g
					}
					pieces = append(pieces, piece)
				}
				for _, piece := range pieces {
					for _, c := range piece {
						if c != g {
							t.Error("two pieces share memory")
							return
						}
					}
				}
				r.Reset()
			}
		})
	}
	wg.Wait()
	if b.Left() != b.Limit() {
		t.Errorf("%d bytes are still held", b.Limit()-b.Left())
	}
}

func TestFreeOfForeignBlockPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	New(Options{}).Budget(1 << 20).Free(make([]byte, 10))
}

func TestRegion(t *testing.T) {
	b := New(Options{Slab: 16 << 10}).Budget(1 << 20)
	defer b.Close()
	r := NewRegion(b)
	for _, n := range []int{1, 8, 100, 4 << 10, 5 << 10, 100 << 10} {
		piece, err := r.Alloc(n)
		if err != nil {
			t.Fatal(err)
		}
		if want := (n + 7) &^ 7; len(piece) != want || cap(piece) != want {
			t.Errorf("Alloc(%d): length %d, capacity %d", n, len(piece), cap(piece))
		}
	}
	if _, err := r.Alloc(2 << 20); !errors.Is(err, errs.Exhausted) {
		t.Errorf("more than the budget: %v", err)
	}
	r.Reset()
	if b.Left() != b.Limit() {
		t.Errorf("%d bytes are still held", b.Limit()-b.Left())
	}
}

func TestOf(t *testing.T) {
	b := New(Options{}).Budget(1 << 20)
	defer b.Close()
	block, err := b.Alloc(100)
	if err != nil {
		t.Fatal(err)
	}
	type entry struct{ a, b uint64 }
	es := Of[entry](block)
	if len(es) != 6 {
		t.Fatalf("%d entries of 16 bytes in 100", len(es))
	}
	es[5] = entry{1, 2}
	if block[5*16] != 1 && block[5*16+7] != 1 {
		t.Error("not the same memory")
	}
}
