package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/cache"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/infra/store/storetest"
)

// TestStore holds that what may not be kept passes by unchanged.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return open(t, mem.New(), t.TempDir(), cache.Options{Prefix: "kept/"})
	})
}

func open(t *testing.T, st store.Store, dir string, o cache.Options) *cache.Store {
	t.Helper()
	c, err := cache.New(st, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// source is a store of one object whose openings are counted.
func source(t *testing.T, size int) (st store.Store, data []byte, opened *atomic.Int64) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{byte(size)})
	data = make([]byte, size)
	random.Read(data)
	opened = new(atomic.Int64)
	st = around.New(mem.New(), func(_ context.Context, c around.Call, do func([]byte) (int, error)) (int, error) {
		if c.Op == around.Open {
			opened.Add(1)
		}
		return do(c.Data)
	})
	if err := store.Put(t.Context(), st, "a", data); err != nil {
		t.Fatal(err)
	}
	return st, data, opened
}

// read reads a range in one of two ways.
func read(t *testing.T, st store.Store, r store.Range, send bool) []byte {
	t.Helper()
	rd, err := st.Open(t.Context(), "a", r)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if send {
		_, err = rd.(io.WriterTo).WriteTo(&out)
	} else {
		_, err = io.Copy(&out, struct{ io.Reader }{rd})
	}
	if err := errors.Join(err, rd.Close()); err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	return out.Bytes()
}

// files returns the paths of the pieces on disk.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRangesAreFetchedOnce(t *testing.T) {
	const mib = 1 << 20
	for _, size := range []int{0, 1, 65536, mib - 1, mib, mib + 1, 3*mib + 5} {
		st, data, opened := source(t, size)
		dir := t.TempDir()
		c := open(t, st, dir, cache.Options{})
		ranges := []store.Range{{Offset: 5, Length: 10}, {Offset: mib - 1, Length: 2}, {Offset: 65530, Length: 70000},
			{Offset: int64(size)}, {Offset: 2 * mib}, {Offset: 0, Length: int64(size)}, {}, {Offset: 1, Length: 1 << 62}}
		for round := range 3 {
			if round == 2 { // another process
				c.Close()
				c = open(t, st, dir, cache.Options{})
			}
			before := opened.Load()
			for i, r := range ranges {
				c.Flush()
				begin, end := r.Bounds(int64(size))
				if got := read(t, c, r, i%2 == round%2); !bytes.Equal(got, data[begin:end]) {
					t.Fatalf("size %d, %v: other bytes (%d, not %d)", size, r, len(got), end-begin)
				}
			}
			beyond := int64(0) // what lies in none of the object's pieces is asked for each time
			for _, r := range ranges {
				if r.Offset/mib > int64(size-1)/mib {
					beyond++
				}
			}
			// So is the end of an object that ends where a piece does.
			if n := opened.Load() - before; round > 0 && size%mib != 0 && n != beyond {
				t.Errorf("size %d, round %d: opened %d times", size, round, n)
			}
		}
	}
}

func TestDamageIsFetchedAgain(t *testing.T) {
	st, data, opened := source(t, 3<<20|100)
	dir := t.TempDir()
	c := open(t, st, dir, cache.Options{})
	read(t, c, store.Range{}, false)
	c.Flush()
	for i, path := range files(t, dir) {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Fatal(info.Mode(), err)
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		end := len(whole)
		for at, cut := range map[int]bool{0: i%2 == 0, 10: false, 99: true, end / 2: i%2 == 1, end - 12: false, end - 9: true,
			end - 8: false, end - 4: false, end - 1: true} {
			other := bytes.Clone(whole)
			if other[at] ^= 1; cut {
				other = other[:at]
			}
			if err := os.WriteFile(path, other, 0o600); err != nil {
				t.Fatal(err)
			}
			before := opened.Load()
			if got := read(t, c, store.Range{}, at%4 < 2); !bytes.Equal(got, data) {
				t.Fatalf("byte %d of %s: wrong bytes are served", at, path)
			}
			c.Flush()
			if opened.Load() != before+1 {
				t.Fatalf("byte %d of %s: fetched %d times", at, path, opened.Load()-before)
			}
		}
	}
	if err := os.RemoveAll(filepath.Dir(files(t, dir)[0])); err != nil { // somebody tidied up
		t.Fatal(err)
	}
	for range 2 {
		c.Flush()
		if got := read(t, c, store.Range{}, false); !bytes.Equal(got, data) {
			t.Error("other bytes")
		}
	}
}

func TestTheLimitHolds(t *testing.T) {
	st := mem.New()
	dir := t.TempDir()
	const limit = 3 << 20
	c := open(t, st, dir, cache.Options{Limit: limit})
	for i := range 40 {
		name := store.Name(fmt.Sprint(i))
		if err := store.Put(t.Context(), st, name, make([]byte, 300<<10)); err != nil {
			t.Fatal(err)
		}
		for _, name := range []store.Name{name, "0"} { // 0 is always of use
			if _, err := store.Get(t.Context(), c, name, 1<<20); err != nil {
				t.Fatal(err)
			}
			c.Flush()
		}
		var sum int64
		for _, path := range files(t, dir) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			sum += info.Size()
		}
		if sum > limit {
			t.Fatalf("after %d objects there are %d bytes", i+1, sum)
		}
	}
	if n := len(files(t, dir)); n < 8 {
		t.Errorf("%d pieces are kept, there is room for 9", n)
	}
	if err := st.Delete(t.Context(), "0"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(t.Context(), c, "0", 1<<20); err != nil {
		t.Error("what was always of use has gone:", err)
	}
	if err := c.Delete(t.Context(), "0"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(t.Context(), c, "0", 1<<20); !errors.Is(err, errs.NotFound) {
		t.Error("after Delete:", err)
	}
}

func TestOneProcessPerDirectory(t *testing.T) {
	dir := t.TempDir()
	c := open(t, mem.New(), dir, cache.Options{})
	if _, err := cache.New(mem.New(), dir, cache.Options{}); !errors.Is(err, errs.Exist) {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, mem.New(), dir, cache.Options{})
}

// TestShared: what one of several caches of a directory has read the others need not fetch, whatever comes and goes.
func TestShared(t *testing.T) {
	st, data, opened := source(t, 3<<20+5)
	dir := t.TempDir()
	a, b := open(t, st, dir, cache.Options{Shared: true}), open(t, st, dir, cache.Options{Shared: true})
	for _, c := range []*cache.Store{a, b, a} {
		if got := read(t, c, store.Range{}, false); !bytes.Equal(got, data) {
			t.Fatal("other bytes")
		}
		c.Flush()
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	damaged := files(t, dir)[1]
	if err := os.WriteFile(damaged, []byte("not what it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(t, b, store.Range{}, true); !bytes.Equal(got, data) {
		t.Error("damage is served")
	}
	b.Flush()
	a.Forget("a")
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("%q are not forgotten", left)
	}
	if got := read(t, b, store.Range{}, false); !bytes.Equal(got, data) {
		t.Error("other bytes, now that they were forgotten elsewhere")
	}
}

// TestSharedLimit: writers that do not know of each other keep the one limit, and nobody is served what is not there.
func TestSharedLimit(t *testing.T) {
	st := mem.New()
	const limit, objects, size = 1 << 20, 40, 50 << 10
	for i := range objects + 1 {
		if err := store.Put(t.Context(), st, store.Name(fmt.Sprint(i)), bytes.Repeat([]byte{byte(i)}, size)); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	unfinished := filepath.Join(dir, "00", ".new-of-another")
	if err := errors.Join(os.Mkdir(filepath.Dir(unfinished), 0o700), os.WriteFile(unfinished, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 3 {
		c := open(t, st, dir, cache.Options{Limit: limit, Shared: true})
		all.Go(func() {
			for i := range objects {
				got, err := store.Get(t.Context(), c, store.Name(fmt.Sprint(i)), 1<<20)
				if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, size)) {
					t.Errorf("object %d: %d bytes, %v", i, len(got), err)
				}
			}
			c.Flush()
		})
	}
	all.Wait()
	if _, err := os.Stat(unfinished); err != nil {
		t.Error("what another process is writing was removed:", err)
	}
	last := open(t, st, dir, cache.Options{Limit: limit, Shared: true}) // which looks at its first piece
	if _, err := store.Get(t.Context(), last, store.Name(fmt.Sprint(objects)), 1<<20); err != nil {
		t.Fatal(err)
	}
	last.Flush()
	var sum int64
	for _, path := range files(t, dir) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	if sum > limit || sum < limit/2 {
		t.Errorf("%d bytes are kept of %d", sum, limit)
	}
}

func TestAFullDiskDoesNoHarm(t *testing.T) {
	st, data, _ := source(t, 100)
	dir := filepath.Join(t.TempDir(), "gone")
	c := open(t, st, dir, cache.Options{})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // where nothing can be written, whoever we are
		t.Fatal(err)
	}
	if got := read(t, c, store.Range{}, false); !bytes.Equal(got, data) {
		t.Error("other bytes")
	}
}

func TestManyReaders(t *testing.T) {
	st, data, _ := source(t, 4<<20|1)
	c := open(t, st, t.TempDir(), cache.Options{Limit: 2 << 20}) // so that pieces come and go
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 10 {
				r := store.Range{Offset: int64(i*j) << 15, Length: 1<<20 + int64(j)}
				begin, end := r.Bounds(int64(len(data)))
				if got := read(t, c, r, i%2 == 0); !bytes.Equal(got, data[begin:end]) {
					t.Errorf("%v: other bytes", r)
				}
			}
		})
	}
	all.Wait()
}
