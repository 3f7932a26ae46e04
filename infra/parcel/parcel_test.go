package parcel

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// takeText writes what a parcel has into one file.
func takeText(in io.Reader, folder string) error {
	return Create(in, filepath.Join(folder, "text"), 0o600)
}

func TestSentIsFetchedOnce(t *testing.T) {
	st, into := mem.New(), filepath.Join(t.TempDir(), "parcels")
	f, err := Spool(func(w io.Writer) error { _, err := io.WriteString(w, "hello"); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // only read
	sum, err := Send(t.Context(), st, "p", f)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Send(t.Context(), st, "p", strings.NewReader("hello")); err != nil || again != sum {
		t.Errorf("the same bytes are %s, then %s, %v", sum, again, err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			folder, err := Fetch(t.Context(), st, Source{"p", sum}, into, takeText)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := os.ReadFile(filepath.Join(folder, "text")); err != nil || string(got) != "hello" {
				t.Errorf("fetched %q, %v", got, err)
			}
		})
	}
	all.Wait()
	if err := st.Delete(t.Context(), store.Name("p").Join(sum)); err != nil {
		t.Fatal(err)
	}
	if _, err := Fetch(t.Context(), st, Source{"p", sum}, into, takeText); err != nil {
		t.Errorf("what is there is fetched once more: %v", err)
	}
	if left, err := os.ReadDir(into); err != nil || len(left) != 1 {
		t.Errorf("there are %v, %v", left, err)
	}
}

func TestSpoolFails(t *testing.T) {
	said := errors.New("said")
	if _, err := Spool(func(io.Writer) error { return said }); !errors.Is(err, said) {
		t.Errorf("got %v", err)
	}
}

// TestDamaged parcels are refused whole, and leave nothing.
func TestDamaged(t *testing.T) {
	st, into := mem.New(), t.TempDir()
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	if err := store.Put(t.Context(), st, store.Name("p").Join(a), []byte("something else")); err != nil {
		t.Fatal(err)
	}
	for sum, kind := range map[string]errs.Kind{a: errs.Corrupt, b: errs.NotFound, "../" + a[3:]: errs.Invalid,
		"": errs.Invalid} {
		if got, err := Fetch(t.Context(), st, Source{"p", sum}, into, takeText); !errors.Is(err, kind) {
			t.Errorf("%q: %q, %v", sum, got, err)
		}
	}
	if left, err := os.ReadDir(into); err != nil || len(left) > 0 {
		t.Errorf("there are %v, %v", left, err)
	}
}

func TestUnpackRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		files []tar.Header
		left  int
	}{
		"what leads out":    {[]tar.Header{{Name: "../evil"}}, 0},
		"links":             {[]tar.Header{{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "/etc"}}, 0},
		"more than allowed": {[]tar.Header{{Name: "a", Size: 2*block + 1}}, 0},
		"too many files":    {[]tar.Header{{Name: "a"}, {Name: "b"}, {Name: "c"}}, 2},
	} {
		var archive bytes.Buffer
		w := tar.NewWriter(&archive)
		for _, h := range c.files {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(make([]byte, h.Size)); err != nil {
				t.Fatal(err)
			}
		}
		folder := t.TempDir()
		if err := Unpack(&archive, folder, 2*block); err == nil {
			t.Errorf("%s: it was unpacked", name)
		}
		if left, err := os.ReadDir(folder); err != nil || len(left) != c.left {
			t.Errorf("%s: there are %v, %v", name, left, err)
		}
	}
}
