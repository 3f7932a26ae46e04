package namespace

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// A checkpoint is a row of chunks, each a uvarint length and the bytes of coded values:
//
//	| version, nextID, names of people | inodes ... | inodes ... | empty | the rest: leases, jobs, outcomes ... |
//
// An inode is coded with its name and its blocks, and its place is its slot, so what is restored has no gaps.
const (
	chunkTarget = 64 << 10
	maxChunk    = 64 << 20
)

// frozen is a tree as it was at one moment.
type frozen struct{ t *Tree }

// Snapshot implements journal.State. It copies lists of pages and the maps of what is rare, not the records.
func (t *Tree) Snapshot() (io.WriterTo, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &Tree{
		inodes: t.inodes.snapshot(), blocks: t.blocks.snapshot(), names: t.names.snapshot(), nextID: t.nextID,
		people: table{names: slices.Clip(t.people.names)},
		xattrs: maps.Clone(t.xattrs), acls: maps.Clone(t.acls), quotas: map[uint32]*quota{}, hidden: maps.Clone(t.hidden),
		leases: maps.Clone(t.leases), open: maps.Clone(t.open), jobs: maps.Clone(t.jobs),
		granted: t.granted, grants: maps.Clone(t.grants),
		dropped: slices.Clone(t.dropped), history: history{ring: t.history.oldestFirst()},
	}
	for slot, q := range t.quotas {
		copied := *q
		f.quotas[slot] = &copied
	}
	return frozen{f}, nil
}

// WriteTo writes the checkpoint.
func (f frozen) WriteTo(out io.Writer) (written int64, err error) {
	var c coder
	flush := func() {
		if err != nil {
			return
		}
		var n int
		n, err = out.Write(append(binary.AppendUvarint(nil, uint64(len(c.buf))), c.buf...))
		written += int64(n)
		c.buf = c.buf[:0]
	}
	f.t.codeHead(&c)
	flush()
	dense := f.t.renumber()
	for slot := rootSlot; slot < f.t.inodes.next && err == nil; slot++ {
		n := *f.t.inodes.get(slot)
		if n.id == 0 {
			continue
		}
		n.parent = dense[n.parent]
		s := stored{n, f.t.nameOf(slot), f.t.blocksOf(&n)}
		s.code(&c)
		if len(c.buf) > chunkTarget {
			flush()
		}
	}
	if len(c.buf) > 0 {
		flush()
	}
	flush()
	f.t.codeRest(&c)
	flush()
	return written, err
}

// renumber returns the slots that the inodes will have when they are restored one after the other, and gives what is
// kept by slot beside them its new keys.
func (t *Tree) renumber() []uint32 {
	dense := make([]uint32, t.inodes.next)
	n := none
	for slot := rootSlot; slot < t.inodes.next; slot++ {
		if t.inodes.get(slot).id != 0 {
			n++
			dense[slot] = n
		}
	}
	t.xattrs, t.acls, t.quotas = rekey(t.xattrs, dense), rekey(t.acls, dense), rekey(t.quotas, dense)
	t.open, t.hidden = rekey(t.open, dense), rekey(t.hidden, dense)
	for dir, hidden := range t.hidden {
		t.hidden[dir] = dense[hidden]
	}
	return dense
}

func rekey[V any](m map[uint32]V, dense []uint32) map[uint32]V {
	moved := make(map[uint32]V, len(m))
	for slot, v := range m {
		moved[dense[slot]] = v
	}
	return moved
}

// stored is an inode of a checkpoint.
type stored struct {
	inode  inode
	name   string
	blocks []Block
}

func (s *stored) code(c *coder) {
	n := &s.inode
	c.uint64(&n.id)
	for _, v := range []*int64{&n.modified, &n.accessed, &n.size, &n.blockSize} {
		num(c, v)
	}
	for _, v := range []*uint32{&n.parent, &n.owner, &n.group} {
		num(c, v)
	}
	num(c, &n.perm)
	num(c, &n.repl)
	num(c, &n.policy)
	num(c, &n.flags)
	c.string(&s.name)
	list(c, &s.blocks, func(c *coder, b *Block) { b.code(c) })
}

func (t *Tree) codeHead(c *coder) {
	v := uint64(version)
	c.uint64(&v)
	if c.noCRCs = v == noCRCs; v != version && !c.noCRCs {
		c.fail("version")
	}
	c.uint64(&t.nextID)
	list(c, &t.people.names, (*coder).string)
}

// dict codes a map.
func dict[K comparable, V any](c *coder, m map[K]V, key func(*coder, *K), value func(*coder, *V)) {
	n := c.length(len(m))
	if !c.reading {
		for k, v := range m {
			key(c, &k)
			value(c, &v)
		}
		return
	}
	for range n {
		var k K
		var v V
		key(c, &k)
		value(c, &v)
		if c.err != nil {
			return
		}
		m[k] = v
	}
}

func (t *Tree) codeRest(c *coder) {
	slot := num[uint32]
	text := (*coder).string
	dict(c, t.xattrs, slot, func(c *coder, l *[]xattr) {
		list(c, l, func(c *coder, x *xattr) { c.string(&x.Name); c.string(&x.Value) })
	})
	dict(c, t.acls, slot, func(c *coder, l *[]ACLEntry) { list(c, l, func(c *coder, e *ACLEntry) { e.code(c) }) })
	dict(c, t.quotas, slot, func(c *coder, q **quota) {
		if c.reading {
			*q = &quota{}
		}
		for _, v := range []*int64{&(*q).names, &(*q).space, &(*q).usedNames, &(*q).usedSpace} {
			num(c, v)
		}
	})
	dict(c, t.hidden, slot, slot)
	dict(c, t.leases, text, num[int64])
	dict(c, t.open, slot, text)
	dict(c, t.jobs, text, (*coder).uint64)
	list(c, &t.dropped, func(c *coder, d *dropped) { c.uint64(&d.id); num(c, &d.time) })
	list(c, &t.history.ring, func(c *coder, o *outcome) { o.code(c) })
	c.uint64(&t.granted)
	dict(c, t.grants, (*coder).uint64, func(c *coder, g *Grant) { g.code(c) })
}

// Restore implements journal.State.
func (t *Tree) Restore(snapshot io.Reader) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
	if snapshot == nil {
		return nil
	}
	if err := t.load(bufio.NewReaderSize(snapshot, 1<<20)); err != nil {
		t.clear()
		return fmt.Errorf("checkpoint of a namespace: %w", err)
	}
	return nil
}

func (t *Tree) load(in *bufio.Reader) error {
	t.inodes, t.names, t.people = slab[inode]{}, arena{}, table{}
	chunk, err := nextChunk(in)
	if err != nil {
		return err
	}
	c := coder{buf: chunk, reading: true}
	t.codeHead(&c)
	if err := c.end("head"); err != nil {
		return err
	}
	old := c.noCRCs
	people := t.people.names
	t.people.names = nil
	for _, p := range people {
		t.people.intern(p)
	}
	for {
		if chunk, err = nextChunk(in); err != nil {
			return err
		}
		if len(chunk) == 0 {
			break
		}
		if err := t.loadInodes(chunk, old); err != nil {
			return err
		}
	}
	if chunk, err = nextChunk(in); err != nil {
		return err
	}
	c = coder{buf: chunk, reading: true}
	t.codeRest(&c)
	if err := c.end("rest"); err != nil {
		return err
	}
	outcomes := t.history.ring
	t.history = history{}
	for _, o := range outcomes {
		t.history.add(o)
	}
	return t.join()
}

func nextChunk(in *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, err
	}
	if n > maxChunk {
		return nil, fmt.Errorf("a chunk of %d bytes", n)
	}
	var b strings.Builder // grows with what is really there
	if _, err := io.CopyN(&b, in, int64(n)); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

func (t *Tree) loadInodes(chunk []byte, noCRCs bool) error {
	c := coder{buf: chunk, reading: true, noCRCs: noCRCs}
	for len(c.buf) > 0 {
		var s stored
		s.code(&c)
		if c.err != nil {
			return c.err
		}
		n := &s.inode
		n.first, n.last = none, none
		known := uint32(len(t.people.names))
		switch {
		case n.id == 0 || n.owner >= known || n.group >= known:
			return fmt.Errorf("inode %d belongs to %d and %d of %d", n.id, n.owner, n.group, known)
		case len(s.name) > MaxName || strings.ContainsAny(s.name, "/\x00") || (s.name == "") != (t.inodes.len() == 0):
			return fmt.Errorf("inode %d has the name %q", n.id, s.name)
		}
		if !n.is(isDir) {
			n.size = 0
		}
		n.setName(t.names.add(s.name))
		slot := t.inodes.add(*n)
		t.addTail(slot, s.blocks)
	}
	return nil
}

var errTree = errors.New("the inodes are not one tree")

// join links restored inodes, counts what can be counted, and checks that they are one tree.
func (t *Tree) join() error {
	if t.inodes.next <= rootSlot || t.inodes.get(rootSlot).parent != none || !t.inodes.get(rootSlot).is(isDir) {
		return errTree
	}
	above := map[uint32]uint32{}
	for dir, hidden := range t.hidden {
		above[hidden] = dir
		if !t.live(dir) || !t.live(hidden) || t.inodes.get(hidden).parent != dir || !t.inodes.get(dir).is(isDir) {
			return errTree
		}
	}
	for slot := t.inodes.next - 1; slot >= rootSlot; slot-- {
		n := t.inodes.edit(slot)
		if n.is(isDir) {
			n.size = 0
		}
		if _, isHidden := above[slot]; slot == rootSlot || isHidden {
			continue
		}
		if !t.live(n.parent) || !t.inodes.get(n.parent).is(isDir) {
			return errTree
		}
		name := t.nameOf(slot)
		if t.child(n.parent, name) != none {
			return errTree
		}
		t.index.insert(slot, t.at(n.parent, name))
	}
	return t.recount()
}

func (t *Tree) live(slot uint32) bool {
	return slot >= rootSlot && slot < t.inodes.next && t.inodes.get(slot).id != 0
}

// recount counts the children of directories and the sharers of blocks.
func (t *Tree) recount() error {
	for slot := rootSlot; slot < t.inodes.next; slot++ {
		n := t.inodes.get(slot)
		if n.parent != none && n.parent != t.hiddenAbove(slot) {
			t.inodes.edit(n.parent).size++
		}
	}
	for slot := range t.open {
		if !t.live(slot) || t.inodes.get(slot).is(isDir) {
			return errTree
		}
	}
	if t.reachable(rootSlot) != t.inodes.len() {
		return errTree
	}
	holders := map[uint64]bool{}
	if len(t.hidden) == 0 {
		return nil // only snapshots share blocks
	}
	for slot := rootSlot; slot < t.inodes.next; slot++ {
		for _, b := range t.blocksOf(t.inodes.get(slot)) {
			if holders[b.ID] {
				t.shared[b.ID]++
			}
			holders[b.ID] = true
		}
	}
	return nil
}

// hiddenAbove returns the directory of a hidden directory of snapshots, none for everything else.
func (t *Tree) hiddenAbove(slot uint32) uint32 {
	if dir := t.inodes.get(slot).parent; t.hidden[dir] == slot {
		return dir
	}
	return none
}

// reachable counts an inode and all that hangs on it.
func (t *Tree) reachable(slot uint32) int {
	n := 1
	if h, ok := t.hidden[slot]; ok {
		n += t.reachable(h)
	}
	t.children(slot, "", func(kid uint32) bool {
		n += t.reachable(kid)
		return true
	})
	return n
}
