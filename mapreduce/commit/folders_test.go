package commit

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/scheduler"
)

// TestFolders publishes parts in folders, wherever the output is, and replaces them.
func TestFolders(t *testing.T) {
	objects, gateway := mem.New(), newNamespace(t, http.DefaultTransport)
	resolve := func(_ context.Context, uri string) (store.Store, store.Name, error) {
		name := store.Name(strings.TrimLeft(uri[strings.Index(uri, ":")+1:], "/"))
		switch uri[0] {
		case 'm':
			return objects, name, nil
		case 'f':
			local, err := file.New("/", file.Options{KeepDirs: true})
			return local, name, err
		}
		return gateway, name, nil
	}
	long := strings.Repeat("folder/", 60) + "file" // whose name, flat, would be too long for a file system
	for _, uri := range []string{"file://" + filepath.Join(t.TempDir(), "out"), "mem://x/out", "hdfs://x/out"} {
		for _, id := range []string{"aaaa-first", "aaaa-second"} {
			job := scheduler.Job{ID: scheduler.JobID(id), Output: uri, Overwrite: true}
			c, err := New(t.Context(), job, resolve)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Check(t.Context()); err != nil {
				t.Fatal(uri, id, err)
			}
			var parts []Part
			m := proof.Manifest{Job: job.ID}
			for _, name := range []string{"part-m-00000", proof.Bad + "/" + id, "task-0/a/b+c", "task-0/a+b/c", long} {
				w, err := c.Create(t.Context(), attempt(t, "map-0.0"), name)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write([]byte(name)); err != nil {
					t.Fatal(err)
				}
				p, err := w.Commit(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				parts = append(parts, p)
				m.Parts = append(m.Parts, proof.Part{Name: p.Name, Bytes: p.Bytes, CRC32C: p.CRC32C})
				m.Totals.OutputBytes += p.Bytes
			}
			for range 2 {
				if _, err := c.Commit(t.Context(), parts, m); err != nil {
					t.Fatal(uri, id, err)
				}
			}
			st, name, err := resolve(t.Context(), uri)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range parts {
				if b, err := store.Get(t.Context(), st, name.Join(p.Name), 1000); err != nil || string(b) != p.Name {
					t.Errorf("%s: %q, %v", uri, b, err)
				}
			}
			if _, err := proof.Verify(t.Context(), resolve, uri); err != nil {
				t.Error(err)
			}
		}
	}
}
