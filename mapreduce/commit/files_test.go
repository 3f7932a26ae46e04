package commit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/scheduler"
)

func attempt(t *testing.T, text string) scheduler.AttemptID {
	t.Helper()
	a, err := scheduler.ParseAttemptID(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func manifest(job scheduler.JobID, parts []Part) proof.Manifest {
	m := proof.Manifest{Format: 1, Job: job, Name: "words"}
	for _, p := range parts {
		m.Parts = append(m.Parts, proof.Part{Name: p.Name, Bytes: p.Bytes, CRC32C: p.CRC32C})
	}
	return m
}

// write commits one part whose content is the attempt's name.
func write(t *testing.T, c Committer, id, name string) Part {
	t.Helper()
	w, err := c.Create(t.Context(), attempt(t, id), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(id)); err != nil {
		t.Fatal(err)
	}
	p, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Fatal("Abort after Commit:", err)
	}
	return p
}

// tree returns the files below dir and their contents; manifests are shown as the job that wrote them.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		if m, err := proof.Decode(b); err == nil {
			b = []byte(m.Job)
		}
		all[rel] = string(b)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

func fileJob(dir, id string, overwrite bool) scheduler.Job {
	return scheduler.Job{ID: scheduler.JobID(id), Output: "file://" + dir + "/deep/words", Overwrite: overwrite}
}

func open(t *testing.T, job scheduler.Job) *files {
	t.Helper()
	c, err := New(t.Context(), job, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*files)
}

// prepare makes an older output if the job overwrites, and writes parts of two reducers, one of them twice.
func prepare(t *testing.T, job scheduler.Job) (parts []Part, m proof.Manifest) {
	t.Helper()
	if job.Overwrite {
		old := job
		old.ID, old.Overwrite = "aaaa-old", false
		c := open(t, old)
		parts := []Part{write(t, c, "reduce-0.0", "part-r-00000"), write(t, c, "reduce-1.0", "part-r-00001")}
		if _, err := c.Commit(t.Context(), parts, manifest(old.ID, parts)); err != nil {
			t.Fatal(err)
		}
	}
	c := open(t, job)
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, c, "reduce-0.0", "part-r-00000")
	parts = []Part{write(t, c, "reduce-0.1", "part-r-00000"), write(t, c, "reduce-2.0", "part-r-00002")}
	return parts, manifest(job.ID, parts)
}

var (
	oldTree = map[string]string{
		"deep/words/part-r-00000": "reduce-0.0", "deep/words/part-r-00001": "reduce-1.0", "deep/words/_SUCCESS": "aaaa-old",
	}
	newTree = map[string]string{
		"deep/words/part-r-00000": "reduce-0.1", "deep/words/part-r-00002": "reduce-2.0", "deep/words/_SUCCESS": "bbbb-new",
	}
)

// TestFilesCrash ends the commit before each of its changes: what is visible is the whole old state or the whole new
// one, and a second commit, like an abort, finishes the job.
func TestFilesCrash(t *testing.T) {
	crash := errors.New("crash")
	unsupported := func(string, string) error { return errors.ErrUnsupported }
	for _, c := range []struct {
		name      string
		overwrite bool
		swap      func(a, b string) error
		steps     int
	}{
		{"new", false, exchange, 6},
		{"overwrite", true, exchange, 6},
		{"overwrite without exchange", true, unsupported, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			for last := range c.steps + 1 {
				dir := t.TempDir()
				job := fileJob(dir, "bbbb-new", c.overwrite)
				before := map[string]string{}
				if c.overwrite {
					before = oldTree
				}
				parts, m := prepare(t, job)
				f := open(t, job)
				f.swap = c.swap
				n := 0
				f.before = func(step string) error {
					if n++; n > last {
						return crash
					}
					return nil
				}
				_, err := f.Commit(t.Context(), parts, m)
				if finished := last == c.steps; finished != (err == nil) || err != nil && !errors.Is(err, crash) {
					t.Fatalf("after %d steps: %v", last, err)
				}
				visible := map[string]string{}
				for name, content := range tree(t, dir) {
					if strings.HasPrefix(name, "deep/words/") {
						visible[name] = content
					}
				}
				published := cmp.Equal(visible, newTree)
				between := c.name == "overwrite without exchange" && len(visible) == 0
				if !published && !between && !cmp.Equal(visible, before) {
					t.Errorf("after %d steps there is %v", last, visible)
				}

				f = open(t, job)
				f.swap = c.swap
				want := newTree
				if last%2 == 0 || published { // by turns; once published an abort changes nothing
					again := m
					again.Name = "another try"
					got, err := f.Commit(t.Context(), parts, again)
					if err != nil {
						t.Fatalf("second commit after %d steps: %v", last, err)
					}
					if answered := got.Name == m.Name; answered != published {
						t.Errorf("second commit after %d steps answers with the manifest of %q", last, got.Name)
					}
				} else {
					want = before
				}
				for range 2 {
					if err := f.Abort(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if d := cmp.Diff(want, tree(t, dir)); d != "" {
					t.Errorf("finished after %d steps: %s", last, d)
				}
			}
		})
	}
}

func TestFilesConflict(t *testing.T) {
	dir := t.TempDir()
	first, second := fileJob(dir, "aaaa-one", false), fileJob(dir, "bbbb-two", false)
	a, b := open(t, first), open(t, second)
	pa, pb := []Part{write(t, a, "map-0.0", "part-m-00000")}, []Part{write(t, b, "map-0.0", "part-m-00000")}
	if _, err := a.Commit(t.Context(), pa, manifest(first.ID, pa)); err != nil {
		t.Fatal(err)
	}
	_, err := b.Commit(t.Context(), pb, manifest(second.ID, pb))
	if errs.KindOf(err) != errs.Exist || !strings.Contains(err.Error(), "written by job aaaa-one") {
		t.Errorf("the second job's commit: %v", err)
	}
	if err := b.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"deep/words/part-m-00000": "map-0.0", "deep/words/_SUCCESS": "aaaa-one"}
	if d := cmp.Diff(want, tree(t, dir)); d != "" {
		t.Error(d)
	}
}

// TestFilesRace has the output appear after the last look and before the rename.
func TestFilesRace(t *testing.T) {
	dir := t.TempDir()
	job := fileJob(dir, "bbbb-new", false)
	parts, m := prepare(t, job)
	f := open(t, job)
	f.before = func(step string) error {
		if step == "publish" {
			return os.MkdirAll(f.output, 0o777)
		}
		return nil
	}
	if _, err := f.Commit(t.Context(), parts, m); errs.KindOf(err) != errs.Exist {
		t.Errorf("commit over a new folder: %v", err)
	}
}

func TestFilesLostPart(t *testing.T) {
	for name, spoil := range map[string]func(string) error{
		"gone":  os.Remove,
		"short": func(name string) error { return os.Truncate(name, 3) },
	} {
		dir := t.TempDir()
		job := fileJob(dir, "bbbb-new", false)
		parts, m := prepare(t, job)
		f := open(t, job)
		if err := spoil(f.attemptFile(parts[1].Attempt, parts[1].Name)); err != nil {
			t.Fatal(err)
		}
		_, err := f.Commit(t.Context(), parts, m)
		if k := errs.KindOf(err); k != errs.NotFound && k != errs.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
		if s, _, _ := f.look(f.output); s != absent {
			t.Errorf("%s: something was published", name)
		}
	}
}

func TestFilesWriterAbort(t *testing.T) {
	dir := t.TempDir()
	f := open(t, fileJob(dir, "bbbb-new", false))
	w, err := f.Create(t.Context(), attempt(t, "map-1.0"), "part-m-00001")
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		if err := w.Abort(ended); err != nil {
			t.Fatal(err)
		}
	}
	if got := tree(t, dir); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestFilesCheck(t *testing.T) {
	dir := t.TempDir()
	mustWrite := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	mustWrite("file")
	mustWrite("home/letter.txt")
	mustWrite("hadoop/part-r-00000")
	mustWrite("hadoop/_SUCCESS")
	for _, c := range []struct {
		output    string
		overwrite bool
		kind      errs.Kind
		want      string
	}{
		{"new", false, 0, ""},
		{"new/very/new", false, 0, ""},
		{"hadoop", false, errs.Exist, dir + "/hadoop exists already; choose another or say --overwrite"},
		{"hadoop", true, 0, ""},
		{"home", false, errs.Exist, "exists already"},
		{"home", true, errs.Exist, "has letter.txt in it, which no job wrote"},
		{"file", true, errs.Exist, "is a file"},
		{"file/below", false, errs.Invalid, dir + "/file is a file"},
	} {
		f := open(t, scheduler.Job{ID: "aaaa-x", Output: "file://" + dir + "/" + c.output, Overwrite: c.overwrite})
		err := f.Check(t.Context())
		if c.want == "" && err != nil {
			t.Errorf("%s, overwrite %v: %v", c.output, c.overwrite, err)
		}
		if c.want != "" && (errs.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s, overwrite %v: %v; want %v %q", c.output, c.overwrite, err, c.kind, c.want)
		}
	}
	if got := len(tree(t, dir)); got != 4 {
		t.Errorf("Check changed something: %d files", got)
	}
	for _, bad := range []string{"words", "file://words", "file:///"} {
		if _, err := New(t.Context(), scheduler.Job{ID: "aaaa-x", Output: bad}, nil); errs.KindOf(err) != errs.Invalid {
			t.Errorf("output %q: %v", bad, err)
		}
	}
}
