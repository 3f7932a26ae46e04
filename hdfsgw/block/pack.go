package block

import (
	"context"
	"sync"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/store"
)

// PackLimit is how many bytes a block may have to share an object.
const PackLimit = 64 << 10

// flights is how many shared objects are written at once. While they are, further blocks gather for the next one.
const flights = 2

// IDs gives out the ids of new blocks; namespace.Service does.
type IDs interface {
	NewBlock() uint64
	NewPack() (id uint64, ok bool)
}

// Packer writes small blocks. Those that come while others are being written share an object, which costs the store as
// much as one of them does; a block that comes alone gets an object of its own.
//
//	| block | 0.. | block | 0.. | block |     each begins at a multiple of 4 KiB
//
// An object that is shared is deleted by fsck, when no file has a block of it any more.
type Packer struct {
	st  store.Store
	ids IDs

	mu struct {
		sync.Mutex
		queue  []*small
		flying int
	}
}

// small is a block that waits to be written.
type small struct {
	data  []byte
	block namespace.Block
	err   error
	done  chan struct{} // closed when block and err are valid
}

// NewPacker returns a Packer of a store.
func NewPacker(st store.Store, ids IDs) *Packer { return &Packer{st: st, ids: ids} }

// Put makes a block of 1 to PackLimit bytes and returns it when it is durable. When ctx ends first, the block may come
// to be and be nobody's.
func (p *Packer) Put(ctx context.Context, data []byte) (namespace.Block, error) {
	s := &small{data: data, done: make(chan struct{})}
	p.mu.Lock()
	p.mu.queue = append(p.mu.queue, s)
	fly := p.mu.flying < flights
	if fly {
		p.mu.flying++
	}
	p.mu.Unlock()
	if fly {
		go p.fly(context.WithoutCancel(ctx)) // ends when nobody waits, and does not end with who came first
	}
	select {
	case <-s.done:
		return s.block, s.err
	case <-ctx.Done():
		return namespace.Block{}, ctx.Err()
	}
}

// fly writes what waits, until nothing does.
func (p *Packer) fly(ctx context.Context) {
	for {
		all := p.take()
		if all == nil {
			return
		}
		err := p.write(ctx, all)
		for _, s := range all {
			s.err = err
			close(s.done)
		}
	}
}

// take returns the blocks of the next object; nil if there are none, and then this flight has ended.
func (p *Packer) take() []*small {
	p.mu.Lock()
	defer p.mu.Unlock()
	slots, n := 0, 0
	for ; n < len(p.mu.queue); n++ {
		if slots += slotsOf(p.mu.queue[n]); slots > namespace.PackSlots {
			break
		}
	}
	if n == 0 {
		p.mu.flying--
		return nil
	}
	all := p.mu.queue[:n:n]
	p.mu.queue = p.mu.queue[n:]
	return all
}

func slotsOf(s *small) int { return (len(s.data) + namespace.PackSlot - 1) / namespace.PackSlot }

// write makes an object of blocks.
func (p *Packer) write(ctx context.Context, all []*small) error {
	first, ok := p.ids.NewPack()
	if len(all) > 1 && ok {
		var object []byte
		for _, s := range all {
			slot := (len(object) + namespace.PackSlot - 1) / namespace.PackSlot
			object = append(append(object, make([]byte, slot*namespace.PackSlot-len(object))...), s.data...)
			s.describe(first + uint64(slot))
		}
		return store.Put(ctx, p.st, ObjectName(first), object)
	}
	for _, s := range all {
		s.describe(p.ids.NewBlock())
		if err := store.Put(ctx, p.st, ObjectName(s.block.ID), s.data); err != nil {
			return err
		}
	}
	return nil
}

func (s *small) describe(id uint64) {
	check := newSums()
	check.Write(s.data)
	s.block = namespace.Block{ID: id, Length: int64(len(s.data))}
	check.end(&s.block)
}
