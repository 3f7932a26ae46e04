package namespace

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// all of a tree, for comparing.
type all struct {
	names  string
	inodes []inode
	beside [8]any
}

func allOf(tree *Tree) all {
	a := all{names: tree.asModel(), beside: [8]any{maps.Clone(tree.xattrs), maps.Clone(tree.acls), maps.Clone(tree.quotas),
		maps.Clone(tree.hidden), maps.Clone(tree.leases), maps.Clone(tree.open), maps.Clone(tree.jobs),
		slices.Clone(tree.dropped)}}
	for slot := rootSlot; slot < tree.inodes.next; slot++ {
		a.inodes = append(a.inodes, *tree.inodes.get(slot))
	}
	return a
}

// foreseeable reports whether what is or is not at the path of a request is enough to answer it.
func foreseeable(tree *Tree, r *Request) bool {
	p, err := tree.changeable(&r.Caller, r.Path)
	there := err == nil && p.slot != none
	switch r.Op {
	case OpRenewLease, OpExpireLeases, OpReclaimed, OpBatchCommit, OpGrant, OpRenewGrant, OpCancelGrant, OpAddBlocks:
		return false
	case OpMkdirs:
		return there
	case OpCreate:
		return there && !r.Overwrite && !tree.inodes.get(p.slot).is(isOpen)
	}
	return !there
}

// TestForesee holds, for random operations of all kinds, that what is foreseen changes nothing and is what would have
// come, and that what can be foreseen is.
func TestForesee(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	pick := func(of ...string) string { return of[chance.IntN(len(of))] }
	paths := []string{"/", "/a", "/a/b", "/a/b/c", "/d", "/d/e", "/a/.snapshot/s/b", "/a/../b", "x", "/a:b"}
	tree := New(Options{})
	steps := 2000
	if testing.Short() {
		steps = 400
	}
	for i := range steps {
		r := Request{Op: opNone + 1 + Op(chance.IntN(int(numOps)-1)), Time: int64(i), Path: pick(paths...),
			Dest: pick(paths...), Caller: Caller{User: pick("root", "alice", "bob")}, Perm: uint16(chance.IntN(0o1777)),
			Holder: pick("h1", "h2", ""), Overwrite: chance.IntN(2) == 0, Recursive: chance.IntN(4) == 0,
			Close: chance.IntN(3) > 0, NoParents: chance.IntN(4) == 0, Name: pick("s", "user.x", ""), OldName: "s",
			Replication: 1, BlockSize: 1,
			Job: pick("j1", "j2"), Owner: "alice", Policy: "HOT", ACL: []ACLEntry{{Name: "bob", Access: 7}}, Create: true,
			Sources: []string{pick(paths...)}, Dests: []string{pick(paths...)}, File: firstID + uint64(chance.IntN(20))}
		r.Caller.Super = r.Caller.User == "root"
		before, able := allOf(tree), foreseeable(tree, &r)
		result, err, known := tree.foresee(&r)
		if !reflect.DeepEqual(before, allOf(tree)) {
			t.Fatalf("foreseeing %+v changed the tree", r)
		}
		after, afterErr := tree.execute(&r)
		if able && !known {
			t.Fatalf("%+v was not foreseen; came %+v, %v", r, after, afterErr)
		}
		if !known {
			continue
		}
		if result != after || !reflect.DeepEqual(err, afterErr) || !reflect.DeepEqual(before, allOf(tree)) {
			t.Fatalf("%+v: foreseen %+v, %v; came %+v, %v", r, result, err, after, afterErr)
		}
	}
}

// TestBlocksOfAMovedFileAreForeseenByNobody adds to a file that was moved while it is written. It is found by its id,
// so that nothing is at its old path does not mean that nothing changes.
func TestBlocksOfAMovedFileAreForeseenByNobody(t *testing.T) {
	tree := New(Options{})
	root := Caller{User: "root", Super: true}
	made, err := tree.execute(&Request{Op: OpCreate, Path: "/a", Holder: "h", Caller: root})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.execute(&Request{Op: OpRename, Path: "/a", Dest: "/b", Caller: root}); err != nil {
		t.Fatal(err)
	}
	before := allOf(tree)
	add := Request{Op: OpAddBlocks, Path: "/a", Holder: "h", File: made.FileID, Caller: root,
		Blocks: []Block{{ID: 1, Length: 5}}}
	if result, err, known := tree.foresee(&add); known || !reflect.DeepEqual(before, allOf(tree)) {
		t.Errorf("%+v, %v, known: %v", result, err, known)
	}
	if _, err := tree.execute(&add); err != nil {
		t.Error(err)
	}
	if s, err := tree.Status(root, "/b"); err != nil || s.Length != 5 {
		t.Errorf("%+v, %v", s, err)
	}
}
