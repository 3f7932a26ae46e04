package namespace

import (
	"slices"
	"sort"
)

// index is an ordered set of slots: a B+ tree whose order is a function of the records that the slots stand for, so an
// entry takes four bytes. Nodes are copied when they are changed after a snapshot.
type index struct {
	root *node
	gen  uint32
}

// node is a leaf (no kids) or has kids, whose first slots are then its slots.
type node struct {
	gen   uint32
	slots []uint32
	kids  []*node
}

// fanout bounds the slots of a node: two cache lines per binary search, and little to move at an insertion.
const fanout = 128

// order says where a slot lies in relation to what is looked for: below 0 before it, 0 there, above 0 after it.
type order func(slot uint32) int

func (x *index) own(n *node) *node {
	if n.gen == x.gen {
		return n
	}
	return &node{x.gen, append(make([]uint32, 0, fanout), n.slots...), slices.Clone(n.kids)}
}

// kid returns which child covers what o looks for.
func (n *node) kid(o order) int {
	return max(sort.Search(len(n.slots), func(i int) bool { return o(n.slots[i]) > 0 })-1, 0)
}

// find returns the slot that o looks for, 0 if there is none.
func (x *index) find(o order) uint32 {
	n := x.root
	if n == nil {
		return 0
	}
	for n.kids != nil {
		n = n.kids[n.kid(o)]
	}
	i := sort.Search(len(n.slots), func(i int) bool { return o(n.slots[i]) >= 0 })
	if i < len(n.slots) && o(n.slots[i]) == 0 {
		return n.slots[i]
	}
	return 0
}

// ascend calls f with the slots at or after what o looks for, until f returns false.
func (x *index) ascend(o order, f func(slot uint32) bool) {
	if x.root != nil {
		x.root.ascend(o, f)
	}
}

func (n *node) ascend(o order, f func(slot uint32) bool) bool {
	if n.kids == nil {
		i := sort.Search(len(n.slots), func(i int) bool { return o(n.slots[i]) >= 0 })
		for _, s := range n.slots[i:] {
			if !f(s) {
				return false
			}
		}
		return true
	}
	for i, first := n.kid(o), true; i < len(n.kids); i, first = i+1, false {
		if !first {
			o = func(uint32) int { return 1 } // all of it
		}
		if !n.kids[i].ascend(o, f) {
			return false
		}
	}
	return true
}

// insert adds a slot at the place o tells; it must not be in the set.
func (x *index) insert(slot uint32, o order) {
	if x.root == nil {
		x.root = &node{gen: x.gen, slots: []uint32{slot}}
		return
	}
	x.root = x.own(x.root)
	if right := x.insertAt(x.root, slot, o); right != nil {
		left := x.root
		x.root = &node{x.gen, []uint32{left.slots[0], right.slots[0]}, []*node{left, right}}
	}
}

// insertAt inserts below n, and returns the new right neighbour of n if n had to be split.
func (x *index) insertAt(n *node, slot uint32, o order) *node {
	var i int
	if n.kids == nil {
		i = sort.Search(len(n.slots), func(i int) bool { return o(n.slots[i]) > 0 })
		n.slots = slices.Insert(n.slots, i, slot)
	} else {
		i = n.kid(o)
		kid := x.own(n.kids[i])
		n.kids[i] = kid
		right := x.insertAt(kid, slot, o)
		n.slots[i] = kid.slots[0]
		if right == nil {
			return nil
		}
		i++
		n.slots = slices.Insert(n.slots, i, right.slots[0])
		n.kids = slices.Insert(n.kids, i, right)
	}
	if len(n.slots) < fanout {
		return nil
	}
	return x.split(n, i)
}

// split halves a full node. Names often come in order: then the left part stays nearly full.
func (x *index) split(n *node, last int) *node {
	at := fanout / 2
	if last == len(n.slots)-1 {
		at = fanout - fanout/8
	}
	right := &node{gen: x.gen, slots: append(make([]uint32, 0, fanout), n.slots[at:]...)}
	n.slots = n.slots[:at]
	if n.kids != nil {
		right.kids = slices.Clone(n.kids[at:])
		clear(n.kids[at:])
		n.kids = n.kids[:at]
	}
	return right
}

// remove takes out the slot that o looks for; it must be there.
func (x *index) remove(o order) {
	x.root = x.own(x.root)
	x.removeAt(x.root, o)
	for x.root != nil && len(x.root.kids) == 1 {
		x.root = x.root.kids[0]
	}
	if x.root != nil && len(x.root.slots) == 0 {
		x.root = nil
	}
}

func (x *index) removeAt(n *node, o order) {
	if n.kids == nil {
		i := sort.Search(len(n.slots), func(i int) bool { return o(n.slots[i]) >= 0 })
		n.slots = slices.Delete(n.slots, i, i+1)
		return
	}
	i := n.kid(o)
	kid := x.own(n.kids[i])
	n.kids[i] = kid
	x.removeAt(kid, o)
	switch {
	case len(kid.slots) == 0:
		n.drop(i)
		return
	case i > 0 && len(kid.slots)+len(n.kids[i-1].slots) < fanout/2:
		left := x.own(n.kids[i-1])
		left.slots = append(left.slots, kid.slots...)
		left.kids = append(left.kids, kid.kids...)
		n.kids[i-1] = left
		n.drop(i)
		return
	}
	n.slots[i] = kid.slots[0]
}

func (n *node) drop(i int) {
	n.slots = slices.Delete(n.slots, i, i+1)
	n.kids = slices.Delete(n.kids, i, i+1)
}

// snapshot returns the set as it is now, for looking at only.
func (x *index) snapshot() index {
	x.gen++
	return index{root: x.root, gen: x.gen - 1}
}
