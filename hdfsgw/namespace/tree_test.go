package namespace

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store/mem"
)

var root = Caller{User: "root", Super: true}

// do executes a request as the journal would.
func do(t interface {
	Helper()
	Fatal(...any)
}, tree *Tree, r Request) (Result, error) {
	t.Helper()
	if r.Caller.User == "" {
		r.Caller = root
	}
	r.ID = fmt.Sprint(tree.history.next, len(tree.history.ring), r.Op)
	delete(tree.history.byID, r.ID)
	if err := tree.Apply(r.encode()); err != nil {
		t.Fatal(err)
	}
	result, err, known := tree.Outcome(r.ID)
	if !known {
		t.Fatal("the outcome is not known")
	}
	return result, err
}

// must is do for what has to succeed.
func must(t *testing.T, tree *Tree, r Request) {
	t.Helper()
	if result, err := do(t, tree, r); err != nil || !result.OK {
		t.Fatalf("%+v: %v, %v", r, result, err)
	}
}

// dump prints all that a tree holds, in an order of its own.
func dump(t *Tree) string {
	var lines []string
	t.walk(rootSlot, "", func(slot uint32, path string) {
		n := t.inodes.get(slot)
		lines = append(lines, fmt.Sprint("/", path, t.status(slot), t.blocksOf(n), t.acls[slot], t.xattrs[slot],
			t.open[slot]))
		if h, ok := t.hidden[slot]; ok {
			t.walk(h, path+"/.snapshot", func(slot uint32, path string) {
				lines = append(lines, fmt.Sprint("/", path, t.status(slot), t.blocksOf(t.inodes.get(slot))))
			})
		}
		if q, ok := t.quotas[slot]; ok {
			lines = append(lines, fmt.Sprint("quota ", path, *q))
		}
	})
	lines = append(lines, fmt.Sprint(t.leases, t.jobs, t.granted, t.grants, t.dropped, t.shared, t.nextID,
		t.history.oldestFirst()))
	return strings.Join(lines, "\n")
}

// restored returns the tree that a checkpoint of t makes.
func restored(t interface{ Fatal(...any) }, tree *Tree) *Tree {
	w, err := tree.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	again := New(Options{})
	if err := again.Restore(&b); err != nil {
		t.Fatal(err)
	}
	return again
}

// model is a file system as a map: path to length, directories -1.
type model map[string]int64

func (m model) under(dir string) (below []string) {
	for path := range m {
		if strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/") && path != "/" {
			below = append(below, path)
		}
	}
	return below
}

func up(path string) string {
	if p := parentOf(path); p != "" {
		return p
	}
	return "/"
}

// makeDirs is mkdir -p, or false if a file is in the way.
func (m model) makeDirs(dir string) bool {
	if n, ok := m[dir]; ok {
		return n < 0
	}
	if !m.makeDirs(up(dir)) {
		return false
	}
	m[dir] = -1
	return true
}

func (m model) create(path string, length int64) bool {
	if _, ok := m[path]; ok || path == "/" {
		return false
	}
	if !m.makeDirs(up(path)) {
		return false
	}
	m[path] = length
	return true
}

func (m model) rename(src, dst string) bool {
	if _, ok := m[src]; !ok || src == "/" {
		return false
	}
	if n, ok := m[dst]; ok && n < 0 && src != dst {
		dst = strings.TrimSuffix(dst, "/") + "/" + baseOf(src)
	}
	if src == dst {
		return m[src] >= 0
	}
	if _, ok := m[dst]; ok || strings.HasPrefix(dst, src+"/") {
		return false
	}
	if n, ok := m[up(dst)]; !ok || n >= 0 {
		return false
	}
	for _, path := range append(m.under(src), src) {
		m[dst+strings.TrimPrefix(path, src)] = m[path]
		delete(m, path)
	}
	return true
}

func (m model) remove(path string, recursive bool) bool {
	below := m.under(path)
	if _, ok := m[path]; !ok || path == "/" || len(below) > 0 && !recursive {
		return false
	}
	for _, p := range append(below, path) {
		delete(m, p)
	}
	return true
}

func (m model) dump() string {
	var lines []string
	for path, n := range m {
		lines = append(lines, fmt.Sprint(path, " ", n))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (t *Tree) asModel() string {
	m := model{}
	t.walk(rootSlot, "", func(slot uint32, path string) {
		if n := t.inodes.get(slot); n.is(isDir) {
			m["/"+path] = -1
		} else {
			m["/"+path] = n.size
		}
	})
	return m.dump()
}

func TestTreeIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree, m := New(Options{}), model{"/": -1}
		names := rapid.SampledFrom([]string{"/a", "/b", "/a/b", "/a/b/c", "/b/a", "/b/a/d", "/c", "/a/b/c/d", "/", "/é"})
		id := uint64(1)
		var frozen []func()
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if diff := cmp.Diff(m.dump(), tree.asModel()); diff != "" {
					t.Fatal(diff)
				}
			},
			"mkdirs": func(t *rapid.T) {
				p := names.Draw(t, "path")
				r, err := do(t, tree, Request{Op: OpMkdirs, Path: p, Perm: 0o755})
				if want := m.makeDirs(p); (err == nil && r.OK) != want {
					t.Fatal(p, r, err, want)
				}
			},
			"create": func(t *rapid.T) {
				p, n := names.Draw(t, "path"), rapid.Int64Range(1, 9).Draw(t, "length")
				id++
				r, err := do(t, tree, Request{Op: OpCreate, Path: p, Close: true, Replication: 1,
					Blocks: []Block{{ID: id, Length: n}}})
				if want := m.create(p, n); (err == nil && r.OK) != want {
					t.Fatal(p, r, err, want)
				}
			},
			"rename": func(t *rapid.T) {
				from, to := names.Draw(t, "from"), names.Draw(t, "to")
				r, err := do(t, tree, Request{Op: OpRename, Path: from, Dest: to})
				if want := m.rename(from, to); (err == nil && r.OK) != want {
					t.Fatal(from, to, r, err, want)
				}
			},
			"delete": func(t *rapid.T) {
				p, all := names.Draw(t, "path"), rapid.Bool().Draw(t, "recursive")
				r, err := do(t, tree, Request{Op: OpDelete, Path: p, Recursive: all})
				if want := m.remove(p, all); (err == nil && r.OK) != want {
					t.Fatal(p, r, err, want)
				}
			},
			"snapshot": func(t *rapid.T) {
				w, err := tree.Snapshot() // written after further changes
				if err != nil {
					t.Fatal(err)
				}
				before := dump(tree)
				frozen = append(frozen, func() {
					var b bytes.Buffer
					again := New(Options{})
					if _, err := w.WriteTo(&b); err != nil {
						t.Fatal(err)
					}
					if err := again.Restore(&b); err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(before, dump(again)); diff != "" {
						t.Fatal(diff)
					}
				})
			},
		})
		for _, check := range frozen {
			check()
		}
	})
}

// TestIndexIsASortedSet drives the index through splits and merges.
func TestIndexIsASortedSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x index
		at := func(v uint32) order { return func(s uint32) int { return int(s) - int(v) } }
		set := map[uint32]bool{}
		values := rapid.SliceOfN(rapid.Uint32Range(1, 600), 300, 3000).Draw(t, "values")
		for _, v := range values {
			if set[v] {
				x.remove(at(v))
			} else {
				x.insert(v, at(v))
			}
			set[v] = !set[v]
			if got := x.find(at(v)); (got == v) != set[v] {
				t.Fatal(v, got)
			}
		}
		var want, got []uint32
		for v, in := range set {
			if in && v >= 100 {
				want = append(want, v)
			}
		}
		slices.Sort(want)
		x.ascend(at(100), func(v uint32) bool { got = append(got, v); return true })
		if !slices.Equal(got, want) {
			t.Fatal(got, want)
		}
	})
}

// TestEverythingSurvives takes a tree with one of everything through a checkpoint and through the log.
func TestEverythingSurvives(t *testing.T) {
	tree := New(Options{})
	block := []Block{{ID: 7, Length: 10, MD5: [16]byte{1}}, {ID: 8, Length: 10}}
	requests := []Request{
		{Op: OpMkdirs, Path: "/d/e", Perm: 0o1777},
		{Op: OpCreate, Path: "/d/f", Perm: 0o644, Replication: 3, BlockSize: 10, Blocks: block, Close: true},
		{Op: OpSetQuota, Path: "/d", NameQuota: 100, SpaceQuota: 1000},
		{Op: OpAllowSnapshot, Path: "/d"},
		{Op: OpCreateSnapshot, Path: "/d", Name: "s1"},
		{Op: OpAppend, Path: "/d/f", Holder: "w1"},
		{Op: OpAddBlocks, Path: "/d/f", Holder: "w1", Blocks: []Block{{ID: 9, Length: 5}}, Close: true},
		{Op: OpTruncate, Path: "/d/f", Length: 15},
		{Op: OpCreate, Path: "/d/open", Holder: "w2", Replication: 1, BlockSize: 1},
		{Op: OpCreate, Path: "/d/g", Replication: 1, Blocks: []Block{{ID: 10, Length: 1}}, Close: true},
		{Op: OpConcat, Path: "/d/f", Sources: []string{"/d/g"}},
		{Op: OpSetXAttr, Path: "/d/f", Name: "user.x", Value: "\x00", Create: true},
		{Op: OpModifyACL, Path: "/d", ACL: []ACLEntry{{Default: true, Kind: ACLUser, Name: "bob", Access: 7}}},
		{Op: OpCreate, Path: "/d/h", Perm: 0o640, Replication: 1, BlockSize: 1, Close: true},
		{Op: OpSetOwner, Path: "/d/h", Owner: "alice", Group: "staff"},
		{Op: OpMkdirs, Path: "/job/tmp", Perm: 0o755},
		{Op: OpCreate, Path: "/job/tmp/0", Replication: 1, Blocks: []Block{{ID: 11, Length: 1}}, Close: true},
		{Op: OpBatchCommit, Path: "/job/out", Job: "j1", Epoch: 3, Sources: []string{"/job/tmp/0"},
			Dests: []string{"/job/out/part-0"}, Blocks: []Block{{ID: 12, Length: 2}}, Replication: 1},
		{Op: OpDelete, Path: "/job/tmp", Recursive: true},
	}
	for i, r := range requests {
		r.Time = int64(1000 + i)
		must(t, tree, r)
	}
	if diff := cmp.Diff(dump(tree), dump(restored(t, tree))); diff != "" {
		t.Error(diff)
	}
	_, blocks, err := tree.Blocks(root, "/d/.snapshot/s1/f")
	if err != nil || !slices.Equal(blocks, block) {
		t.Error("the snapshot has", blocks, err)
	}
	_, blocks, err = tree.Blocks(root, "/d/f")
	if want := []Block{block[0], {ID: 8, Length: 5}, {ID: 10, Length: 1}}; err != nil || !slices.Equal(blocks, want) {
		t.Error("the file has", blocks, err, "and not", want)
	}
	must(t, tree, Request{Op: OpBatchCommit, Path: "/job/out", Job: "j1"}) // done already
	if got := tree.Dropped(1<<60, 10); !slices.Equal(got, []uint64{9}) {
		t.Error("dropped:", got)
	}
	must(t, tree, Request{Op: OpDelete, Path: "/d/f"})
	must(t, tree, Request{Op: OpDeleteSnapshot, Path: "/d", Name: "s1"})
	if got := tree.Dropped(1<<60, 10); !slices.Equal(got, []uint64{9, 10, 7, 8}) {
		t.Error("dropped:", got)
	}
}

func TestBatchCommitIsAllOrNothing(t *testing.T) {
	tree := New(Options{})
	for i, path := range []string{"/t/0", "/t/1", "/out/part-1"} {
		must(t, tree, Request{Op: OpCreate, Path: path, Replication: 1, Close: true,
			Blocks: []Block{{ID: uint64(i + 1), Length: 1}}})
	}
	before := tree.asModel()
	_, err := do(t, tree, Request{Op: OpBatchCommit, Path: "/out", Job: "j", Sources: []string{"/t/0", "/t/1"},
		Dests: []string{"/out/part-0", "/out/part-1"}})
	if err == nil || tree.asModel() != before {
		t.Error("something moved:", err, tree.asModel())
	}
}

func TestServiceRepeatsOutcomes(t *testing.T) {
	tree, st := New(Options{}), mem.New()
	leader, err := journal.Lead(t.Context(), st, "ns", tree, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := NewService(tree, leader, nil)
	r := Request{Op: OpMkdirs, ID: "op1", Caller: root, Path: "/a", Perm: 0o755}
	for range 2 {
		if result, err := s.Do(t.Context(), r); err != nil || !result.OK {
			t.Fatal(result, err)
		}
	}
	bad := Request{Op: OpCreate, ID: "op2", Caller: root, Path: "/a", Close: true}
	_, first := s.Do(t.Context(), bad)
	if err := leader.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := leader.Close(); err != nil {
		t.Fatal(err)
	}
	again := New(Options{})
	if _, err := journal.Read(t.Context(), st, "ns", again, journal.Options{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(dump(tree), dump(again)); diff != "" {
		t.Error(diff)
	}
	if _, err, known := again.Outcome("op2"); !known || err.Error() != first.Error() {
		t.Error(err, first)
	}
}

// TestBytesPerFile holds what the package comment promises.
func TestBytesPerFile(t *testing.T) {
	const files = 200_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	tree := New(Options{})
	for i := range files {
		r := Request{Op: OpCreate, Caller: root, Path: fmt.Sprintf("/d%03d/part-%05d", i%100, i), Perm: 0o644, Replication: 1,
			BlockSize: 128 << 20, Close: true, Blocks: []Block{{ID: uint64(i + 1), Length: 1}}}
		if err := tree.Apply(r.encode()); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := float64(after.HeapAlloc-before.HeapAlloc) / files
	t.Logf("%.0f bytes per file of one block", per)
	if per > 150 {
		t.Errorf("%.0f bytes per file, 150 allowed", per)
	}
	runtime.KeepAlive(tree)
}

func FuzzApply(f *testing.F) {
	f.Add((&Request{Op: OpMkdirs, Path: "/a/b", Perm: 0o755, Caller: root}).encode(), []byte("x"))
	f.Add((&Request{Op: OpBatchCommit, Path: "/", Job: "j", Sources: []string{"/x"}, Dests: []string{"/y"},
		Caller: root}).encode(),
		(&Request{Op: OpSetACL, Path: "/x", ACL: []ACLEntry{{Kind: ACLMask}}}).encode())
	f.Fuzz(func(t *testing.T, one, two []byte) {
		tree := New(Options{})
		create := Request{Op: OpCreate, Path: "/x", Caller: root, Close: true, Blocks: []Block{{ID: 1, Length: 5}}}
		for _, record := range [][]byte{create.encode(), one, two} {
			if err := tree.Apply(record); err != nil {
				continue // malformed
			}
			restored(t, tree)
		}
	})
}

func FuzzRestore(f *testing.F) {
	tree := New(Options{})
	for _, r := range []Request{
		{Op: OpMkdirs, Path: "/a/b", Caller: root}, {Op: OpAllowSnapshot, Path: "/a", Caller: root},
		{Op: OpCreate, Path: "/a/f", Caller: root, Holder: "h", Blocks: []Block{{ID: 1, Length: 1}}},
		{Op: OpCreateSnapshot, Path: "/a", Name: "s", Caller: root},
	} {
		if err := tree.Apply(r.encode()); err != nil {
			f.Fatal(err)
		}
	}
	w, err := tree.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		tree := New(Options{})
		if tree.Restore(bytes.NewReader(data)) == nil {
			tree.walk(rootSlot, "", func(slot uint32, _ string) { tree.status(slot) })
			r := Request{Op: OpDelete, Path: "/a", Recursive: true, Caller: root}
			if err := tree.Apply(r.encode()); err != nil {
				t.Fatal(err)
			}
		}
	})
}
