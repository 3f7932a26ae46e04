package namespace

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBlocksWithoutCRCs reads a request and a checkpoint as they were written before blocks had CRCs.
func TestBlocksWithoutCRCs(t *testing.T) {
	want := Block{ID: 7, Length: 5, MD5: [16]byte{1, 2}}
	r := Request{Op: OpCreate, Path: "/f", Caller: root, Close: true, Blocks: []Block{want}}
	c := coder{buf: []byte{noCRCs}, noCRCs: true}
	r.code(&c)
	tree := New(Options{})
	if err := tree.Apply(c.buf); err != nil {
		t.Fatal(err)
	}
	var old []byte
	chunk := func(f func(*coder)) {
		c := coder{noCRCs: true}
		f(&c)
		old = append(binary.AppendUvarint(old, uint64(len(c.buf))), c.buf...)
	}
	chunk(func(c *coder) {
		tree.codeHead(c)
		c.buf[0] = noCRCs
	})
	chunk(func(c *coder) {
		for slot := rootSlot; slot < tree.inodes.next; slot++ {
			n := *tree.inodes.get(slot)
			(&stored{n, tree.nameOf(slot), tree.blocksOf(&n)}).code(c)
		}
	})
	chunk(func(*coder) {})
	chunk(tree.codeRest)
	restored := New(Options{})
	if err := restored.Restore(bytes.NewReader(old)); err != nil {
		t.Fatal(err)
	}
	for _, tree := range []*Tree{tree, restored} {
		if _, blocks, err := tree.Blocks(root, "/f"); err != nil || len(blocks) != 1 || blocks[0] != want {
			t.Error(blocks, err)
		}
	}
}

// TestRequestOfLaterVersion reads a request to which a later version has added a field.
func TestRequestOfLaterVersion(t *testing.T) {
	want := Request{Op: OpMkdirs, Path: "/a", Caller: root, Unmasked: 0o755}
	got, err := decode(append(want.encode(), 3, 'n', 'e', 'w'))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Error(diff)
	}
}
