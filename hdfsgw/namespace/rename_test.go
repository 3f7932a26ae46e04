package namespace

import (
	"fmt"
	"testing"
)

// TestRenameDoesNotLookBelow holds that renaming a directory touches as many records however much is below it.
func TestRenameDoesNotLookBelow(t *testing.T) {
	copied := func(files int) int {
		tree := New(Options{})
		for i := range files {
			must(t, tree, Request{Op: OpCreate, Path: fmt.Sprintf("/big/f%06d", i), Close: true, Replication: 1})
		}
		if _, err := tree.Snapshot(); err != nil { // from here on every page that changes is copied
			t.Fatal(err)
		}
		before := tree.inodes.snapshot()
		must(t, tree, Request{Op: OpRename, Path: "/big", Dest: "/moved"})
		n := 0
		for i, p := range tree.inodes.pages {
			if p != before.pages[i] {
				n++
			}
		}
		return n
	}
	if few, many := copied(10), copied(100_000); few != many {
		t.Errorf("%d pages change with few files below, %d with many", few, many)
	}
}
