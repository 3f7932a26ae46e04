// Package namespace is the tree of files and directories of an HDFS: names, owners, permissions, ACLs, quotas,
// snapshots, leases, and for each file the list of objects that hold its bytes. It holds no bytes itself.
//
// A Tree is a deterministic state machine behind a journal. The journal keeps requests, not effects: "carol renames /a
// to /b at 12:00:01", and executing it again gives the same effect or the same refusal. Refusals are outcomes too. The
// last outcomes are remembered by the id of their operation, so whoever got no answer asks again and nothing happens
// twice, with another leader too.
//
//	Service.Do ──▶ journal.Leader.Append ──▶ Tree.Apply ──▶ outcome, kept by id ──▶ Service.Do
//	                (one object for many)     (one by one, in the order of the log)
//	Tree.Status, List, ... read what was applied; they wait for nobody but Apply
//
// # Memory
//
// There is no Go object per file. Inodes and blocks are records in slabs, names are bytes in an arena, and one ordered
// index has the slots of all inodes by (parent, name):
//
//	inode  72 B   id, times, size, block size | parent, first and last block, name | owner, group | bits
//	block  40 B   id, length, next, MD5, CRC
//	index  ~6 B   a slot, in nodes that are two thirds full or better
//	name          its own length
//
// A directory is found through its slot, which a rename does not change: renaming a directory of any size moves one
// entry of the index. A file is a list of blocks of any length: append adds one, concat links two lists, truncate
// shortens the last. Records are copied on write, so that a checkpoint is taken of a tree that goes on changing.
//
// A Snapshot (in HDFS's sense) is a copy of the records below a directory, made at once; its files share the blocks. It
// costs time and memory in proportion to what is below the directory, unlike HDFS's.
package namespace

import (
	"bytes"
	"cmp"
	"strings"
	"sync"
)

// inode is a file or a directory. Everything rare is in maps beside the slab.
type inode struct {
	id        uint64
	modified  int64 // ms
	accessed  int64 // ms; 0 for directories
	size      int64 // bytes of a file; how many children of a directory
	blockSize int64
	parent    uint32 // 0 for the root; the slot of the hidden directory for the root of a snapshot
	first     uint32 // block, 0 for none
	last      uint32
	nameLow   uint32
	owner     uint32
	group     uint32
	nameHigh  uint8
	nameLen   uint8
	perm      uint16
	repl      int16
	policy    uint8
	flags     uint8
}

// Flags of an inode.
const (
	isDir uint8 = 1 << iota
	isOpen
	hasACL
	hasQuota
	snapshottable
)

func (n *inode) is(flag uint8) bool { return n.flags&flag != 0 }
func (n *inode) name() name         { return name{n.nameLow, n.nameHigh, n.nameLen} }
func (n *inode) setName(m name)     { n.nameLow, n.nameHigh, n.nameLen = m.low, m.high, m.length }

// block is a Block in its list.
type block struct {
	id     uint64
	length int64
	md5    [16]byte
	next   uint32
	crc    uint32
}

func (b *block) value() Block { return Block{b.id, b.length, b.md5, b.crc} }

// Slots.
const (
	none     uint32 = 0
	rootSlot uint32 = 1
)

// firstID is the root's id, as at HDFS.
const firstID = 16385

// quota of a directory, with what counts against it.
type quota struct {
	names, space         int64 // -1: none
	usedNames, usedSpace int64
}

// dropped is a block that no file has any more.
type dropped struct {
	id   uint64
	time int64
}

// Tree is a journal.State. Its reading methods may be called by many goroutines while one applies.
type Tree struct {
	mu sync.RWMutex // guards everything below

	inodes slab[inode]
	blocks slab[block]
	names  arena
	people table
	index  index
	nextID uint64

	xattrs  map[uint32][]xattr
	acls    map[uint32][]ACLEntry
	quotas  map[uint32]*quota
	hidden  map[uint32]uint32 // snapshottable directory -> the hidden directory above its snapshots
	shared  map[uint64]uint32 // block id -> how many more files than one have it
	leases  map[string]int64  // holder -> when it was last heard of
	open    map[uint32]string // open file -> holder
	jobs    map[string]uint64 // committed job -> epoch
	grants  map[uint64]Grant  // by their numbers
	granted uint64            // the last number
	dropped []dropped         // oldest first
	history history

	super    Options
	handlers [numOps]handler
}

// Options of a Tree. They must be the same in every process that has the tree.
type Options struct {
	Superuser  string // owns the root; "" means "root"
	Supergroup string // of the root; "" means "supergroup"
}

// New returns the empty tree: a root directory that its owner may write to.
func New(o Options) *Tree {
	t := &Tree{super: Options{cmp.Or(o.Superuser, "root"), cmp.Or(o.Supergroup, "supergroup")}, handlers: handlers()}
	t.clear()
	return t
}

// clear makes the tree empty. It replaces what a snapshot may still look at.
func (t *Tree) clear() {
	t.inodes, t.blocks, t.index = slab[inode]{}, slab[block]{}, index{}
	t.names, t.people = arena{}, table{}
	t.xattrs, t.acls, t.quotas = map[uint32][]xattr{}, map[uint32][]ACLEntry{}, map[uint32]*quota{}
	t.hidden, t.shared = map[uint32]uint32{}, map[uint64]uint32{}
	t.leases, t.open, t.jobs = map[string]int64{}, map[uint32]string{}, map[string]uint64{}
	t.dropped, t.history = nil, history{}
	t.granted, t.grants = 0, map[uint64]Grant{}
	root := inode{id: firstID, flags: isDir, perm: 0o755}
	root.owner, root.group = t.people.intern(t.super.Superuser), t.people.intern(t.super.Supergroup)
	root.setName(t.names.add(""))
	t.inodes.add(root)
	t.nextID = firstID + 1
}

// at orders slots around a name below a parent.
func (t *Tree) at(parent uint32, name string) order {
	return func(slot uint32) int {
		n := t.inodes.get(slot)
		if n.parent != parent {
			return cmp.Compare(n.parent, parent)
		}
		return compare(t.names.bytes(n.name()), name)
	}
}

// compare is bytes.Compare with a string; these conversions copy nothing.
func compare(a []byte, b string) int {
	switch {
	case string(a) == b:
		return 0
	case string(a) < b:
		return -1
	}
	return 1
}

// child returns the slot of a directory's entry, none if there is none.
func (t *Tree) child(dir uint32, name string) uint32 { return t.index.find(t.at(dir, name)) }

// children calls f with a directory's entries after a name, in byte order, until f returns false.
func (t *Tree) children(dir uint32, after string, f func(slot uint32) bool) {
	t.index.ascend(t.at(dir, after), func(slot uint32) bool {
		n := t.inodes.get(slot)
		switch {
		case n.parent != dir:
			return false
		case after != "" && string(t.names.bytes(n.name())) == after:
			return true
		}
		return f(slot)
	})
}

// childList returns a directory's entries; for loops that change the index.
func (t *Tree) childList(dir uint32) (slots []uint32) {
	t.children(dir, "", func(slot uint32) bool {
		slots = append(slots, slot)
		return true
	})
	return slots
}

// nameOf returns an inode's own name.
func (t *Tree) nameOf(slot uint32) string { return string(t.names.bytes(t.inodes.get(slot).name())) }

// pathOf returns the absolute path of an inode.
func (t *Tree) pathOf(slot uint32) string {
	if slot == rootSlot {
		return "/"
	}
	var parts []string
	for ; slot != rootSlot; slot = t.inodes.get(slot).parent {
		parts = append(parts, t.nameOf(slot))
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteByte('/')
		b.WriteString(parts[i])
	}
	return b.String()
}

// link puts an inode below a directory.
func (t *Tree) link(slot, parent uint32, as name, now int64) {
	n := t.inodes.edit(slot)
	n.parent = parent
	n.setName(as)
	t.index.insert(slot, t.at(parent, string(t.names.bytes(as))))
	dir := t.inodes.edit(parent)
	dir.size++
	dir.modified = max(dir.modified, now)
}

// unlink takes an inode out of its directory; the record stays.
func (t *Tree) unlink(slot uint32, now int64) {
	n := t.inodes.get(slot)
	parent := n.parent
	t.index.remove(t.at(parent, string(bytes.Clone(t.names.bytes(n.name())))))
	dir := t.inodes.edit(parent)
	dir.size--
	dir.modified = max(dir.modified, now)
}

// within reports whether slot is dir or below it.
func (t *Tree) within(slot, dir uint32) bool {
	for ; slot != none; slot = t.inodes.get(slot).parent {
		if slot == dir {
			return true
		}
	}
	return false
}

// blocksOf returns the blocks of a file in order.
func (t *Tree) blocksOf(n *inode) (all []Block) {
	for i := n.first; i != none; {
		b := t.blocks.get(i)
		all = append(all, b.value())
		i = b.next
	}
	return all
}
