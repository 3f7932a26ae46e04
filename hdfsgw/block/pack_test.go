package block

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// numbers gives out ids.
type numbers struct {
	sync.Mutex
	blocks, packs uint64
	none          bool // no packs
}

func (n *numbers) NewBlock() uint64 {
	n.Lock()
	defer n.Unlock()
	n.blocks++
	return 7<<32 | n.blocks
}

func (n *numbers) NewPack() (uint64, bool) {
	n.Lock()
	defer n.Unlock()
	n.packs++
	return 7<<32 | 1<<31 | n.packs*namespace.PackSlots, !n.none
}

// gathered puts blocks of these lengths while the store holds the first two back, and returns them.
func gathered(t *testing.T, st *mem.Store, ids *numbers, lengths []int) []namespace.Block {
	t.Helper()
	until := make(chan struct{})
	p := NewPacker(fault.New(st, 1, fault.Rule{Op: around.Commit, Effect: fault.Hold, Until: until}), ids)
	blocks := make([]namespace.Block, len(lengths))
	var all sync.WaitGroup
	for i, n := range lengths {
		all.Go(func() {
			var err error
			if blocks[i], err = p.Put(t.Context(), noise(n)); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait() // so that they come in this order
	}
	close(until)
	all.Wait()
	return blocks
}

func TestSmallBlocksShareAnObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, ids := mem.New(), &numbers{}
		lengths := []int{10, 10, 1, 4096, 4097, 100, PackLimit, 5}
		for range 40 { // more than fit
			lengths = append(lengths, PackLimit)
		}
		blocks := gathered(t, st, ids, lengths)
		objects, packed := map[uint64]bool{}, 0
		for i, b := range blocks {
			var out bytes.Buffer
			if err := Write(t.Context(), st, &out, []namespace.Block{b}, 0, b.Length); err != nil {
				t.Fatal(i, err)
			}
			if !bytes.Equal(out.Bytes(), noise(lengths[i])) || Verify(t.Context(), st, &out, b) != nil {
				t.Errorf("block %d has other bytes", i)
			}
			out.Reset()
			if err := Write(t.Context(), st, &out, []namespace.Block{b}, b.Length-1, 1); err != nil ||
				out.Bytes()[0] != noise(lengths[i])[b.Length-1] {
				t.Errorf("block %d ends otherwise, %v", i, err)
			}
			object, _ := namespace.ObjectOf(b.ID)
			if objects[object] = true; namespace.IsPacked(b.ID) {
				packed++
			}
			// What one of them is done with, the others still need.
			if err := Delete(t.Context(), st, b.ID); err != nil && namespace.IsPacked(b.ID) {
				t.Error(err)
			}
		}
		if len(objects) > 6 || packed < len(blocks)-4 {
			t.Errorf("%d blocks are in %d objects, %d share one", len(blocks), len(objects), packed)
		}
	})
}

func TestWhereNothingCanBeShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, b := range gathered(t, mem.New(), &numbers{none: true}, []int{1, 2, 3, 4, 5}) {
			if namespace.IsPacked(b.ID) {
				t.Error("shares an object")
			}
		}
	})
}

func TestPackersTellFailuresAndLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := fault.New(mem.New(), 1, fault.Rule{Op: around.Commit})
		if _, err := NewPacker(st, &numbers{}).Put(t.Context(), []byte("x")); !errors.Is(err, errs.Unavailable) {
			t.Error(err)
		}
		until := make(chan struct{})
		p := NewPacker(fault.New(mem.New(), 1, fault.Rule{Op: around.Commit, Effect: fault.Hold, Until: until}), &numbers{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { synctest.Wait(); cancel() }()
		if _, err := p.Put(ctx, []byte("x")); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(until)
		synctest.Wait() // the flight ends by itself
	})
}
