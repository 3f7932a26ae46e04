package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed3322913c/runner/guagua/algo"
	"github.com/seed3322913c/runner/guagua/split"
	"github.com/seed3322913c/runner/infra/coord/dir"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/scheduler"
)

// site is a place on disk where jobs of this engine run, in this process or in others.
type site struct {
	Dir string
}

func (s site) store() (store.Store, error) {
	return file.New(filepath.Join(s.Dir, "store"), file.Options{})
}

func (s site) body() (*Body, error) {
	st, err := s.store()
	if err != nil {
		return nil, err
	}
	co, err := dir.Open(filepath.Join(s.Dir, "coord"))
	if err != nil {
		return nil, err
	}
	return NewBody(st, co, Surroundings{Programs: algo.Builtins(), Resolve: resolve}, BodyOptions{}), nil
}

// resolve knows the files of this machine.
func resolve(_ context.Context, uri string) (store.Store, store.Name, error) {
	path, ok := strings.CutPrefix(uri, "file:///")
	if !ok {
		return nil, "", errs.Errorf("resolve", errs.Unsupported, uri, "no such scheme")
	}
	st, err := file.New("/", file.Options{KeepDirs: true})
	return st, store.Name(path), err
}

// shelf is a Publisher that keeps files in memory.
type shelf struct {
	mu     sync.Mutex
	taken  bool // by another job
	files  map[string][]byte
	proof  Output
	aborts int
}

func (s *shelf) Check(context.Context) error {
	if s.taken {
		return errs.Errorf("shelf", errs.Exist, nil, "out exists already")
	}
	return nil
}

func (s *shelf) Publish(ctx context.Context, o Output) (p Published, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		if s.files, err = read(ctx, o.Files); err != nil {
			return p, err
		}
		s.proof = o
	}
	p.Files = slices.Sorted(maps.Keys(s.files))
	return p, nil
}

func read(ctx context.Context, files []File) (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, f := range files {
		r, err := f.Open(ctx)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return nil, err
		}
		all[f.Name] = data
	}
	return all, nil
}

func (s *shelf) Abort(context.Context) error { s.aborts++; return nil }

// inputs is a list of files in memory, or on disk.
func inputs(files map[string]string) func(context.Context, []string) ([]split.File, error) {
	return func(context.Context, []string) (out []split.File, err error) {
		for _, uri := range slices.Sorted(maps.Keys(files)) {
			out = append(out, split.File{URI: uri, Size: int64(len(files[uri]))})
		}
		return out, nil
	}
}

// write puts files on disk and returns them by URI.
func (s site) write(t testing.TB, files map[string]string) map[string]string {
	t.Helper()
	byURI := map[string]string{}
	for name, text := range files {
		path := filepath.Join(s.Dir, "input", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		byURI["file://"+path] = text
	}
	return byURI
}

func newJob(t testing.TB, name string, o Options) scheduler.Job {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return scheduler.Job{
		ID: scheduler.JobID("7k2f-" + name), Kind: Kind, Name: name, Input: []string{"file:///in"}, Output: "file:///out",
		Resources: scheduler.Resources{CPU: 1, Memory: 256 << 20}, Retry: scheduler.Retry{Task: 4, Job: 2}, Engine: data,
	}
}

// attempt is one try at a task, as an executor would make it.
func (s site) attempt(job scheduler.Job, id scheduler.AttemptID, told []byte, scratch string) scheduler.Attempt {
	return scheduler.Attempt{
		Job: job, ID: id, Payload: told, Dir: scratch, Scratch: scratch, Memory: job.Resources.Memory, Secret: "s3cret",
	}
}

// diary is a Reporter.
type diary struct {
	mu       sync.Mutex
	counters scheduler.Counters
	done     int64
	status   []string
	log      bytes.Buffer
}

func newDiary() *diary { return &diary{counters: scheduler.Counters{}} }

func (d *diary) Progress(done int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done = max(d.done, done)
}

func (d *diary) Count(group, name string, delta int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counters.Add(group, name, delta)
}

func (d *diary) Status(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = append(d.status, line)
}

func (d *diary) Logf(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(&d.log, format+"\n", args...)
}
