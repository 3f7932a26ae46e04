package fsck

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// world is a namespace and its store.
type world struct {
	t     *testing.T
	st    *mem.Store
	tree  *namespace.Tree
	names *namespace.Service
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, st: mem.New(), tree: namespace.New(namespace.Options{})}
	leader, err := journal.Lead(t.Context(), w.st, "journal", w.tree, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := leader.Close(); err != nil {
			t.Error(err)
		}
	})
	w.names = namespace.NewService(w.tree, leader, nil)
	return w
}

func (w *world) do(r namespace.Request) {
	w.t.Helper()
	r.Caller = namespace.Caller{User: "root", Super: true}
	if _, err := w.names.Do(w.t.Context(), r); err != nil {
		w.t.Fatal(err)
	}
}

// file makes a file of blocks of 4 bytes and returns them.
func (w *world) file(path, text string) []namespace.Block {
	w.t.Helper()
	blocks, err := block.Copy(w.t.Context(), w.st, strings.NewReader(text), 4, w.names.NewBlock)
	if err != nil {
		w.t.Fatal(err)
	}
	w.do(namespace.Request{Op: namespace.OpCreate, Path: path, Blocks: blocks, Close: true, Replication: 1, BlockSize: 4})
	return blocks
}

func (w *world) put(id uint64, text string) {
	w.t.Helper()
	if err := store.Put(w.t.Context(), w.st, block.ObjectName(id), []byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) check(o Options) Report {
	w.t.Helper()
	r, err := Check(w.t.Context(), w.st, w.tree, w.names.Epoch(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// whys are the problems, by path.
func whys(r Report) map[string]string {
	all := map[string]string{}
	for _, p := range r.Problems {
		all[p.Path] += p.Why + ";"
	}
	return all
}

func TestHealthy(t *testing.T) {
	w := newWorld(t)
	w.file("/a/b", "0123456789")
	w.file("/c", "")
	w.do(namespace.Request{Op: namespace.OpAllowSnapshot, Path: "/a"})
	w.do(namespace.Request{Op: namespace.OpCreateSnapshot, Path: "/a", Name: "s"}) // shares the blocks
	r := w.check(Options{Verify: true})
	if !r.Healthy() || r.Files != 3 || r.Blocks != 6 || r.Read != 10 || r.Orphans != 0 || r.Objects != 3 {
		t.Errorf("%+v", r)
	}
	w.do(namespace.Request{Op: namespace.OpDelete, Path: "/c"})
	w.file("/d", "will go")
	w.do(namespace.Request{Op: namespace.OpDelete, Path: "/d"})
	if r := w.check(Options{}); r.Orphans != 0 {
		t.Errorf("dropped blocks are no orphans: %+v", r)
	}
}

func TestProblems(t *testing.T) {
	w := newWorld(t)
	gone, short, other := w.file("/in/gone", "0123456789"), w.file("/in/short", "0123"), w.file("/other", "0123")
	truncated := w.file("/in/truncated", "0123")
	if err := block.Delete(t.Context(), w.st, gone[1].ID); err != nil {
		t.Fatal(err)
	}
	w.put(short[0].ID, "01")
	w.put(other[0].ID, "0124")
	w.do(namespace.Request{Op: namespace.OpTruncate, Path: "/in/truncated", Length: 2})
	w.put(truncated[0].ID, "01") // as much as the file still needs
	want := map[string]string{"/in/gone": "there is no such object;", "/in/short": "it has 2 bytes, the file needs 4;"}
	if d := cmp.Diff(want, whys(w.check(Options{}))); d != "" {
		t.Error(d)
	}
	want["/in/short"] += "2 bytes are missing at the end;"
	if d := cmp.Diff(want, whys(w.check(Options{Verify: true, Path: "/in"}))); d != "" {
		t.Error(d)
	}
	want["/other"] = "checksum differs;"
	if d := cmp.Diff(want, whys(w.check(Options{Verify: true}))); d != "" {
		t.Error(d)
	}
	// Readers see it, too, and get no bytes that are wrong.
	var out bytes.Buffer
	if err := block.Write(t.Context(), w.st, &out, other, 0, 4); err == nil || out.Len() > 0 {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// TestFilesComeAndGo has a file appear when the objects were listed, and go, with its object, before that is looked
// for.
func TestFilesComeAndGo(t *testing.T) {
	w := newWorld(t)
	var late []namespace.Block
	st := around.New(w.st, func(_ context.Context, c around.Call, do func([]byte) (int, error)) (int, error) {
		if c.Op == around.Stat {
			w.do(namespace.Request{Op: namespace.OpDelete, Path: "/late"})
			if err := block.Delete(t.Context(), w.st, late[0].ID); err != nil {
				t.Error(err)
			}
		}
		n, err := do(c.Data)
		if c.Op == around.List {
			late = w.file("/late", "0123")
		}
		return n, err
	})
	r, err := Check(t.Context(), st, w.tree, w.names.Epoch(), Options{})
	if err != nil || !r.Healthy() || r.Blocks != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestOrphans holds which orphans go: old ones, of earlier leaders.
func TestOrphans(t *testing.T) {
	w := newWorld(t)
	w.file("/a", "0123")
	earlier, mine := (w.names.Epoch()-1)<<32|7, w.names.NewBlock()
	w.put(earlier, "left")
	w.put(mine, "under way")
	if err := store.Put(t.Context(), w.st, "blocks/note", []byte("not ours")); err != nil {
		t.Fatal(err)
	}
	later := func() time.Time { return time.Now().Add(25 * time.Hour) }
	for i, o := range []Options{{}, {Delete: true}, {Now: later}} {
		if r := w.check(o); r.Orphans != 2 || r.Deleted != 0 || r.OrphanBytes != 13 || !r.Healthy() {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if r := w.check(Options{Delete: true, Now: later}); r.Deleted != 1 {
		t.Errorf("%+v", r)
	}
	if r := w.check(Options{}); r.Orphans != 1 || r.Lost[0].Object != string(block.ObjectName(mine)) {
		t.Errorf("%+v", r)
	}
}

// TestRate reads half a megabyte more than is let through at once, at four megabytes a second.
func TestRate(t *testing.T) {
	w := newWorld(t)
	blocks, err := block.Copy(t.Context(), w.st, bytes.NewReader(make([]byte, 3<<19)), 1<<20, w.names.NewBlock)
	if err != nil {
		t.Fatal(err)
	}
	w.do(namespace.Request{Op: namespace.OpCreate, Path: "/f", Blocks: blocks, Close: true, Replication: 1,
		BlockSize: 1 << 20})
	begun := time.Now()
	w.check(Options{Verify: true, Rate: 4 << 20})
	if d := time.Since(begun); d < 100*time.Millisecond {
		t.Error("it took", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Check(ctx, w.st, w.tree, w.names.Epoch(), Options{Verify: true, Rate: 1}); err == nil {
		t.Error("it went on without a context")
	}
}

// TestSharedObjects deletes files whose blocks share an object, one by one: it is an orphan when all are gone, and then
// is deleted by the leader that made it, too.
func TestSharedObjects(t *testing.T) {
	w := newWorld(t)
	first, ok := w.names.NewPack()
	if !ok {
		t.Fatal("no ids")
	}
	if err := store.Put(t.Context(), w.st, block.ObjectName(first), make([]byte, namespace.PackSlot+10)); err != nil {
		t.Fatal(err)
	}
	for i, path := range []string{"/a", "/b", "/short"} {
		b := namespace.Block{ID: first + uint64(min(i, 1)), Length: 10 + int64(i/2)}
		w.do(namespace.Request{Op: namespace.OpCreate, Path: path, Blocks: []namespace.Block{b}, Close: true, Replication: 1,
			BlockSize: 1 << 20})
	}
	check := func(corrupt, orphans, deleted int) {
		t.Helper()
		tomorrow := func() time.Time { return time.Now().Add(25 * time.Hour) }
		r, err := Check(t.Context(), w.st, w.tree, w.names.Epoch(), Options{Delete: true, Now: tomorrow})
		if err != nil || r.Corrupt != corrupt || r.Missing != 0 || r.Orphans != orphans || r.Deleted != deleted {
			t.Errorf("%+v, %v", r, err)
		}
	}
	check(1, 0, 0)
	w.do(namespace.Request{Op: namespace.OpDelete, Path: "/a"})
	check(1, 0, 0)
	w.do(namespace.Request{Op: namespace.OpDelete, Path: "/short"})
	check(0, 0, 0)
	w.do(namespace.Request{Op: namespace.OpDelete, Path: "/b"})
	check(0, 0, 0) // somebody may still read it
	w.do(namespace.Request{Op: namespace.OpReclaimed, Length: 10})
	check(0, 1, 1)
}
