package fold

import (
	"encoding/binary"
	"unsafe"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// Table holds one value for each key: open addressing with linear probes, in a power of two of slots without pointers.
// It is meant to be filled with so few keys that it stays in the L2 cache, emptied, and filled again; more keys make it
// grow, and slow. It is used by one goroutine.
//
// The first 16 bytes of a key are in its slot, so that nearly all lookups touch one cache line; longer keys are kept
// one behind the other in a buffer.
type Table struct {
	budget *arena.Budget
	limit  int64 // bytes that block and keys may take
	fold   Func
	block  []byte // the memory of slots
	slots  []slot
	used   int
	keys   []byte // keys longer than 16 bytes; its capacity is the memory they may take
}

type slot struct {
	words [2]uint64
	value int64
	off   uint32 // in keys
	n     uint32 // length of the key + 1; 0 is an empty slot
}

const (
	slotSize = int(unsafe.Sizeof(slot{}))
	inSlot   = 16      // bytes of a key that its slot holds
	minSlots = 16      // of a table
	maxKeys  = 1 << 32 // bytes that an offset reaches
)

// NewTable returns a table that has room for n keys, and grows to limit bytes of the budget at most. It fails with
// errs.Exhausted if there is no room for it.
func NewTable(b *arena.Budget, f Func, n int, limit int64) (*Table, error) {
	t := &Table{budget: b, fold: f, limit: limit}
	if err := t.alloc(slotsFor(n)); err != nil {
		return nil, err
	}
	return t, nil
}

// slotsFor returns how many slots n keys need.
func slotsFor(n int) int {
	size := minSlots
	for full(n, size) {
		size *= 2
	}
	return size
}

func (t *Table) alloc(slots int) error {
	block, err := t.take(slots*slotSize, cap(t.keys))
	if err != nil {
		return err
	}
	t.block, t.slots = block, arena.Of[slot](block)
	clear(t.slots)
	return nil
}

// take returns a block of n bytes, if it and what else the table keeps are within its limit.
func (t *Table) take(n, other int) ([]byte, error) {
	if int64(n+other) > t.limit {
		return nil, errs.Errorf("fold.Table", errs.Exhausted, nil, "limit of %d bytes", t.limit)
	}
	return t.budget.Alloc(n)
}

// full reports whether used keys are too many for so many slots: probes grow long above three quarters.
func full(used, slots int) bool { return used*4 >= slots*3 }

// Len returns how many keys the table has.
func (t *Table) Len() int { return t.used }

// Add folds value into the key's value. It fails with errs.Exhausted, and changes nothing, if the key is new and there
// is no room for it: then take out what is there (All) and Reset.
func (t *Table) Add(key []byte, value int64) error {
	n := len(key)
	w0, w1 := segment.Load(key, 0), segment.Load(key, 8)
	var h uint64
	if n <= inSlot {
		h = segment.HashEnd(segment.HashPair(segment.HashStart(n), w0, w1))
	} else {
		h = segment.Hash(key)
	}
	m := uint64(len(t.slots) - 1)
	for i := h & m; ; i = (i + 1) & m {
		s := &t.slots[i]
		if s.n == uint32(n+1) && s.words[0] == w0 && s.words[1] == w1 && (n <= inSlot || t.sameTail(s, key)) {
			s.value = t.fold.Fold(s.value, value)
			return nil
		}
		if s.n == 0 {
			return t.insert(s, key, slot{words: [2]uint64{w0, w1}, value: value, n: uint32(n + 1)})
		}
	}
}

// sameTail reports whether the key of s, which is as long as key, is the same from byte 16 on.
func (t *Table) sameTail(s *slot, key []byte) bool {
	kept := t.keys[s.off : int(s.off)+len(key)]
	for i := inSlot; i < len(key); i += 8 {
		if segment.Load(kept, i) != segment.Load(key, i) {
			return false
		}
	}
	return true
}

// insert puts what is new into the empty slot s.
func (t *Table) insert(s *slot, key []byte, what slot) error {
	if full(t.used+1, len(t.slots)) {
		if err := t.grow(); err != nil {
			return err
		}
		return t.Add(key, what.value)
	}
	if len(key) > inSlot {
		if err := t.room(len(key)); err != nil {
			return err
		}
		what.off = uint32(len(t.keys))
		t.keys = append(t.keys, key...)
	}
	*s = what
	t.used++
	return nil
}

// room makes keys long enough for n more bytes and the slack behind them.
func (t *Table) room(n int) error {
	need := len(t.keys) + n + segment.Slack
	if need <= cap(t.keys) {
		return nil
	}
	if int64(need) > maxKeys {
		return errs.Errorf("fold.Table", errs.Exhausted, nil, "%d bytes of keys", need)
	}
	block, err := t.take(max(need, 2*cap(t.keys)), len(t.block))
	if err != nil {
		return err
	}
	old := t.keys
	t.keys = append(block[:0], old...)
	t.budget.Free(old)
	return nil
}

// grow doubles the slots.
func (t *Table) grow() error {
	oldBlock, old := t.block, t.slots
	if err := t.alloc(2 * len(old)); err != nil {
		return err
	}
	m := uint64(len(t.slots) - 1)
	var short [inSlot]byte
	for i := range old {
		if old[i].n == 0 {
			continue
		}
		j := segment.Hash(t.key(&old[i], &short)) & m
		for t.slots[j].n != 0 {
			j = (j + 1) & m
		}
		t.slots[j] = old[i]
	}
	t.budget.Free(oldBlock)
	return nil
}

// key returns the key of s, in short if it is not kept elsewhere.
func (t *Table) key(s *slot, short *[inSlot]byte) []byte {
	n := int(s.n) - 1
	if n > inSlot {
		return t.keys[s.off : int(s.off)+n]
	}
	binary.LittleEndian.PutUint64(short[:], s.words[0])
	binary.LittleEndian.PutUint64(short[8:], s.words[1])
	return short[:n]
}

// All calls yield for each key, in no order, and stops at its first error. The key is valid until yield returns.
func (t *Table) All(yield func(key []byte, value int64) error) error {
	var short [inSlot]byte
	for i := range t.slots {
		s := &t.slots[i]
		if s.n == 0 {
			continue
		}
		if err := yield(t.key(s, &short), s.value); err != nil {
			return err
		}
	}
	return nil
}

// Reset empties the table and keeps its memory, of which it uses as much as about n keys need: the less there is to
// clear, and to go through, the better.
func (t *Table) Reset(n int) {
	all := arena.Of[slot](t.block)
	size := slotsFor(n)
	for size > len(all) {
		size /= 2
	}
	t.slots = all[:size]
	clear(t.slots)
	t.used, t.keys = 0, t.keys[:0]
}

// Close gives the memory back.
func (t *Table) Close() {
	t.budget.Free(t.block)
	t.budget.Free(t.keys)
	t.block, t.slots, t.keys, t.used = nil, nil, nil, 0
}
