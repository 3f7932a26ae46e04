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

// TestForesee holds, for random operations of all kinds, that what is foreseen changes nothing and is what would have
// come, and that a good part of what is refused is foreseen.
func TestForesee(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	pick := func(of ...string) string { return of[chance.IntN(len(of))] }
	paths := []string{"/", "/a", "/a/b", "/a/b/c", "/d", "/d/e", "/a/.snapshot/s/b", "/a/../b", "x", "/a:b"}
	tree := New(Options{})
	foreseen, refused := 0, 0
	steps := 2000
	if testing.Short() {
		steps = 400
	}
	for i := range steps {
		r := Request{Op: opNone + 1 + Op(chance.IntN(int(numOps)-1)), Time: int64(i), Path: pick(paths...),
			Dest: pick(paths...), Caller: Caller{User: pick("root", "alice", "bob")}, Perm: uint16(chance.IntN(0o1777)),
			Holder: pick("h1", "h2"), Overwrite: chance.IntN(2) == 0, Recursive: chance.IntN(4) == 0, Close: chance.IntN(3) > 0,
			NoParents: chance.IntN(4) == 0, Name: pick("s", "user.x", ""), OldName: "s", Replication: 1, BlockSize: 1,
			Job: pick("j1", "j2"), Owner: "alice", Policy: "HOT", ACL: []ACLEntry{{Name: "bob", Access: 7}}, Create: true,
			Sources: []string{pick(paths...)}, Dests: []string{pick(paths...)}}
		r.Caller.Super = r.Caller.User == "root"
		before := allOf(tree)
		result, err, known := tree.foresee(&r)
		if !reflect.DeepEqual(before, allOf(tree)) {
			t.Fatalf("foreseeing %+v changed the tree", r)
		}
		after, afterErr := tree.execute(&r)
		if afterErr != nil {
			refused++
		}
		if !known {
			continue
		}
		foreseen++
		if result != after || !reflect.DeepEqual(err, afterErr) || !reflect.DeepEqual(before, allOf(tree)) {
			t.Fatalf("%+v: foreseen %+v, %v; came %+v, %v", r, result, err, after, afterErr)
		}
	}
	if foreseen < refused/2 {
		t.Errorf("%d foreseen, %d refused", foreseen, refused)
	}
}
