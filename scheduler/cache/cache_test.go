package cache

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/scheduler"
)

// site is a store that is both the system's own and where people have their files.
type site struct {
	t  *testing.T
	st *mem.Store
}

func newSite(t *testing.T) site { return site{t, mem.New()} }

func (s site) resolve(_ context.Context, uri string) (store.Store, store.Name, error) {
	_, name, _ := strings.Cut(uri, "://")
	return s.st, store.Name(strings.TrimPrefix(name, "/")), nil
}

func (s site) put(name string, data []byte) {
	s.t.Helper()
	if err := store.Put(s.t.Context(), s.st, store.Name(name), data); err != nil {
		s.t.Fatal(err)
	}
}

// job is a staged job with these files.
func (s site) job(files ...scheduler.File) scheduler.Job {
	s.t.Helper()
	job := scheduler.Job{ID: "7k2f-job", Files: files}
	if err := Check(s.t.Context(), s.resolve, job, func(string) bool { return false }); err != nil {
		s.t.Fatal(err)
	}
	job, err := Stage(s.t.Context(), s.resolve, s.st, job)
	if err != nil {
		s.t.Fatal(err)
	}
	return job
}

func (s site) files(n *Node, job scheduler.Job) map[string]string {
	s.t.Helper()
	paths, err := n.Files(s.t.Context(), job)
	if err != nil {
		s.t.Fatal(err)
	}
	return paths
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// overwrite changes a file behind everybody's back.
func overwrite(t *testing.T, name, text string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	s := newSite(t)
	s.put("home/stop.txt", []byte("the a an"))
	s.put("bucket/model", nil)
	job := s.job(scheduler.File{Name: "stop", URI: "file:///home/stop.txt"},
		scheduler.File{Name: "model", URI: "s3://bucket/model"})
	s.put("home/stop.txt", []byte("changed after the job was submitted"))
	if job.Files[0].Size != 8 || job.Files[0].Object == "" || job.Files[1].Object != "" {
		t.Errorf("%+v", job.Files)
	}
	n := NewNode(t.TempDir(), s.st, s.resolve, Options{})
	paths := s.files(n, job)
	if got := read(t, paths["stop"]) + "|" + read(t, paths["model"]); got != "the a an|" || len(paths) != 2 {
		t.Errorf("%q in %v", got, paths)
	}
	if err := Drop(t.Context(), s.st, job.ID); err != nil {
		t.Fatal(err)
	}
	if again := s.files(n, job); !maps.Equal(paths, again) { // from the disk, since the store has them no more
		t.Errorf("%v, then %v", paths, again)
	}
	if paths, err := n.Files(t.Context(), scheduler.Job{ID: "7k2f-none"}); err != nil || paths != nil {
		t.Errorf("no files: %v, %v", paths, err)
	}
}

// TestDamage: a copy that is not what it was is fetched again, by who had it and by who comes new.
func TestDamage(t *testing.T) {
	s := newSite(t)
	s.put("home/a", []byte("text"))
	job := s.job(scheduler.File{Name: "a", URI: "file:///home/a"})
	dir := t.TempDir()
	old := NewNode(dir, s.st, s.resolve, Options{})
	name := s.files(old, job)["a"]
	for _, damage := range []string{"TEXT", "te", "text and more", ""} {
		for who, n := range map[string]*Node{"old": old, "new": NewNode(dir, s.st, s.resolve, Options{})} {
			overwrite(t, name, damage)
			if got := read(t, s.files(n, job)["a"]); got != "text" {
				t.Errorf("%s: %q was taken for the file", who, got)
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 { // the pattern is well formed
		t.Errorf("left behind: %q", left)
	}
}

// TestChanged: a file that is read where it is must still be what it was.
func TestChanged(t *testing.T) {
	s := newSite(t)
	s.put("bucket/a", []byte("text"))
	job := s.job(scheduler.File{Name: "a", URI: "s3://bucket/a"})
	for _, now := range []string{"TEXT", "te", "text and more"} {
		s.put("bucket/a", []byte(now))
		_, err := NewNode(t.TempDir(), s.st, s.resolve, Options{}).Files(t.Context(), job)
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "has changed") {
			t.Errorf("%q: %v", now, err)
		}
	}
}

// TestManyAtOnce: of many executors one fetches.
func TestManyAtOnce(t *testing.T) {
	s := newSite(t)
	s.put("home/a", bytes.Repeat([]byte("text"), 1<<16))
	s.put("home/b.tar", tarOf(t, entry{name: "x", text: "y"}))
	job := s.job(scheduler.File{Name: "a", URI: "file:///home/a"},
		scheduler.File{Name: "b", URI: "file:///home/b.tar", Archive: true})
	var opened atomic.Int32
	counted := around.New(s.st, func(_ context.Context, c around.Call, do func([]byte) (int, error)) (int, error) {
		if c.Op == around.Open {
			opened.Add(1)
		}
		return do(c.Data)
	})
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 4 {
		n := NewNode(dir, counted, s.resolve, Options{})
		for range 4 {
			all.Go(func() {
				paths, err := n.Files(t.Context(), job)
				if err != nil {
					t.Error(err)
				} else if info, err := os.Stat(paths["a"]); err != nil || info.Size() != 4<<16 {
					t.Errorf("%v, %v", info, err)
				} else if text, err := os.ReadFile(filepath.Join(paths["b"], "x")); err != nil || string(text) != "y" {
					t.Errorf("%q, %v", text, err)
				}
			})
		}
	}
	all.Wait()
	if n := opened.Load(); n != 2 {
		t.Errorf("%d files were fetched, want 2", n)
	}
}

// TestFetchFails: what could not be fetched leaves nothing, and is fetched by the next who asks.
func TestFetchFails(t *testing.T) {
	s := newSite(t)
	s.put("home/a", []byte("text"))
	job := s.job(scheduler.File{Name: "a", URI: "file:///home/a"})
	for _, rule := range []fault.Rule{
		{Op: around.Open, Nth: 1}, {Op: around.Read, Nth: 1, Effect: fault.Cut},
		{Op: around.Read, Nth: 1, Effect: fault.Corrupt},
	} {
		dir := t.TempDir()
		n := NewNode(dir, fault.New(s.st, 1, rule), s.resolve, Options{})
		if _, err := n.Files(t.Context(), job); err == nil {
			t.Fatalf("%+v was not noticed", rule)
		}
		if got := read(t, s.files(n, job)["a"]); got != "text" {
			t.Errorf("%q", got)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
			t.Errorf("%v, %v; want the lock and the file", entries, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	n := NewNode(t.TempDir(), s.st, s.resolve, Options{})
	unlock, err := NewNode(n.dir, s.st, s.resolve, Options{}).lock(ended) // another process
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	cancel()
	if _, err := n.Files(ended, job); errs.KindOf(err) != errs.Canceled {
		t.Errorf("an ended context: %v", err)
	}
}

func TestCheck(t *testing.T) {
	s := newSite(t)
	s.put("a", nil)
	s.put("a.zip", nil)
	for _, c := range []struct {
		files []scheduler.File
		kind  errs.Kind
		want  string
	}{
		{[]scheduler.File{{Name: "x", URI: "file:///a"}, {Name: "x", URI: "file:///a.zip"}}, errs.Invalid,
			"two files are called x"},
		{[]scheduler.File{{Name: "..", URI: "file:///a"}}, errs.Invalid, "write file:///a#NAME"},
		{[]scheduler.File{{Name: "a/b", URI: "file:///a"}}, errs.Invalid, "write file:///a#NAME"},
		{[]scheduler.File{{Name: "a", URI: "file:///a", Archive: true}}, errs.Unsupported, ".tar.gz, .tgz, .zip"},
		{[]scheduler.File{{Name: "a", URI: "file:///none"}}, errs.NotFound, "the file file:///none cannot be read"},
	} {
		err := Check(t.Context(), s.resolve, scheduler.Job{Files: c.files}, func(string) bool { return false })
		if errs.KindOf(err) != c.kind || !strings.Contains(errs.Cause(err), c.want) {
			t.Errorf("%+v: %v", c.files, err)
		}
	}
	later := scheduler.Job{Files: []scheduler.File{{Name: "a", URI: "file:///none"}}}
	if err := Check(t.Context(), s.resolve, later, func(string) bool { return true }); err != nil {
		t.Error(err)
	}
}

func TestFileOf(t *testing.T) {
	uri := func(text string) (string, error) {
		if text == "" {
			return "", errs.Errorf("", errs.Invalid, nil, "empty")
		}
		return "file:///d/" + text, nil
	}
	for text, want := range map[string]string{
		"x/a.txt": "a.txt", "x/a.txt#b": "b", "a#b#c": "c", "a#": "a", "#b": "!", "": "!",
	} {
		f, err := FileOf(text, uri)
		if err != nil {
			f.Name = "!"
		}
		if f.Name != want {
			t.Errorf("%q is called %q, %v; want %q", text, f.Name, err, want)
		}
	}
}
