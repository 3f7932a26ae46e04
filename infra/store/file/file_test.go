package file_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/storetest"
)

func open(t testing.TB, root string, opts file.Options) *file.Store {
	t.Helper()
	st, err := file.New(root, opts)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func put(t testing.TB, st store.Store, name store.Name, data string, opts ...store.CreateOption) {
	t.Helper()
	if err := store.Put(t.Context(), st, name, []byte(data), opts...); err != nil {
		t.Fatal(err)
	}
}

func list(t testing.TB, st store.Store, prefix string) (names []string) {
	t.Helper()
	for info, err := range st.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, string(info.Name))
	}
	return names
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		root := filepath.Join(t.TempDir(), "made", "by New")
		t.Cleanup(func() {
			for _, e := range walk(t, root) {
				if strings.Contains(e, ".runner-tmp-") {
					t.Errorf("a temporary file stayed: %s", e)
				}
			}
		})
		return open(t, root, file.Options{})
	})
}

// walk returns every path below root, past the driver.
func walk(t *testing.T, root string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, _ os.DirEntry, err error) error {
		paths = append(paths, p)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return paths
}

// An absolute URI is a name in the store whose root is "/".
func TestRootOfTheMachine(t *testing.T) {
	dir := t.TempDir()
	st := open(t, "/", file.Options{KeepDirs: true})
	name := store.Name(strings.TrimPrefix(dir, "/")).Join("d/a")
	put(t, st, name, "absolute")
	if data, err := os.ReadFile(filepath.Join(dir, "d", "a")); err != nil || string(data) != "absolute" {
		t.Errorf("%q, %v", data, err)
	}
	if got := list(t, st, string(name[:len(name)-1])); !slices.Equal(got, []string{string(name)}) {
		t.Errorf("listed %q", got)
	}
	if err := st.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "d")); err != nil {
		t.Errorf("KeepDirs: %v", err)
	}
}

func TestDirectoriesGoWithTheirLastObject(t *testing.T) {
	root := t.TempDir()
	st := open(t, root, file.Options{})
	put(t, st, "a/b/one", "x")
	put(t, st, "a/b/c/two", "x")
	for _, name := range []store.Name{"a/b/c/two", "a/b/one"} {
		if err := st.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	w, err := st.Create(t.Context(), "d/e/f")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := walk(t, root); !slices.Equal(got, []string{root}) {
		t.Errorf("left: %q", got)
	}
}

func TestWhatIsNoObject(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	st := open(t, root, file.Options{})
	put(t, st, "dir/file", "x")
	for link, target := range map[string]string{
		"link": "dir/file", "dangling": "nowhere", "linkdir": "dir", "loop": "loop", "out": elsewhere,
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(root, "loop")); err != nil { // listed in a test of its own, below
		t.Fatal(err)
	}
	if got, want := list(t, st, ""), []string{"dir/file", "link"}; !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	if got, want := list(t, st, "linkdir/"), []string{"linkdir/file"}; !slices.Equal(got, want) {
		t.Errorf("a link to a directory that the prefix names: %q, want %q", got, want)
	}
	for _, name := range []store.Name{"pipe", "empty", "dir", "dangling", "out"} {
		if _, err := st.Stat(t.Context(), name); !errors.Is(err, errs.NotFound) {
			t.Errorf("stat %s: %v", name, err)
		}
		if _, err := st.Open(t.Context(), name, store.Range{}); !errors.Is(err, errs.NotFound) {
			t.Errorf("open %s: %v", name, err)
		}
	}
	if err := st.Delete(t.Context(), "pipe"); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(root, "pipe")); err != nil {
		t.Errorf("Delete removed what is no object: %v", err)
	}
}

// Input that can't be listed is told, not skipped.
func TestListTellsWhatItCannotShow(t *testing.T) {
	t.Run("name that is not UTF-8", func(t *testing.T) {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "a\xff"), nil, 0o600); err != nil {
			t.Skipf("this file system has no such names: %v", err)
		}
		wantListError(t, open(t, root, file.Options{}), "", errs.Invalid, `a?`)
	})
	t.Run("link to itself", func(t *testing.T) {
		root := t.TempDir()
		if err := os.Symlink("loop", filepath.Join(root, "loop")); err != nil {
			t.Fatal(err)
		}
		wantListError(t, open(t, root, file.Options{}), "", errs.Invalid, "loop")
	})
}

func wantListError(t *testing.T, st store.Store, prefix string, kind errs.Kind, text string) {
	t.Helper()
	for _, err := range st.List(t.Context(), prefix) {
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want kind %v and %q in it", err, kind, text)
		}
		return
	}
	t.Error("the listing is empty and silent")
}

func TestNamesOfTemporaryFilesAreRefused(t *testing.T) {
	st := open(t, t.TempDir(), file.Options{})
	for _, name := range []store.Name{".runner-tmp-x", "a/.runner-tmp-x", ".runner-tmp-x/a"} {
		if err := store.Put(t.Context(), st, name, nil); !errors.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	put(t, st, "a.runner-tmp-x", "only the beginning of a component counts")
}

func TestSweep(t *testing.T) {
	root := t.TempDir()
	st := open(t, root, file.Options{})
	put(t, st, "d/object", "x")
	for name, age := range map[string]time.Duration{
		"d/.runner-tmp-old": 3 * time.Hour, "d/.runner-tmp-new": 0,
		"e/.runner-tmp-old": 3 * time.Hour, "d/object": 3 * time.Hour,
	} {
		path := filepath.Join(root, name)
		then := time.Now().Add(-age)
		err := errors.Join(
			os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600), os.Chtimes(path, then, then),
		)
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := list(t, st, ""); !slices.Equal(got, []string{"d/object"}) {
		t.Errorf("temporary files are listed: %q", got)
	}
	if err := st.Sweep(t.Context(), "", time.Hour); err != nil {
		t.Fatal(err)
	}
	want := []string{root, root + "/d", root + "/d/.runner-tmp-new", root + "/d/object"}
	if got := walk(t, root); !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
}

// A store at work is swept without harm to fresh writers, and directories that come and go under Create do it none.
func TestCreateBesideDelete(t *testing.T) {
	st := open(t, t.TempDir(), file.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	deleted := make(chan error)
	go func() {
		defer close(deleted)
		for ctx.Err() == nil {
			if err := st.Delete(context.WithoutCancel(ctx), "a/b/c/theirs"); err != nil {
				deleted <- err
				return
			}
			if err := store.Put(context.WithoutCancel(ctx), st, "a/b/c/theirs", nil); err != nil {
				deleted <- err
				return
			}
		}
	}()
	for i := range 300 {
		put(t, st, "a/b/c/mine", fmt.Sprint(i))
		if got, err := store.Get(ctx, st, "a/b/c/mine", 10); err != nil || string(got) != fmt.Sprint(i) {
			t.Fatalf("%d: %q, %v", i, got, err)
		}
		if err := st.Delete(ctx, "a/b/c/mine"); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-deleted; err != nil {
		t.Error(err)
	}
}

// What Open returns reads at any offset, and keeps the old bytes when the object is replaced and deleted.
func TestReaders(t *testing.T) {
	st := open(t, t.TempDir(), file.Options{})
	put(t, st, "a", "0123456789")
	for r, want := range map[store.Range]string{{}: "56", {Offset: 2, Length: 6}: "78"[:1]} {
		rd, err := st.Open(t.Context(), "a", r)
		if err != nil {
			t.Fatal(err)
		}
		defer rd.Close()
		put(t, st, "a", "replaced")
		if err := st.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		at, ok := rd.(io.ReaderAt)
		if !ok {
			t.Fatalf("%T can't read at an offset", rd)
		}
		got := make([]byte, len(want))
		if _, err := at.ReadAt(got, 5); err != nil || string(got) != want {
			t.Errorf("range %+v at 5: %q, %v, want %q", r, got, err, want)
		}
		put(t, st, "a", "0123456789")
	}
}

// A version has the time of its writing, though the clock of the file system stands still for some milliseconds: within
// them an inode may be used again, and then nothing else would tell two versions apart.
func TestModifiedIsExact(t *testing.T) {
	st := open(t, t.TempDir(), file.Options{})
	for range 20 {
		before := time.Now()
		put(t, st, "a", "x")
		info, err := st.Stat(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if info.Modified.Before(before) {
			t.Fatalf("modified %v before it was", before.Sub(info.Modified))
		}
	}
}

func TestRootMustBeADirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{path, path + "/below"} {
		if _, err := file.New(root, file.Options{}); err == nil {
			t.Errorf("%s is no directory, and is taken for one", root)
		}
	}
}

func BenchmarkCreate(b *testing.B) {
	data := storetest.Pattern(4096, 1)
	for _, opts := range [][]store.CreateOption{nil, {store.IfAbsent()}} {
		b.Run(fmt.Sprintf("IfAbsent=%t", opts != nil), func(b *testing.B) {
			st := open(b, b.TempDir(), file.Options{})
			var took []time.Duration
			for b.Loop() {
				begin := time.Now()
				name := store.Name(fmt.Sprintf("log/%d", len(took)))
				if err := store.Put(b.Context(), st, name, data, opts...); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	st := open(b, b.TempDir(), file.Options{})
	const size = 256 << 20
	put(b, st, "large", string(storetest.Pattern(size, 1)))
	for _, r := range []store.Range{{}, {Offset: 1 << 20, Length: size - 2<<20}} {
		b.Run(fmt.Sprintf("Offset=%d", r.Offset), func(b *testing.B) {
			buf := make([]byte, 1<<20)
			for b.Loop() {
				rd, err := st.Open(b.Context(), "large", r)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{rd}, buf)
				if err := errors.Join(err, rd.Close()); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(n)
			}
		})
	}
}
