package namespace

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDiffPages compares with what a NameNode listed for the same changes, whatever a page holds.
func TestDiffPages(t *testing.T) {
	tree := New(Options{})
	file := func(path string) {
		t.Helper()
		must(t, tree, Request{Op: OpCreate, Path: path, Close: true, Replication: 1, BlockSize: 1})
	}
	must(t, tree, Request{Op: OpMkdirs, Path: "/d/old", Perm: 0o755})
	for _, path := range []string{"/d/f", "/d/gone", "/d/old/moved"} {
		file(path)
	}
	must(t, tree, Request{Op: OpAllowSnapshot, Path: "/d"})
	must(t, tree, Request{Op: OpCreateSnapshot, Path: "/d", Name: "s"})
	must(t, tree, Request{Op: OpRename, Path: "/d/f", Dest: "/d/g"})
	must(t, tree, Request{Op: OpRename, Path: "/d/old/moved", Dest: "/d/kept"})
	must(t, tree, Request{Op: OpDelete, Path: "/d/old", Recursive: true})
	must(t, tree, Request{Op: OpDelete, Path: "/d/gone"})
	must(t, tree, Request{Op: OpMkdirs, Path: "/d/sub/x", Perm: 0o755})
	ids := map[string]uint64{}
	for _, path := range []string{"/d", "/d/g", "/d/kept", "/d/sub", "/d/.snapshot/s/old", "/d/.snapshot/s/gone"} {
		s, err := tree.Status(root, path)
		if err != nil {
			t.Fatal(err)
		}
		ids[path] = s.ID
	}
	d := ids["/d"]
	want := DiffPage{Next: -1,
		Modified: []DiffEntry{{File: d, Dir: d, Reference: true}},
		Created: []DiffEntry{{Path: "g", File: ids["/d/g"], Dir: d, Reference: true},
			{Path: "kept", File: ids["/d/kept"], Dir: d}, {Path: "sub", File: ids["/d/sub"], Dir: d}},
		Deleted: []DiffEntry{{Path: "f", Target: "g", File: ids["/d/g"], Dir: d, Reference: true},
			{Path: "gone", File: ids["/d/.snapshot/s/gone"], Dir: d}, {Path: "old", File: ids["/d/.snapshot/s/old"], Dir: d}},
	}
	for _, limit := range []int{1, 2, 3, 7, 100} {
		got, pages := DiffPage{}, 0
		for got.Next >= 0 {
			page, err := tree.DiffPage(root, "/d", "s", "", got.Next, limit)
			if err != nil {
				t.Fatal(err)
			}
			got.Modified = append(got.Modified, page.Modified...)
			got.Created = append(got.Created, page.Created...)
			got.Deleted = append(got.Deleted, page.Deleted...)
			got.Next = page.Next
			pages++
		}
		if diff := cmp.Diff(want, got); diff != "" || pages != (7+limit-1)/limit {
			t.Errorf("%d pages of %d:\n%s", pages, limit, diff)
		}
	}
	if _, err := tree.DiffPage(root, "/d/sub", "s", "", 0, 1); !isOf(err, Snapshot) {
		t.Error(err)
	}
}
