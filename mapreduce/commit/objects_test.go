package commit

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/scheduler"
)

// bucket resolves mem:// names to st.
func bucket(st store.Store) store.Resolve {
	return func(_ context.Context, uri string) (store.Store, store.Name, error) {
		return st, store.Name(strings.TrimPrefix(uri, "mem://bucket/")), nil
	}
}

func objectJob(id string, overwrite bool) scheduler.Job {
	return scheduler.Job{ID: scheduler.JobID(id), Output: "mem://bucket/deep/words", Overwrite: overwrite}
}

func committer(t *testing.T, job scheduler.Job, st store.Store) Committer {
	t.Helper()
	c, err := New(t.Context(), job, bucket(st))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// objectTree returns all objects, manifests as the job that wrote them, and how many uploads are pending.
func objectTree(t *testing.T, st *mem.Store) (all map[string]string, uploads int) {
	t.Helper()
	all = map[string]string{}
	for info, err := range st.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		b, err := store.Get(t.Context(), st, info.Name, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := proof.Decode(b); err == nil {
			b = []byte(m.Job)
		}
		all[string(info.Name)] = string(b)
	}
	for _, err := range st.Uploads(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		uploads++
	}
	return all, uploads
}

// prepareObjects is prepare for objects.
func prepareObjects(t *testing.T, job scheduler.Job, st store.Store) (parts []Part, m proof.Manifest) {
	t.Helper()
	if job.Overwrite {
		old := objectJob("aaaa-old", false)
		c := committer(t, old, st)
		parts := []Part{write(t, c, "reduce-0.0", "part-r-00000"), write(t, c, "reduce-1.0", "part-r-00001")}
		if _, err := c.Commit(t.Context(), parts, manifest(old.ID, parts)); err != nil {
			t.Fatal(err)
		}
	}
	c := committer(t, job, st)
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, c, "reduce-0.0", "part-r-00000")
	parts = []Part{write(t, c, "reduce-0.1", "part-r-00000"), write(t, c, "reduce-2.0", "part-r-00002")}
	return parts, manifest(job.ID, parts)
}

// TestObjectsCrash lets the n-th call of a commit fail, or its answer be lost, for each n. _SUCCESS is never there
// without all parts that it names, and a second commit finishes the job.
func TestObjectsCrash(t *testing.T) {
	for _, overwrite := range []bool{false, true} {
		for _, effect := range []fault.Effect{fault.Fail, fault.LoseReply} {
			for nth, ended := 1, false; !ended; nth++ {
				objects := mem.New()
				st := fault.New(objects, 1)
				job := objectJob("bbbb-new", overwrite)
				parts, m := prepareObjects(t, job, st)
				st.Add(fault.Rule{Op: around.Any, Nth: nth, Effect: effect})
				_, err := committer(t, job, st).Commit(t.Context(), parts, m)
				st.Clear()
				ended = err == nil
				all, _ := objectTree(t, objects)
				if all["deep/words/_SUCCESS"] == "bbbb-new" && !cmp.Equal(all, newTree) {
					t.Errorf("call %d: published as %v", nth, all)
				}
				if all["deep/words/_SUCCESS"] == "aaaa-old" && !cmp.Equal(all, oldTree) {
					t.Errorf("call %d: the old output is %v", nth, all)
				}
				if _, err := committer(t, job, st).Commit(t.Context(), parts, m); err != nil {
					t.Fatalf("second commit after call %d: %v", nth, err)
				}
				all, uploads := objectTree(t, objects)
				if d := cmp.Diff(newTree, all); d != "" || uploads > 0 {
					t.Errorf("call %d: %d uploads, %s", nth, uploads, d)
				}
				if nth > 50 {
					t.Fatal("no end")
				}
			}
		}
	}
}

func TestObjectsAbort(t *testing.T) {
	st := mem.New()
	job := objectJob("bbbb-new", true)
	prepareObjects(t, job, st)
	c := committer(t, job, st)
	w, err := c.Create(t.Context(), attempt(t, "reduce-3.0"), "part-r-00003")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(bytes.Repeat([]byte("x"), 3*partSize)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if all, uploads := objectTree(t, st); !cmp.Equal(all, oldTree) || uploads > 0 {
		t.Errorf("%d uploads, %v", uploads, all)
	}
}

func TestObjectsConflict(t *testing.T) {
	st := mem.New()
	first, second := objectJob("aaaa-one", false), objectJob("bbbb-two", false)
	a, b := committer(t, first, st), committer(t, second, st)
	pa, pb := []Part{write(t, a, "map-0.0", "part-m-00000")}, []Part{write(t, b, "map-1.0", "part-m-00001")}
	if _, err := a.Commit(t.Context(), pa, manifest(first.ID, pa)); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{b.Check(t.Context()), commitError(t, b, second, pb)} {
		if errs.KindOf(err) != errs.Exist || !strings.Contains(err.Error(), "written by job aaaa-one") {
			t.Errorf("the second job: %v", err)
		}
	}
	want := map[string]string{"deep/words/part-m-00000": "map-0.0", "deep/words/_SUCCESS": "aaaa-one"}
	if all, _ := objectTree(t, st); !cmp.Equal(all, want) {
		t.Errorf("%v", all)
	}
}

func commitError(t *testing.T, c Committer, job scheduler.Job, parts []Part) error {
	t.Helper()
	_, err := c.Commit(t.Context(), parts, manifest(job.ID, parts))
	return err
}

func TestObjectsCheck(t *testing.T) {
	st := mem.New()
	if err := store.Put(t.Context(), st, "deep/words/letter", nil); err != nil {
		t.Fatal(err)
	}
	for _, overwrite := range []bool{false, true} {
		if err := committer(t, objectJob("aaaa-x", overwrite), st).Check(t.Context()); errs.KindOf(err) != errs.Exist {
			t.Errorf("overwrite %v: %v", overwrite, err)
		}
	}
	plain := struct{ store.Store }{st}
	if _, err := New(t.Context(), objectJob("aaaa-x", false), bucket(plain)); errs.KindOf(err) != errs.Unsupported {
		t.Errorf("a store without uploads: %v", err)
	}
	job := objectJob("aaaa-x", false)
	job.Output = "mem://bucket/"
	if _, err := New(t.Context(), job, bucket(st)); errs.KindOf(err) != errs.Invalid {
		t.Errorf("the bucket itself: %v", err)
	}
}
