package embedded

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// TestSweep: what is left of a job that is over goes, once nobody has it in hand; what others may need stays.
func TestSweep(t *testing.T) {
	t.Setenv(HomeEnv, t.TempDir())
	h, err := OpenHome()
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := h.Sweep(ctx); err != nil {
		t.Errorf("a new home: %v", err)
	}
	left := func(name string, state scheduler.JobState) scheduler.JobID {
		job := submit(t, h.Jobs(), name, time.Time{})
		history, err := json.Marshal(am.Report{State: state})
		if err != nil {
			t.Fatal(err)
		}
		if state.Final() {
			if err := store.Put(ctx, h.Store, store.Name("jobs/"+string(job.ID)+"/history.json"), history); err != nil {
				t.Fatal(err)
			}
		}
		for _, dir := range []string{filepath.Join(h.Node(job.ID), "map-0.0"), h.Scratch(job.ID)} {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.put(ctx, secretKey(job.ID), []byte("secret")); err != nil {
			t.Fatal(err)
		}
		return job.ID
	}
	stays := func(id scheduler.JobID) bool {
		_, node := os.Stat(h.Node(id))
		_, scratch := os.Stat(h.Scratch(id))
		v, err := h.Coord.Get(ctx, secretKey(id))
		if err != nil {
			t.Fatal(err)
		}
		if (node == nil) != (scratch == nil) || (node == nil) != (v.Version > 0) {
			t.Errorf("%s: %v, %v, secret %d", id, node, scratch, v.Version)
		}
		return node == nil
	}
	done, failed, cut := left("done", scheduler.JobSucceeded), left("failed", scheduler.JobFailed), left("cut", "")
	lease, err := h.hold(ctx, failed)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if stays(done) || !stays(failed) || !stays(cut) {
		t.Error("not what was over and in nobody's hands")
	}
	if err := lease.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if stays(failed) || !stays(cut) {
		t.Error("not what was over")
	}
}
