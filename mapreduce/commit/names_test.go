package commit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/hdfsgw/client"
	"github.com/seed3322913c/runner/hdfsgw/gateway"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/mapreduce/proof"
)

// flaky is a connection of which the n-th change fails before it is sent, or loses its answer.
type flaky struct {
	http.RoundTripper
	nth   atomic.Int32
	after bool // the answer is lost
}

func (f *flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	fails := r.Method != http.MethodGet && f.nth.Add(-1) == 0
	if fails && !f.after {
		return nil, errors.New("broken before")
	}
	resp, err := f.RoundTripper.RoundTrip(r)
	if err == nil && fails {
		resp.Body.Close()
		return nil, errors.New("broken after")
	}
	return resp, err
}

// newNamespace returns the way to an empty namespace, whose connections net makes.
func newNamespace(t *testing.T, net http.RoundTripper) *client.Store {
	t.Helper()
	g := gateway.New(mem.New(), gateway.Options{})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	s := httptest.NewServer(g)
	t.Cleanup(func() {
		s.Close()
		cancel()
		<-done
	})
	for !g.Leads() {
		<-g.Turns()
	}
	c, err := client.New([]string{s.URL}, client.Options{User: "root", HTTP: net, Patience: -1})
	if err != nil {
		t.Fatal(err)
	}
	return client.NewStore(c)
}

// nameTree returns the files of a namespace, manifests as the job that wrote them.
func nameTree(t *testing.T, st store.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
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
	return all
}

// TestNamesCrash lets the n-th change of a commit fail, or its answer be lost. The output is the old one or the new
// one, whole, and a second commit makes it the new one.
func TestNamesCrash(t *testing.T) {
	for _, overwrite := range []bool{false, true} {
		for _, after := range []bool{false, true} {
			for nth, ended := int32(1), false; !ended; nth++ {
				net := &flaky{RoundTripper: http.DefaultTransport, after: after}
				st := newNamespace(t, net)
				job := objectJob("bbbb-new", overwrite)
				parts, m := prepareObjects(t, job, st)
				net.nth.Store(nth)
				_, err := committer(t, job, st).Commit(t.Context(), parts, m)
				net.nth.Store(0)
				ended = err == nil
				switch all := nameTree(t, st); all["deep/words/_SUCCESS"] {
				case "bbbb-new":
					removeHidden(all)
					if !cmp.Equal(all, newTree) {
						t.Errorf("change %d: published as %v", nth, all)
					}
				case "aaaa-old":
					removeHidden(all)
					if !cmp.Equal(all, oldTree) {
						t.Errorf("change %d: the old output is %v", nth, all)
					}
				default:
					if overwrite {
						t.Errorf("change %d: no output: %v", nth, all)
					}
				}
				if _, err := committer(t, job, st).Commit(t.Context(), parts, m); err != nil {
					t.Fatalf("second commit after change %d: %v", nth, err)
				}
				if d := cmp.Diff(newTree, nameTree(t, st)); d != "" {
					t.Errorf("change %d: %s", nth, d)
				}
				if nth > 20 {
					t.Fatal("no end")
				}
			}
		}
	}
}

// removeHidden leaves out what is beside the output.
func removeHidden(all map[string]string) {
	for name := range all {
		if len(name) > 6 && name[:6] == "deep/." {
			delete(all, name)
		}
	}
}

// TestAStaleMasterPublishesNothing has a master that is fenced while it is about to commit: its successor has
// published, or has given up and cleaned.
func TestAStaleMasterPublishesNothing(t *testing.T) {
	for _, published := range []bool{true, false} {
		st := newNamespace(t, nil)
		job := objectJob("bbbb-new", false)
		parts, m := prepareObjects(t, job, st)
		stale, successor := committer(t, job, st), committer(t, job, st)
		if published {
			if _, err := successor.Commit(t.Context(), parts, m); err != nil {
				t.Fatal(err)
			}
		} else if err := successor.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := nameTree(t, st)
		late := manifest(job.ID, parts)
		late.Name = "late"
		got, err := stale.Commit(t.Context(), parts, late)
		if published && (err != nil || got.Name == "late") || !published && errs.KindOf(err) != errs.NotFound {
			t.Errorf("published %v: %q, %v", published, got.Name, err)
		}
		if d := cmp.Diff(before, nameTree(t, st)); d != "" {
			t.Error(d)
		}
	}
}

// TestNamesInTheWay holds that nothing moves if anything is in the way.
func TestNamesInTheWay(t *testing.T) {
	for i, file := range []store.Name{"deep/words/part-r-00002", "deep/words/thesis", "deep/words"} {
		for _, overwrite := range []bool{false, true} {
			st := newNamespace(t, nil)
			job := objectJob(fmt.Sprint("job-", i), overwrite)
			c := committer(t, job, st)
			part := write(t, c, "reduce-0.0", "part-r-00000")
			if err := store.Put(t.Context(), st, file, []byte("mine")); err != nil {
				t.Fatal(err)
			}
			_, err := c.Commit(t.Context(), []Part{part}, manifest(job.ID, []Part{part}))
			if fine := overwrite && i == 0; (err == nil) != fine || !fine && errs.KindOf(err) != errs.Exist {
				t.Errorf("%s, overwrite %v: %v", file, overwrite, err)
			}
			if err == nil {
				continue
			}
			if kind := errs.KindOf(c.Check(t.Context())); kind != errs.Exist {
				t.Errorf("%s, overwrite %v: check says %v", file, overwrite, kind)
			}
			if all := nameTree(t, st); all[string(file)] != "mine" || all["deep/words/_SUCCESS"] != "" {
				t.Errorf("%s: %v", file, all)
			}
		}
	}
}
