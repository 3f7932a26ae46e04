package cache

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// entry is one thing in an archive; that of a link is what it leads to.
type entry struct {
	name, text string
	mode       fs.FileMode
	hard       bool
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: int64(e.mode.Perm()), Typeflag: tar.TypeReg, Size: int64(len(e.text))}
		switch {
		case e.hard:
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, e.text, 0
		case e.mode.IsDir():
			h.Typeflag = tar.TypeDir
		case e.mode&fs.ModeSymlink != 0:
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, e.text, 0
		case e.mode&fs.ModeNamedPipe != 0:
			h.Typeflag = tar.TypeFifo
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(e.text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(e.mode)
		out, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if e.mode.IsDir() {
			continue
		}
		if _, err := out.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpacked returns what an archive unpacks to: files with their texts, folders with a slash behind.
func unpacked(t *testing.T, name string, data []byte, o Options) (map[string]string, error) {
	t.Helper()
	s := newSite(t)
	s.put("home/"+name, data)
	job := s.job(scheduler.File{Name: "x", URI: "file:///home/" + name, Archive: true})
	dir := filepath.Join(t.TempDir(), "deep", "cache")
	paths, err := NewNode(dir, s.st, s.resolve, o).Files(t.Context(), job)
	if err != nil {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".new-") || strings.HasSuffix(e.Name(), ".tree") {
				t.Errorf("%s: left behind: %s", name, e.Name())
			}
		}
		if outside, _ := filepath.Glob(filepath.Join(dir, "..", "..", "*")); len(outside) != 1 {
			t.Errorf("%s: outside of it there is %q", name, outside)
		}
		return nil, err
	}
	all := map[string]string{}
	err = filepath.WalkDir(paths["x"], func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(paths["x"], p) // both are absolute
		switch {
		case err != nil || rel == ".":
			return err
		case d.IsDir():
			all[rel+"/"] = ""
		default:
			all[rel] = read(t, p)
		}
		return nil
	})
	return all, err
}

func TestUnpack(t *testing.T) {
	entries := []entry{
		{name: "./", mode: fs.ModeDir | 0o755}, {name: "./bin/run", text: "#!/bin/sh", mode: 0o755},
		{name: "deep/er/a.txt", text: "old", mode: 0o600}, {name: "deep/er/a.txt", text: "a", mode: 0o600},
		{name: "empty/", mode: fs.ModeDir | 0o700}, {name: "deep/link", text: "er/a.txt", mode: fs.ModeSymlink | 0o777},
		{name: "up", text: "deep/../bin/run", mode: fs.ModeSymlink | 0o777},
	}
	want := map[string]string{
		"bin/": "", "bin/run": "#!/bin/sh", "deep/": "", "deep/er/": "", "deep/er/a.txt": "a", "empty/": "", "deep/link": "a",
		"up": "#!/bin/sh",
	}
	plain := tarOf(t, entries...)
	for name, data := range map[string][]byte{
		"a.tar": plain, "a.tar.gz": gzipped(t, plain), "a.tgz": gzipped(t, plain),
		"a.zip": zipOf(t, entries...), "a.jar": zipOf(t, entries...),
	} {
		got, err := unpacked(t, name, data, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	hard := tarOf(t, entry{name: "a", text: "x"}, entry{name: "b/c", text: "a", hard: true})
	got, err := unpacked(t, "a.tar", hard, Options{})
	if err != nil || got["b/c"] != "x" {
		t.Errorf("a hard link: %v, %v", got, err)
	}
}

// TestUnsafeArchives: nothing gets out of the folder, and nothing fills the disk.
func TestUnsafeArchives(t *testing.T) {
	link := fs.ModeSymlink | 0o777
	long := strings.Repeat("x", 600)
	small := Options{MaxBytes: 1000, MaxEntries: 10}
	for what, entries := range map[string][]entry{
		"leads out":                   {{name: "../x", text: "y"}},
		"leads out ":                  {{name: "/etc/x", text: "y"}},
		"leads out  ":                 {{name: "a/../../x", text: "y"}},
		"leads out of its folder":     {{name: "a", text: "..", mode: link}},
		"leads out of its folder ":    {{name: "a", text: "/etc/passwd", mode: link}},
		"leads out of its folder  ":   {{name: "sub/d", text: "..", mode: link}, {name: "sub/e", text: "d/..", mode: link}},
		"leads out of its folder, or": {{name: "a", text: "b", mode: link}, {name: "b", text: "a", mode: link}},
		"escapes":                     {{name: "a", text: "../..", mode: link}, {name: "a/x", text: "y"}},
		"too much":                    {{name: "a", text: long}, {name: "b", text: long}},
		"too many files":              slices.Repeat([]entry{{name: "a"}}, 11),
	} {
		for name, data := range map[string][]byte{"a.tar": tarOf(t, entries...), "a.zip": zipOf(t, entries...)} {
			_, err := unpacked(t, name, data, small)
			if errs.KindOf(err) != errs.Invalid || !strings.Contains(fmt.Sprint(err), strings.TrimSpace(what)) {
				t.Errorf("%s: %v; want %s", name, err, what)
			}
		}
	}
	for what, data := range map[string][]byte{
		"neither file, folder nor link": tarOf(t, entry{name: "a", mode: fs.ModeNamedPipe | 0o600}),
		"which is no file before it":    tarOf(t, entry{name: "a", text: "../../etc/passwd", hard: true}),
		"cannot be unpacked":            []byte("no archive, but as long as the header of one" + strings.Repeat(" ", 1024)),
		"unexpected EOF":                tarOf(t, entry{name: "a", text: strings.Repeat("x", 900)})[:700],
	} {
		_, err := unpacked(t, "a.tar", data, small)
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(fmt.Sprint(err), what) {
			t.Errorf("%v; want %s", err, what)
		}
	}
	bomb := gzipped(t, tarOf(t, entry{name: "a", text: strings.Repeat("\x00", 1<<20)}))
	if _, err := unpacked(t, "a.tgz", bomb, small); !strings.Contains(fmt.Sprint(err), "too much") {
		t.Errorf("%d bytes that become a million: %v", len(bomb), err)
	}
}

// TestTreeDamage: what a program adds to a tree is left alone; what it spoils is unpacked anew by the next process.
func TestTreeDamage(t *testing.T) {
	s := newSite(t)
	s.put("home/a.zip", zipOf(t, entry{name: "m.py", text: "code", mode: 0o644}))
	job := s.job(scheduler.File{Name: "a", URI: "file:///home/a.zip", Archive: true})
	dir := t.TempDir()
	tree := func() string { return s.files(NewNode(dir, s.st, s.resolve, Options{}), job)["a"] }
	added := filepath.Join(tree(), "m.pyc")
	if err := os.WriteFile(added, []byte("compiled"), 0o600); err != nil {
		t.Fatal(err)
	}
	if read(t, filepath.Join(tree(), "m.pyc")) != "compiled" {
		t.Error("what was added is gone")
	}
	for _, spoil := range []func(){
		func() { overwrite(t, filepath.Join(tree(), "m.py"), "CODE") },
		func() { overwrite(t, filepath.Join(dir, "0.list"), "{") },
		func() {
			if err := os.RemoveAll(tree()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		spoil()
		if got := read(t, filepath.Join(tree(), "m.py")); got != "code" {
			t.Errorf("%q", got)
		}
	}
}

// FuzzUnpack: no archive makes unpacking panic or write outside. It unpacks alone, since what surrounds it syncs files:
// on a busy disk that takes longer than the ten seconds after which the fuzzer gives up on an input, without a word.
func FuzzUnpack(f *testing.F) {
	entries := []entry{
		{name: "a/b", text: "text", mode: 0o600}, {name: "c/", mode: fs.ModeDir | 0o755},
		{name: "l", text: "a/b", mode: fs.ModeSymlink | 0o777}, {name: "gone", text: "nowhere", mode: fs.ModeSymlink | 0o777},
		{name: "out", text: "../x", mode: fs.ModeSymlink | 0o777}, {name: "../y", text: "y", mode: 0o600},
	}
	f.Add(true, []byte("x"))
	f.Add(false, []byte("PK\x05\x06"+strings.Repeat("\x00", 18)))
	for n := range entries {
		f.Add(true, tarOf(f, entries[:n+1]...))
		f.Add(false, zipOf(f, entries[:n+1]...))
	}
	f.Fuzz(func(t *testing.T, isTar bool, data []byte) {
		dir, name := t.TempDir(), "a.zip"
		if isTar {
			name = "a.tar"
		}
		tree := filepath.Join(dir, "tree")
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name), data, 0o600), os.Mkdir(tree, 0o700)); err != nil {
			t.Fatal(err)
		}
		n := NewNode(dir, nil, nil, Options{MaxBytes: 1 << 16, MaxEntries: 100})
		sums, err := n.unpack(t.Context(), filepath.Join(dir, name), name, tree)
		if errs.KindOf(err) == errs.Other && err != nil {
			t.Fatal(err)
		}
		if outside, _ := filepath.Glob(filepath.Join(dir, "*")); len(outside) != 2 {
			t.Fatalf("outside of it there is %q", outside)
		}
		for file := range sums {
			if info, statErr := os.Lstat(filepath.Join(tree, file)); err == nil && (statErr != nil || !info.Mode().IsRegular()) {
				t.Fatalf("%q: %v, %v", file, info, statErr)
			}
		}
	})
}
