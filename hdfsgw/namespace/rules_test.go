package namespace

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// step is a request and the class of the refusal that it meets, nil if it is done.
type step struct {
	Request
	refusal *Class
}

func run(t *testing.T, tree *Tree, steps []step) {
	t.Helper()
	for i, s := range steps {
		_, err := do(t, tree, s.Request)
		if s.refusal == nil && err != nil || s.refusal != nil && !isOf(err, *s.refusal) {
			t.Fatalf("step %d, %+v: %v", i, s.Request, err)
		}
	}
}

// sized makes a file of so many bytes.
func sized(path string, id uint64, length int64) Request {
	return Request{Op: OpCreate, Path: path, Replication: 2, BlockSize: 100, Perm: 0o644, Close: true,
		Blocks: []Block{{ID: id, Length: length}}}
}

// TestQuotasHold meets quotas wherever something grows: when files are made, written, moved, joined and copied more
// often. What is refused has changed nothing, and what goes makes room.
func TestQuotasHold(t *testing.T) {
	names, space := new(NSQuotaExceeded), new(DSQuotaExceeded)
	open := Request{Op: OpCreate, Path: "/q/open", Holder: "me", Replication: 2, BlockSize: 100}
	grow := func(id uint64, length int64) Request {
		return Request{Op: OpAddBlocks, Path: "/q/open", Holder: "me", Blocks: []Block{{ID: id, Length: length}}}
	}
	tree := New(Options{})
	run(t, tree, []step{
		{Request{Op: OpMkdirs, Path: "/q/d", Perm: 0o755}, nil},
		{Request{Op: OpSetQuota, Path: "/q", NameQuota: 4, SpaceQuota: 100}, nil}, // itself, d, and two more
		{open, nil},
		{grow(1, 30), nil},
		{grow(2, 30), space}, // in the midst of writing
		{Request{Op: OpCreate, Path: "/q/x/y", Replication: 1, Close: true}, names},
		{sized("/q/f", 3, 21), space},
		{sized("/q/f", 3, 20), nil},
		{Request{Op: OpMkdirs, Path: "/q/d/e"}, names},
		{Request{Op: OpSetReplication, Path: "/q/f", Replication: 3}, space},
		{Request{Op: OpAppend, Path: "/q/f", Blocks: []Block{{ID: 4, Length: 1}}, Close: true}, space},
		{sized("/out", 5, 1), nil},
		{Request{Op: OpRename, Path: "/out", Dest: "/q/d/in"}, names},
		{Request{Op: OpRename2, Path: "/out", Dest: "/q/d/in"}, names},
		{Request{Op: OpRename, Path: "/q/f", Dest: "/q/d/f"}, nil}, // as many as before
		{Request{Op: OpRename2, Path: "/out", Dest: "/q/d/f", Overwrite: true}, nil},
		{grow(6, 20), space},
		{grow(6, 19), nil},
		{Request{Op: OpTruncate, Path: "/q/open", Length: 0}, new(AlreadyBeingCreated)},
		{Request{Op: OpAddBlocks, Path: "/q/open", Holder: "me", Close: true}, nil},
		{Request{Op: OpTruncate, Path: "/q/open", Length: 10}, nil},
		{Request{Op: OpCreate, Path: "/q/d/f", Overwrite: true, Replication: 2, Close: true,
			Blocks: []Block{{ID: 7, Length: 40}}}, nil},
	})
}

// TestWhatASnapshotHasStays moves and deletes what is in a snapshot, to and from another directory with snapshots.
func TestWhatASnapshotHasStays(t *testing.T) {
	tree := New(Options{})
	snapshot := new(Snapshot)
	run(t, tree, []step{
		{Request{Op: OpMkdirs, Path: "/a/sub", Perm: 0o755}, nil}, {Request{Op: OpMkdirs, Path: "/b", Perm: 0o755}, nil},
		{sized("/a/sub/f", 1, 10), nil},
		{Request{Op: OpAllowSnapshot, Path: "/a"}, nil}, {Request{Op: OpAllowSnapshot, Path: "/b"}, nil},
		{Request{Op: OpCreateSnapshot, Path: "/a", Name: "s"}, nil},
		{Request{Op: OpCreateSnapshot, Path: "/b", Name: "s"}, nil},
		{Request{Op: OpRename2, Path: "/a/sub", Dest: "/b/sub"}, nil}, // out of one and into the other
		{Request{Op: OpCreateSnapshot, Path: "/b", Name: "t"}, nil},
		{Request{Op: OpRename2, Path: "/b", Dest: "/c"}, snapshot},
		{Request{Op: OpDelete, Path: "/a", Recursive: true}, snapshot},
		{Request{Op: OpRename2, Path: "/b/sub", Dest: "/b/.snapshot/x"}, new(SnapshotAccessControl)},
		{Request{Op: OpDelete, Path: "/a/.snapshot/s/sub/f"}, new(SnapshotAccessControl)},
		{Request{Op: OpMkdirs, Path: "/b/sub/.snapshot"}, new(SnapshotAccessControl)},
		{Request{Op: OpDelete, Path: "/b/sub", Recursive: true}, nil},
		{Request{Op: OpDisallowSnapshot, Path: "/b"}, snapshot},
	})
	for _, path := range []string{"/a/.snapshot/s/sub/f", "/b/.snapshot/t/sub/f"} {
		if _, blocks, err := tree.Blocks(root, path); err != nil || len(blocks) != 1 {
			t.Error(path, blocks, err)
		}
	}
	if _, err := tree.Status(root, "/b/.snapshot/s/sub"); !isOf(err, FileNotFound) {
		t.Error("a snapshot has what came after it:", err)
	}
	for i, path := range []string{"/a", "/b"} {
		if got := tree.Dropped(1<<60, 10); len(got) != 0 {
			t.Error(i, "dropped while a snapshot has it:", got)
		}
		must(t, tree, Request{Op: OpDeleteSnapshot, Path: path, Name: string("st"[i])})
	}
	if got := tree.Dropped(1<<60, 10); !slices.Equal(got, []uint64{1}) {
		t.Error("dropped:", got)
	}
}

// TestMasksAndInheritance gives a directory an ACL, and looks at what those below it let whom do.
func TestMasksAndInheritance(t *testing.T) {
	tree := New(Options{})
	entries := func(texts ...string) (list []ACLEntry) {
		for _, text := range texts {
			rest, isDefault := strings.CutPrefix(text, "default:")
			parts := strings.Split(rest, ":")
			access, ok := ParseAccess(parts[2])
			if !ok {
				t.Fatal(text)
			}
			kind := ACLKind(slices.Index(aclKindText[:], parts[0]))
			list = append(list, ACLEntry{isDefault, kind, parts[1], access})
		}
		return list
	}
	run(t, tree, []step{
		{Request{Op: OpMkdirs, Path: "/d", Perm: 0o750}, nil},
		{Request{Op: OpModifyACL, Path: "/d", ACL: entries("user:bob:rwx", "group:team:r-x", "default:user:bob:rwx",
			"default:group:team:r-x")}, nil},
		{Request{Op: OpMkdirs, Path: "/d/sub", Perm: 0o755, Unmasked: 0o777}, nil},
		{Request{Op: OpCreate, Path: "/d/sub/f", Perm: 0o640, Unmasked: 0o640, Replication: 1, Close: true}, nil},
		{Request{Op: OpModifyACL, Path: "/d/sub/f", ACL: entries("default:user:eve:rwx")}, new(ACL)},
		{Request{Op: OpSetACL, Path: "/d/sub/f", ACL: entries("user::rw-", "user:bob:rw-")}, new(ACL)},
	})
	bob, eve := Caller{User: "bob"}, Caller{User: "eve", Groups: []string{"team"}}
	for _, c := range []struct {
		path, acl  string
		bob, other Access
	}{
		{"/d", "user::rwx user:bob:rwx group::r-x group:team:r-x mask::rwx other::---", read | write | execute,
			read | execute},
		{"/d/sub", "user::rwx user:bob:rwx group::r-x group:team:r-x mask::rwx other::---", read | write | execute,
			read | execute},
		{"/d/sub/f", "user::rw- user:bob:rwx group::r-x group:team:r-x mask::r-- other::---", read, read},
	} {
		_, list, err := tree.ACL(root, c.path)
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, e := range tree.fullACL(mustFind(t, tree, c.path)) {
			if !e.Default {
				texts = append(texts, e.String())
			}
		}
		if got := strings.Join(texts, " "); got != c.acl {
			t.Errorf("%s has %s (%v)", c.path, got, list)
		}
		for _, a := range []Access{read, write, execute} {
			for who, may := range map[*Caller]Access{&bob: c.bob, &eve: c.other} {
				if err := tree.CheckAccess(*who, c.path, a); (err == nil) != (a&may != 0) {
					t.Errorf("%s, %v of %s: %v", who.User, a, c.path, err)
				}
			}
		}
	}
	// chmod changes the mask, not the owning group.
	run(t, tree, []step{{Request{Op: OpSetPermission, Path: "/d/sub/f", Perm: 0o600}, nil}})
	if err := tree.CheckAccess(bob, "/d/sub/f", read); !isOf(err, AccessControl) {
		t.Error("the mask lets bob read:", err)
	}
}

func mustFind(t *testing.T, tree *Tree, path string) uint32 {
	t.Helper()
	who := root
	p, err := tree.existing(&who, path, noFile)
	if err != nil {
		t.Fatal(err)
	}
	return p.slot
}

// TestAttributesHaveTheirNamespaces holds who may set, see and remove which attributes.
func TestAttributesHaveTheirNamespaces(t *testing.T) {
	tree := New(Options{})
	bob, eve := Caller{User: "bob"}, Caller{User: "eve"}
	set := func(who Caller, path, name string) Request {
		return Request{Op: OpSetXAttr, Caller: who, Path: path, Name: name, Value: "v", Create: true}
	}
	denied, illegal := new(AccessControl), new(HadoopIllegalArgument)
	run(t, tree, []step{
		{Request{Op: OpCreate, Path: "/f", Perm: 0o644, Replication: 1, Close: true}, nil},
		{Request{Op: OpSetOwner, Path: "/f", Owner: "bob"}, nil},
		{set(bob, "/f", "user.a"), nil}, {set(eve, "/f", "user.b"), denied}, {set(bob, "/f", "trusted.a"), denied},
		{set(root, "/f", "trusted.a"), nil}, {set(root, "/f", "system.a"), denied}, {set(root, "/f", "raw.a"), denied},
		{set(root, "/f", "security.a"), denied}, {set(bob, "/f", "other.a"), illegal}, {set(bob, "/f", "user."), illegal},
		{Request{Op: OpRemoveXAttr, Caller: bob, Path: "/f", Name: "trusted.a"}, denied},
		{Request{Op: OpRemoveXAttr, Caller: eve, Path: "/f", Name: "user.a"}, denied},
	})
	for who, want := range map[*Caller]string{&root: "[trusted.a user.a]", &bob: "[user.a]", &eve: "[user.a]"} {
		list, err := tree.XAttrs(*who, "/f", nil)
		var names []string
		for _, x := range list {
			names = append(names, x.Name)
		}
		if err != nil || fmt.Sprint(names) != want {
			t.Errorf("%s sees %v, %v", who.User, names, err)
		}
	}
	run(t, tree, []step{{Request{Op: OpSetPermission, Path: "/f", Perm: 0o600}, nil}})
	if _, err := tree.XAttrs(eve, "/f", nil); !isOf(err, AccessControl) {
		t.Error("whoever may not read sees attributes:", err)
	}
	for i := range maxXAttrs - 2 {
		must(t, tree, set(bob, "/f", fmt.Sprint("user.n", i)))
	}
	if _, err := do(t, tree, set(bob, "/f", "user.more")); !isOf(err, IOException) {
		t.Error("more than are allowed:", err)
	}
}

// TestSnapshotDirsAreInOrder lists more of them than come in order by chance.
func TestSnapshotDirsAreInOrder(t *testing.T) {
	tree := New(Options{})
	want := []string{"/a-b", "/a/c", "/d", "/e/f", "/g", "/h"}
	for _, path := range want {
		must(t, tree, Request{Op: OpMkdirs, Path: path, Perm: 0o755})
		must(t, tree, Request{Op: OpAllowSnapshot, Path: path})
	}
	for range 20 {
		var got []string
		for _, d := range tree.SnapshotDirs(root) {
			got = append(got, join(d.Parent, d.Name))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q", got)
		}
	}
}
