package namespace

import (
	"cmp"
	"iter"
	"slices"
)

// Census is what a tree had at one moment, for going through all of it without holding anybody up.
type Census struct {
	tree  *Tree
	refs  []ref
	gone  map[uint64]bool // dropped, and waiting to be deleted
	Files int
}

// ref is a block of a file.
type ref struct {
	id   uint64
	file uint32
	at   uint32 // slot of the block
}

// Census looks at the tree as it is now. It takes 16 bytes for each block.
func (t *Tree) Census() *Census {
	t.mu.Lock()
	f := &Tree{inodes: t.inodes.snapshot(), blocks: t.blocks.snapshot(), names: t.names.snapshot()}
	c := &Census{tree: f, gone: make(map[uint64]bool, len(t.dropped))}
	for _, d := range t.dropped {
		c.gone[d.id] = true
	}
	t.mu.Unlock()
	for slot := rootSlot; slot < f.inodes.next; slot++ {
		n := f.inodes.get(slot)
		if n.id == 0 || n.is(isDir) {
			continue
		}
		c.Files++
		for i := n.first; i != none; i = f.blocks.get(i).next {
			c.refs = append(c.refs, ref{f.blocks.get(i).id, slot, i})
		}
	}
	slices.SortFunc(c.refs, func(a, b ref) int { return cmp.Compare(a.id, b.id) })
	return c
}

// Len is how many blocks there are, those that several files share once for each.
func (c *Census) Len() int { return len(c.refs) }

// Block returns the i-th block in the order of ids.
func (c *Census) Block(i int) Block {
	return c.tree.blocks.get(c.refs[i].at).value()
}

// Path returns the path of the file that has the i-th block; one of a snapshot has .snapshot in it.
func (c *Census) Path(i int) string { return c.tree.pathOf(c.refs[i].file) }

// find returns the index of the first block with this id or a higher one, and whether it has this one.
func (c *Census) find(id uint64) (int, bool) {
	return slices.BinarySearchFunc(c.refs, id, func(r ref, id uint64) int { return cmp.Compare(r.id, id) })
}

// Has reports whether a file has a block.
func (c *Census) Has(id uint64) bool {
	_, has := c.find(id)
	return has
}

// In yields the indices of the blocks in an object, given by its id.
func (c *Census) In(object uint64) iter.Seq[int] {
	from, _ := c.find(object)
	return func(yield func(int) bool) {
		for i := from; i < len(c.refs) && c.refs[i].id <= lastIn(object) && yield(i); i++ {
		}
	}
}

// lastIn returns the highest id that a block in an object can have.
func lastIn(object uint64) uint64 {
	if IsPacked(object) {
		return object + PackSlots - 1
	}
	return object
}

// Uses reports whether a file has a block in an object, or had one a moment ago.
func (c *Census) Uses(object uint64) bool {
	for range c.In(object) {
		return true
	}
	for id := object; id <= lastIn(object); id++ {
		if c.gone[id] {
			return true
		}
	}
	return false
}
