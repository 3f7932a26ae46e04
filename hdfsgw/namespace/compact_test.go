package namespace

import (
	"slices"
	"testing"
)

func TestCompact(t *testing.T) {
	made := func() *Tree {
		tree := New(Options{})
		must(t, tree, Request{Op: OpCreate, Path: "/f", Blocks: []Block{{ID: 1, Length: 1}, {ID: 2, Length: 2},
			{ID: 3, Length: 3}, {ID: 4, Length: 4}}, Close: true, Replication: 1})
		return tree
	}
	ids := func(tree *Tree) (all []uint64) {
		_, blocks, err := tree.Blocks(root, "/f")
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			all = append(all, b.ID)
		}
		return all
	}
	for _, c := range []struct {
		old    string
		length int64
		want   []uint64
	}{
		{"2,3", 5, []uint64{1, 9, 4}}, {"1,2,3,4", 10, []uint64{9}}, {"4", 4, []uint64{1, 2, 3, 9}},
		{"1", 1, []uint64{9, 2, 3, 4}},
		{"2,3", 4, nil}, {"2,4", 6, nil}, {"3,4,5", 7, nil}, {"", 1, nil}, {"7", 1, nil},
	} {
		tree := made()
		_, err := tree.execute(&Request{Op: OpCompact, Caller: root, Path: "/f", Value: c.old,
			Blocks: []Block{{ID: 9, Length: c.length}}})
		if want := c.want; want == nil {
			if err == nil || !slices.Equal(ids(tree), []uint64{1, 2, 3, 4}) || len(tree.dropped) > 0 {
				t.Errorf("%+v: %v, %v", c, ids(tree), err)
			}
			continue
		}
		if err != nil || !slices.Equal(ids(tree), c.want) || len(tree.dropped) != 4-len(c.want)+1 {
			t.Errorf("%+v: %v, %v", c, ids(tree), err)
		}
		must(t, tree, Request{Op: OpAppend, Path: "/f", Blocks: []Block{{ID: 10, Length: 1}}, Close: true}) // finds the end
		if got := ids(tree); !slices.Equal(got, append(slices.Clone(c.want), 10)) {
			t.Errorf("%+v: %v after appending", c, got)
		}
	}
	if _, err := made().execute(&Request{Op: OpCompact, Path: "/f", Value: "1",
		Blocks: []Block{{ID: 9, Length: 1}}}); err == nil {
		t.Error("anybody can do it")
	}
}
