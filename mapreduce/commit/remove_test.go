package commit

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/mapreduce/proof"
)

const words = "mem://bucket/deep/words"

// published is a store with an output of job bbbb-new, and with something that is not part of it.
func published(t *testing.T) *mem.Store {
	t.Helper()
	m := proof.Manifest{Job: "bbbb-new", Parts: []proof.Part{{Name: "part-r-00000"}, {Name: "more/part-r-00001"}}}
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	st := mem.New()
	for name, data := range map[store.Name]string{
		"deep/words/part-r-00000": "a", "deep/words/more/part-r-00001": "b", "deep/words/_SUCCESS": string(text),
		"deep/wordsmith": "c",
	} {
		if err := store.Put(t.Context(), st, name, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// TestRemoveCrash ends the removal before each deletion: what is left is known as the job's, and goes the second time.
func TestRemoveCrash(t *testing.T) {
	for n := range 4 {
		st := published(t)
		broken := fault.New(st, 1, fault.Rule{Op: around.Delete, Nth: n + 1})
		_, err := Remove(t.Context(), bucket(broken), words, "bbbb-new")
		if (err == nil) != (n == 3) {
			t.Fatalf("deletion %d fails: %v", n, err)
		}
		all, _ := objectTree(t, st)
		if _, known := all["deep/words/_SUCCESS"]; !known && len(all) > 1 {
			t.Errorf("nobody knows whose this is: %v", all)
		}
		for _, want := range []bool{n < 3, false} {
			if found, err := Remove(t.Context(), bucket(st), words, "bbbb-new"); err != nil || found != want {
				t.Fatalf("found %v, %v; want %v", found, err, want)
			}
		}
		all, _ = objectTree(t, st)
		if diff := cmp.Diff(map[string]string{"deep/wordsmith": "c"}, all); diff != "" {
			t.Error(diff)
		}
	}
}

func TestRemoveLeavesOthers(t *testing.T) {
	st := published(t)
	if _, err := Remove(t.Context(), bucket(st), words, "aaaa-old"); errs.KindOf(err) != errs.Exist {
		t.Errorf("another job's output: %v", err)
	}
	if all, _ := objectTree(t, st); len(all) != 4 {
		t.Errorf("left: %v", all)
	}
	if err := store.Put(t.Context(), st, "deep/words/_SUCCESS", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Remove(t.Context(), bucket(st), words, "bbbb-new"); errs.KindOf(err) != errs.Exist {
		t.Errorf("an output without a manifest: %v", err)
	}
}

func TestRemoveFolders(t *testing.T) {
	root, err := file.New("/", file.Options{KeepDirs: true})
	if err != nil {
		t.Fatal(err)
	}
	here := func(_ context.Context, uri string) (store.Store, store.Name, error) {
		return root, store.Name(uri[len("file:///"):]), nil
	}
	for _, stranger := range []string{"", "more/notes.txt"} {
		dir := t.TempDir()
		job := fileJob(dir, "bbbb-new", false)
		c := open(t, job)
		parts := []Part{write(t, c, "reduce-0.0", "part-r-00000")}
		if _, err := c.Commit(t.Context(), parts, manifest(job.ID, parts)); err != nil {
			t.Fatal(err)
		}
		output := filepath.Join(dir, "deep", "words")
		want := map[string]string{}
		if stranger != "" {
			if err := os.Mkdir(filepath.Join(output, "more"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(output, stranger), []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			want["deep/words/"+stranger] = "mine"
		}
		for range 2 {
			if _, err := Remove(t.Context(), here, job.Output, job.ID); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
			t.Error(diff)
		}
		if _, err := os.Stat(output); (err == nil) != (stranger != "") {
			t.Errorf("stranger %q: the folder: %v", stranger, err)
		}
	}
}
