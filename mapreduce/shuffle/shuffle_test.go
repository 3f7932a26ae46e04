package shuffle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	job    = scheduler.JobID("aaaa-words")
	secret = "open sesame"
	parts  = 20
)

var attempt = scheduler.AttemptID{Task: scheduler.TaskID{Stage: "map", Index: 3}, N: 1}

// node is a directory with the segment of one attempt, in which every third partition is empty.
func node(t testing.TB, recordSize int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	at := filepath.Join(dir, string(job), attempt.String())
	if err := os.MkdirAll(at, 0o777); err != nil {
		t.Fatal(err)
	}
	w, err := segment.Create(at, segment.Sorted, segment.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{7})
	value := make([]byte, recordSize)
	for p := range parts {
		for i := range p % 3 * 40 {
			random.Read(value)
			if err := w.Record(fmt.Appendf(nil, "key %05d", i), value); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.End(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func serverOf(dir string) *Server {
	return NewServer(dir, func(id scheduler.JobID) (string, bool) { return secret, id == job })
}

// start serves h and returns its address.
func start(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

// impatient is for what will never come. What will is waited for, however slow this machine.
func impatient() Options { return Options{Patience: 300 * time.Millisecond} }

// fetchFrom fetches partitions lo to hi-1 with a client of its own.
func fetchFrom(t testing.TB, addr string, lo, hi int, into segment.ReceiveOptions) (*segment.Range, error) {
	t.Helper()
	return fetchBy(t, Options{}, addr, lo, hi, into)
}

func fetchBy(t testing.TB, o Options, addr string, lo, hi int, into segment.ReceiveOptions) (*segment.Range, error) {
	t.Helper()
	c := NewClient(o)
	defer c.Close()
	return c.Fetch(t.Context(), Source{addr, job, attempt, lo, hi, secret}, into)
}

func memory(t testing.TB) segment.ReceiveOptions {
	b := arena.New(arena.Options{}).Budget(64 << 20)
	t.Cleanup(b.Close)
	return segment.ReceiveOptions{Budget: b, Dir: t.TempDir()}
}

// content reads all blocks of a range.
func content(t testing.TB, r *segment.Range) string {
	t.Helper()
	x := r.Index()
	var all bytes.Buffer
	rd := r.Reader(x.First, x.First+len(x.Parts))
	for _, p := range x.Parts {
		for {
			b, err := rd.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b)
		}
		if err := rd.End(p.Records); err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

func want(t testing.TB, dir string, lo, hi int) string {
	t.Helper()
	r, err := segment.Open(filepath.Join(dir, string(job), attempt.String()), lo, hi)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return content(t, r)
}

// lost fails the test unless err is an InputLost of the attempt.
func lost(t *testing.T, err error, sure bool) {
	t.Helper()
	var l *scheduler.InputLost
	if !errors.As(err, &l) || l.Attempt != attempt || l.Sure != sure {
		t.Errorf("%v (%T), want %v to be lost, sure: %v", err, err, attempt, sure)
	}
}

// place is somewhere that segments are fetched from.
type place struct {
	files string // the attempt's, where they can be spoiled
	fetch func(lo, hi int, into segment.ReceiveOptions) (*segment.Range, error)
}

// places are all of them, with the segment of node in dir.
func places(t testing.TB, dir string) map[string]place {
	t.Helper()
	addr := start(t, serverOf(dir))
	root := t.TempDir()
	depot := depotIn(t, root, Options{}, func(st store.Store) store.Store { return st })
	files := filepath.Join(dir, string(job), attempt.String())
	if err := depot.Keep(t.Context(), job, attempt, files); err != nil {
		t.Fatal(err)
	}
	return map[string]place{
		"server": {files, func(lo, hi int, into segment.ReceiveOptions) (*segment.Range, error) {
			return fetchFrom(t, addr, lo, hi, into)
		}},
		"depot": {
			filepath.Join(root, "jobs", string(job), "shuffle", attempt.String()),
			func(lo, hi int, into segment.ReceiveOptions) (*segment.Range, error) {
				return depot.Fetch(t.Context(), Source{Job: job, Attempt: attempt, Lo: lo, Hi: hi}, into)
			},
		},
	}
}

func TestFetch(t *testing.T) {
	dir := node(t, 3000)
	noMemory := segment.ReceiveOptions{Budget: arena.New(arena.Options{}).Budget(0), Dir: t.TempDir()}
	for name, p := range places(t, dir) {
		t.Run(name, func(t *testing.T) {
			testFetch(t, dir, p, memory(t))
			testFetch(t, dir, p, noMemory)
		})
	}
}

func testFetch(t *testing.T, dir string, p place, into segment.ReceiveOptions) {
	for _, c := range [][2]int{{0, parts}, {0, 1}, {3, 4}, {1, 2}, {5, 17}, {parts - 1, parts}, {7, 7}} {
		r, err := p.fetch(c[0], c[1], into)
		if err != nil {
			t.Fatal(c, err)
		}
		if content(t, r) != want(t, dir, c[0], c[1]) {
			t.Errorf("%v: other bytes", c)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFetchResumes cuts the connection again and again, each time a little later.
func TestFetchResumes(t *testing.T) {
	dir := node(t, 3000)
	s := serverOf(dir)
	var requests, resumed atomic.Int64
	addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("from") {
			resumed.Add(1)
		}
		if n := requests.Add(1); n <= 8 {
			s.ServeHTTP(&cutting{w, int(n * 5_000)}, r)
			panic(http.ErrAbortHandler)
		}
		s.ServeHTTP(w, r)
	}))
	r, err := fetchFrom(t, addr, 0, parts, memory(t))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if content(t, r) != want(t, dir, 0, parts) {
		t.Error("other bytes")
	}
	if requests.Load() != 9 || resumed.Load() != 8 {
		t.Errorf("%d requests, %d of them resumed", requests.Load(), resumed.Load())
	}
}

// cutting passes on so many bytes of a body and no more.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(c.left, len(p))])
	if c.left -= n; c.left == 0 && err == nil {
		err = io.ErrShortWrite
		http.NewResponseController(c.ResponseWriter).Flush()
	}
	return n, err
}

func (c *cutting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// TestFetchDamagedOnTheWay changes one byte of the first answer only.
func TestFetchDamagedOnTheWay(t *testing.T) {
	dir := node(t, 3000)
	s := serverOf(dir)
	var requests atomic.Int64
	addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 {
			w = &flipping{ResponseWriter: w, at: 200_000}
		}
		s.ServeHTTP(w, r)
	}))
	r, err := fetchFrom(t, addr, 0, parts, memory(t))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if content(t, r) != want(t, dir, 0, parts) || requests.Load() != 2 {
		t.Errorf("other bytes, or %d requests", requests.Load())
	}
}

// flipping changes the byte at an offset of the body.
type flipping struct {
	http.ResponseWriter
	at int
}

func (f *flipping) Write(p []byte) (int, error) {
	p = bytes.Clone(p)
	if f.at >= 0 && f.at < len(p) {
		p[f.at] ^= 1
	}
	f.at -= len(p)
	return f.ResponseWriter.Write(p)
}

func (f *flipping) Unwrap() http.ResponseWriter { return f.ResponseWriter }

func TestFetchLostForSure(t *testing.T) {
	for name, spoil := range map[string]func(at string) error{
		"no attempt": os.RemoveAll,
		"no index":   func(at string) error { return os.Remove(filepath.Join(at, segment.IndexName)) },
		"no data":    func(at string) error { return os.Remove(filepath.Join(at, segment.DataName)) },
		"short data": func(at string) error { return os.Truncate(filepath.Join(at, segment.DataName), 50_000) },
		"a byte of data": func(at string) error {
			return flip(filepath.Join(at, segment.DataName), 12_345)
		},
		"a byte of the index": func(at string) error {
			return flip(filepath.Join(at, segment.IndexName), 30)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range places(t, node(t, 3000)) {
				if err := spoil(p.files); err != nil {
					t.Fatal(err)
				}
				_, err := p.fetch(0, parts, memory(t))
				lost(t, err, true)
			}
		})
	}
}

func flip(name string, at int) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	b[at] ^= 0x10
	return os.WriteFile(name, b, 0o666)
}

func TestFetchLostPerhaps(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	release := make(chan struct{})
	for name, addr := range map[string]string{
		"nobody there": closed,
		"broken":       start(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })),
		"in trouble": start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
		})),
		"silent": start(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })),
		"silent after the header": start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(indexHeader, "100")
			w.WriteHeader(http.StatusOK)
			http.NewResponseController(w).Flush()
			<-release
		})),
	} {
		_, err := fetchBy(t, impatient(), addr, 0, parts, memory(t))
		t.Log(name, err)
		lost(t, err, false)
	}
	close(release)
}

// TestFetchOwnTrouble: what is wrong on this side is not blamed on the source.
func TestFetchOwnTrouble(t *testing.T) {
	addr := start(t, serverOf(node(t, 3000)))
	var l *scheduler.InputLost

	into := segment.ReceiveOptions{Budget: arena.New(arena.Options{}).Budget(0), Dir: "/does/not/exist"}
	if _, err := fetchFrom(t, addr, 0, parts, into); err == nil || errors.As(err, &l) {
		t.Errorf("no place for the copy: %v", err)
	}
	c := NewClient(Options{})
	defer c.Close()
	src := Source{addr, job, attempt, 0, parts, "wrong"}
	if _, err := c.Fetch(t.Context(), src, memory(t)); errs.KindOf(err) != errs.Permission {
		t.Errorf("wrong secret: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Fetch(ctx, Source{addr, job, attempt, 0, parts, secret}, memory(t)); errs.KindOf(err) != errs.Canceled {
		t.Errorf("ended ctx: %v", err)
	}
}

// TestFetchFromServerStartedAgain: one that does not know the job yet is asked again, and never the reducer's failure.
func TestFetchFromServerStartedAgain(t *testing.T) {
	var asked atomic.Int32
	addr := start(t, NewServer(node(t, 10), func(scheduler.JobID) (string, bool) { return secret, asked.Add(1) > 2 }))
	if _, err := fetchFrom(t, addr, 0, parts, memory(t)); err != nil || asked.Load() < 3 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
	unknown := start(t, NewServer(t.TempDir(), func(scheduler.JobID) (string, bool) { return "", false }))
	if _, err := fetchBy(t, impatient(), unknown, 0, parts, memory(t)); !errors.As(err, new(*scheduler.InputLost)) {
		t.Errorf("a job that nobody knows: %v", err)
	}
}

func TestServerRefuses(t *testing.T) {
	dir := node(t, 10)
	if err := os.WriteFile(filepath.Join(dir, "outside"), []byte("secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	s := serverOf(dir)
	good := "/v1/aaaa-words/map-3.1?lo=0&hi=20"
	for _, c := range []struct {
		method, url, auth string
		status            int
	}{
		{"GET", good, secret, 200},
		{"HEAD", good, secret, 200},
		{"GET", good + "&from=0", secret, 200},
		{"GET", good, "", 401},
		{"GET", good, "open sesam", 401},
		{"GET", "/v1/aaaa-other/map-3.1?lo=0&hi=20", secret, 503},
		{"GET", "/v1/aaaa-other/map-3.1?lo=0&hi=20", "", 503},
		{"GET", "/v1/../map-3.1?lo=0&hi=20", secret, 307}, // to a cleaned path that does not exist
		{"GET", "/v1/%2e%2e/map-3.1?lo=0&hi=20", secret, 401},
		{"GET", "/v1/aaaa-words/..%2Foutside?lo=0&hi=20", secret, 400},
		{"GET", "/v1/aaaa-words/..%2Faaaa-words%2Fmap-3.1?lo=0&hi=20", secret, 400},
		{"GET", "/v1/aaaa-words/map-4.0?lo=0&hi=20", secret, 404},
		{"GET", "/v1/aaaa-words/", secret, 404},
		{"GET", "/v1/aaaa-words", secret, 404},
		{"GET", "/v1/", secret, 404},
		{"GET", "/", secret, 404},
		{"POST", good, secret, 405},
		{"GET", "/v1/aaaa-words/map-3.1", secret, 400},
		{"GET", "/v1/aaaa-words/map-3.1?lo=0&hi=21", secret, 400},
		{"GET", "/v1/aaaa-words/map-3.1?lo=5&hi=4", secret, 400},
		{"GET", "/v1/aaaa-words/map-3.1?lo=-1&hi=4", secret, 400},
		{"GET", "/v1/aaaa-words/map-3.1?lo=0&hi=99999999999", secret, 400},
		{"GET", good + "&from=-2", secret, 400},
		{"GET", good + "&from=99999999", secret, 400},
		{"GET", good + "&from=x", secret, 400},
	} {
		r := httptest.NewRequest(c.method, c.url, nil)
		if c.auth != "" {
			r.Header.Set("Authorization", "Bearer "+c.auth)
		}
		w := &recorder{httptest.NewRecorder()}
		s.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s %s: %d %q, want %d", c.method, c.url, w.Code, w.Body, c.status)
		}
		if w.Code != 200 && strings.Contains(w.Body.String(), dir) {
			t.Errorf("%s tells a path: %q", c.url, w.Body)
		}
	}
}

// recorder takes deadlines, as a connection does.
type recorder struct{ *httptest.ResponseRecorder }

func (*recorder) SetWriteDeadline(time.Time) error { return nil }

func TestServeEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Listen(ctx, "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	dir := node(t, 3000)
	done := make(chan error, 1)
	go func() { done <- serverOf(dir).Serve(ctx, l) }()
	r, err := fetchFrom(t, l.Addr().String(), 0, parts, memory(t))
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestListen(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "[::]:0", ":0", "example.com:0", "127.0.0.1"} {
		if _, err := Listen(t.Context(), addr, false); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", addr, err)
		}
	}
	l, err := Listen(t.Context(), "0.0.0.0:0", true)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// BenchmarkFetch reports the speed of one reducer that fetches 50 MB at a time.
func BenchmarkFetch(b *testing.B) {
	dir := node(b, 64_000)
	addr := start(b, serverOf(dir))
	c := NewClient(Options{})
	defer c.Close()
	into := memory(b)
	for b.Loop() {
		r, err := c.Fetch(b.Context(), Source{addr, job, attempt, 0, parts, secret}, into)
		if err != nil {
			b.Fatal(err)
		}
		x := r.Index()
		_, n := x.Span()
		b.SetBytes(n)
		r.Close()
	}
}
