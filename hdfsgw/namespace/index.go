package namespace

import (
	"slices"
	"sort"
)

// index is an ordered set of slots: a B+ tree whose order is a function of the records that the slots stand for, so an
// entry takes four bytes. A checkpoint does not have it: it can be made again from the records.
type index struct {
	root *node
}

// node is a leaf (no kids) or has kids, whose first slots are then its slots.
type node struct {
	slots []uint32
	kids  []*node
}

// fanout bounds the slots of a node: two cache lines per binary search, and little to move at an insertion.
const fanout = 128

// order says where a slot lies in relation to what is looked for: below 0 before it, 0 there, above 0 after it.
type order func(slot uint32) int

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
		x.root = &node{slots: []uint32{slot}}
		return
	}
	if right := x.root.insert(slot, o); right != nil {
		left := x.root
		x.root = &node{[]uint32{left.slots[0], right.slots[0]}, []*node{left, right}}
	}
}

// insert inserts below n, and returns the new right neighbour of n if n had to be split.
func (n *node) insert(slot uint32, o order) *node {
	var i int
	if n.kids == nil {
		i = sort.Search(len(n.slots), func(i int) bool { return o(n.slots[i]) > 0 })
		n.slots = slices.Insert(n.slots, i, slot)
	} else {
		i = n.kid(o)
		kid := n.kids[i]
		right := kid.insert(slot, o)
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
	return n.split(i)
}

// split halves a full node. Names often come in order: then the left part stays nearly full.
func (n *node) split(last int) *node {
	at := fanout / 2
	if last == len(n.slots)-1 {
		at = fanout - fanout/8
	}
	right := &node{slots: append(make([]uint32, 0, fanout), n.slots[at:]...)}
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
	x.root.remove(o)
	for x.root != nil && len(x.root.kids) == 1 {
		x.root = x.root.kids[0]
	}
	if x.root != nil && len(x.root.slots) == 0 {
		x.root = nil
	}
}

func (n *node) remove(o order) {
	if n.kids == nil {
		i := sort.Search(len(n.slots), func(i int) bool { return o(n.slots[i]) >= 0 })
		n.slots = slices.Delete(n.slots, i, i+1)
		return
	}
	i := n.kid(o)
	kid := n.kids[i]
	kid.remove(o)
	switch {
	case len(kid.slots) == 0:
		n.drop(i)
		return
	case i > 0 && len(kid.slots)+len(n.kids[i-1].slots) < fanout/2:
		left := n.kids[i-1]
		left.slots = append(left.slots, kid.slots...)
		left.kids = append(left.kids, kid.kids...)
		n.drop(i)
		return
	}
	n.slots[i] = kid.slots[0]
}

func (n *node) drop(i int) {
	n.slots = slices.Delete(n.slots, i, i+1)
	n.kids = slices.Delete(n.kids, i, i+1)
}
