package shuffle

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

// nodeOf is a node's directory with the output of several attempts, all alike.
func nodeOf(t testing.TB, n int) (dir string, attempts []scheduler.AttemptID) {
	t.Helper()
	dir = node(t, 100)
	at := filepath.Join(dir, string(job))
	for i := range n {
		id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: "map", Index: i * 7}, N: i % 2}
		if err := os.CopyFS(filepath.Join(at, id.String()), os.DirFS(filepath.Join(at, attempt.String()))); err != nil {
			t.Fatal(err)
		}
		attempts = append(attempts, id)
	}
	return dir, attempts
}

// fetchMerged fetches from addr with a client of its own.
func fetchMerged(t testing.TB, addr string, attempts []scheduler.AttemptID, lo, hi int) ([]*segment.Range, error) {
	t.Helper()
	c := NewClient(Options{})
	defer c.Close()
	src := Source{Node: addr, Job: job, Lo: lo, Hi: hi, Secret: secret}
	return c.FetchMerged(t.Context(), src, attempts, memory(t))
}

// merged returns the names of all that was merged in a node's directory.
func merged(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, string(job), "*", segment.IndexName))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(n string) bool { return !strings.Contains(n, mergedName) })
}

// same fails the test unless each of the ranges has what every attempt of nodeOf has.
func same(t testing.TB, dir string, got []*segment.Range, lo, hi int) {
	t.Helper()
	for i, r := range got {
		if content(t, r) != want(t, dir, lo, hi) {
			t.Errorf("attempt %d: other bytes in partitions %d to %d", i, lo, hi)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestMergedOnce: many reducers at once, here and there, get what each attempt left, and the node merges it once.
func TestMergedOnce(t *testing.T) {
	dir, attempts := nodeOf(t, 12)
	addr := start(t, serverOf(dir))
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			lo, hi := i, i+4
			got, err := fetchMerged(t, addr, attempts, lo, hi)
			if i%4 == 0 {
				got, err = ReadMerged(filepath.Join(dir, string(job)), attempts, lo, hi, memory(t))
			}
			if err != nil || len(got) != len(attempts) {
				t.Errorf("%d ranges, %v", len(got), err)
				return
			}
			same(t, dir, got, lo, hi)
		})
	}
	all.Wait()
	if names := merged(t, dir); len(names) != 1 {
		t.Errorf("merged: %q", names)
	}
}

// TestMergedAfterKill: what a server that was killed left half done is no obstacle, and never read.
func TestMergedAfterKill(t *testing.T) {
	dir, attempts := nodeOf(t, 2)
	at := filepath.Join(dir, string(job))
	first, err := merge(at, attempts)
	if err != nil {
		t.Fatal(err)
	}
	work := first + ".work"
	err = errors.Join(os.RemoveAll(first), os.Mkdir(work, 0o777),
		os.WriteFile(filepath.Join(work, segment.DataName), []byte("half"), 0o666))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadMerged(at, attempts, 0, parts, memory(t))
	if err != nil {
		t.Fatal(err)
	}
	same(t, dir, got, 0, parts)
	if isThere(work) {
		t.Error("what was half done is still there")
	}
}

// TestMergedResumes: a connection that breaks in the midst goes on where it broke.
func TestMergedResumes(t *testing.T) {
	dir, attempts := nodeOf(t, 5)
	s := serverOf(dir)
	var requests atomic.Int64
	addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) < 4 {
			w = &cutting{ResponseWriter: w, left: 20_000}
		}
		s.ServeHTTP(w, r)
	}))
	got, err := fetchMerged(t, addr, attempts, 0, parts)
	if err != nil {
		t.Fatal(err)
	}
	same(t, dir, got, 0, parts)
	if requests.Load() != 4 {
		t.Errorf("%d requests", requests.Load())
	}
}

// TestMergedLost: an error says whether to look at each attempt alone.
func TestMergedLost(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(dir string, attempts []scheduler.AttemptID) error
		sure  bool
	}{
		"an attempt is gone": {func(dir string, attempts []scheduler.AttemptID) error {
			return os.RemoveAll(filepath.Join(dir, attempts[1].String()))
		}, true},
		"an attempt is damaged": {func(dir string, attempts []scheduler.AttemptID) error {
			return flip(filepath.Join(dir, attempts[1].String(), segment.DataName), 100)
		}, true},
		"what was merged is damaged": {func(dir string, attempts []scheduler.AttemptID) error {
			name, err := merge(dir, attempts)
			return errors.Join(err, flip(filepath.Join(name, segment.DataName), 100))
		}, true},
		"no room to merge": {func(dir string, attempts []scheduler.AttemptID) error {
			name, err := merge(dir, attempts)
			return errors.Join(err, os.RemoveAll(name), os.Remove(name+".lock"), os.Mkdir(name+".lock", 0o777))
		}, true},
	} {
		dir, attempts := nodeOf(t, 3)
		if err := c.spoil(filepath.Join(dir, string(job)), attempts); err != nil {
			t.Fatal(name, err)
		}
		_, err := fetchMerged(t, start(t, serverOf(dir)), attempts, 0, parts)
		if lost, ok := errors.AsType[*scheduler.InputLost](err); !ok || lost.Sure != c.sure {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir, attempts := nodeOf(t, 3)
	gone := httptest.NewServer(serverOf(dir))
	gone.Close()
	c := NewClient(impatient())
	defer c.Close()
	src := Source{Node: strings.TrimPrefix(gone.URL, "http://"), Job: job, Hi: parts, Secret: secret}
	_, err := c.FetchMerged(t.Context(), src, attempts, memory(t))
	list, ok := err.(interface{ Unwrap() []error })
	if !ok || len(list.Unwrap()) != len(attempts) {
		t.Fatalf("a node that is gone: %v", err)
	}
	for i, e := range list.Unwrap() {
		if lost, ok := errors.AsType[*scheduler.InputLost](e); !ok || lost.Sure || lost.Attempt != attempts[i] {
			t.Errorf("attempt %v: %v", attempts[i], e)
		}
	}
}

func TestMergedRefuses(t *testing.T) {
	dir, attempts := nodeOf(t, 2)
	s := serverOf(dir)
	many := strings.Repeat("0.0,", MaxMerged) + "0.0"
	for url, status := range map[string]int{
		"/v1/aaaa-words/map/merged?of=" + mergedList(attempts) + "&lo=0&hi=20": 200,
		"/v1/aaaa-words/map/merged?of=" + mergedList(attempts) + "&lo=0&hi=21": 400,
		"/v1/aaaa-words/map/merged?of=&lo=0&hi=20":                             400,
		"/v1/aaaa-words/map/merged?of=0.0,1&lo=0&hi=20":                        400,
		"/v1/aaaa-words/map/merged?of=0.0,1.0&lo=0&hi=20":                      404,
		"/v1/aaaa-words/..%2Fmap/merged?of=0.0,7.1&lo=0&hi=20":                 400,
		"/v1/aaaa-words/map/merged?lo=0&hi=20&of=" + many:                      400,
		"/v1/aaaa-other/map/merged?of=0.0,7.1&lo=0&hi=20":                      503,
	} {
		r := httptest.NewRequest(http.MethodGet, url, nil)
		r.Header.Set("Authorization", "Bearer "+secret)
		w := &recorder{httptest.NewRecorder()}
		if s.ServeHTTP(w, r); w.Code != status {
			t.Errorf("%.80s: %d %.200q, want %d", url, w.Code, w.Body, status)
		}
	}
	c := NewClient(Options{})
	defer c.Close()
	if _, err := c.FetchMerged(t.Context(), Source{}, nil, memory(t)); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no attempts: %v", err)
	}
}
