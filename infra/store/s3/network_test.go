package s3_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/retry"
	"github.com/seed3322913c/runner/infra/store/s3"
	"github.com/seed3322913c/runner/infra/store/s3/s3test"
	"github.com/seed3322913c/runner/infra/store/storetest"
)

// The tests of this file put a bad network, or a bad server, between the driver and a good server.

// handler sees each request and passes it on, or does what it likes.
type handler func(w http.ResponseWriter, r *http.Request, pass http.Handler)

// between starts a proxy before srv and returns its URL.
func between(t *testing.T, srv *s3test.Server, handle handler) string {
	t.Helper()
	target, err := url.Parse(srv.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // which is signed
		},
		ErrorLog: log.New(io.Discard, "", 0), // readers that leave early are no news
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r, pass) }))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// without removes a header that is signed, and signs again, as a server does that never knew the header.
func without(t *testing.T, srv *s3test.Server, r *http.Request, header string) {
	keys, err := srv.Credentials.Retrieve(r.Context())
	if err != nil {
		t.Error(err)
	}
	r.Header.Del(header)
	r.Header.Del("Authorization")
	body := r.Header.Get("X-Amz-Content-Sha256")
	err = v4.NewSigner().SignHTTP(r.Context(), keys, r, body, "s3", srv.Region, time.Now(),
		func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err != nil {
		t.Error(err)
	}
}

func TestServerThatIgnoresConditions(t *testing.T) {
	srv := s3test.Start(t)
	for what, ignored := range map[string]func(r *http.Request) bool{
		"of single requests": func(r *http.Request) bool { return r.Method == http.MethodPut },
		"of uploads":         func(r *http.Request) bool { return r.Method == http.MethodPost },
	} {
		conf := srv.Config(srv.NewBucket(t))
		direct := open(t, conf)
		conf.Endpoint = between(t, srv, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if ignored(r) {
				without(t, srv, r, "If-None-Match")
			}
			pass.ServeHTTP(w, r)
		})
		_, err := s3.Open(t.Context(), conf)
		if !errors.Is(err, errs.Unsupported) || !strings.Contains(err.Error(), "If-None-Match") {
			t.Errorf("conditions %s are ignored, and Open says %v", what, err)
		}
		if left := list(t, direct, ""); len(left) > 0 {
			t.Errorf("the probe left %q", left)
		}
		conf.NoProbe = true
		open(t, conf)
	}
}

// Over TLS a body is not hashed for the signature; its CRC goes along as ever.
func TestTLS(t *testing.T) {
	srv := s3test.Start(t)
	target, err := url.Parse(srv.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var bodies atomic.Int32
	proxy := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		if r.In.ContentLength > 0 && r.In.Method == http.MethodPut {
			bodies.Add(1)
			h := r.In.Header
			if h.Get("X-Amz-Content-Sha256") != "UNSIGNED-PAYLOAD" || h.Get("X-Amz-Checksum-Crc32c") == "" {
				t.Errorf("a body came with %v", h)
			}
		}
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}})
	defer proxy.Close()
	trusted := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw}
	if err := os.WriteFile(trusted, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", trusted)
	conf := srv.Config(srv.NewBucket(t))
	conf.Endpoint, conf.PartSize = proxy.URL, store.MinPart
	st := open(t, conf)
	for _, size := range []int{1000, store.MinPart + 1} {
		data := storetest.Pattern(size, 1)
		put(t, st, "a", data)
		if got, err := store.Get(t.Context(), st, "a", 1<<30); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	if bodies.Load() != 3 {
		t.Errorf("%d bodies were seen", bodies.Load())
	}
}

func TestBucketThatMayOnlyBeRead(t *testing.T) {
	srv := s3test.Start(t)
	conf := srv.Config(srv.NewBucket(t))
	put(t, open(t, conf), "a", []byte("public"))
	conf.Endpoint = between(t, srv, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			pass.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `<Error><Code>AccessDenied</Code></Error>`)
	})
	st := open(t, conf)
	if got, err := store.Get(t.Context(), st, "a", 100); err != nil || string(got) != "public" {
		t.Errorf("%q, %v", got, err)
	}
	if err := store.Put(t.Context(), st, "b", nil); !errors.Is(err, errs.Permission) {
		t.Errorf("write: %v", err)
	}
}

// A request arrives and has its effect; its answer does not arrive.
func TestLostReplies(t *testing.T) {
	srv := s3test.Start(t)
	conf := srv.Config(srv.NewBucket(t))
	direct := open(t, conf)
	var lose atomic.Bool
	conf.NoProbe = true
	conf.PartSize = store.MinPart
	conf.Endpoint = between(t, srv, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		puts := r.Method == http.MethodPut && r.URL.RawQuery == "x-id=PutObject"
		completes := r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
		if (puts || completes) && lose.Swap(false) {
			pass.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler) // closes the connection
		}
		pass.ServeHTTP(w, r)
	})
	st := open(t, conf)
	for _, data := range [][]byte{[]byte("small"), storetest.Pattern(2*store.MinPart, 1)} {
		name := store.Name("log/" + string(data[:1]))
		w, err := st.Create(t.Context(), name, store.IfAbsent())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		lose.Store(true)
		if err := w.Commit(t.Context()); !errors.Is(err, errs.Unavailable) {
			t.Fatalf("%d bytes: first commit: %v", len(data), err)
		}
		if got, err := store.Get(t.Context(), direct, name, 1<<30); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes: the proxy was to pass it on: %d bytes, %v", len(data), len(got), err)
		}
		if err := w.Commit(t.Context()); err != nil {
			t.Errorf("%d bytes: a writer takes its own object for another's: %v", len(data), err)
		}
		err = store.Put(t.Context(), st, name, data, store.IfAbsent())
		if !errors.Is(err, errs.Exist) {
			t.Errorf("%d bytes: a writer takes another's object for its own: %v", len(data), err)
		}
		if err := w.Abort(t.Context()); err != nil {
			t.Error(err)
		}
		// The wrapper does all of this by itself.
		lose.Store(true)
		again := retry.New(st, retry.Options{First: time.Millisecond, Keep: store.MinPart})
		if err := store.Put(t.Context(), again, name+"-again", data, store.IfAbsent()); err != nil {
			t.Errorf("%d bytes, with retries: %v", len(data), err)
		}
	}
	for u := range direct.Uploads(t.Context(), "") {
		t.Errorf("an upload of %s is left", u.Name)
	}
}

// tamper is a proxy that changes the bodies of answers to GET requests for objects.
func tamper(t *testing.T, srv *s3test.Server, change func(body []byte) []byte) string {
	return between(t, srv, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method != http.MethodGet || r.URL.Query().Has("list-type") {
			pass.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		pass.ServeHTTP(answer, r)
		for key, values := range answer.Header() {
			w.Header()[key] = values // Content-Length too: what is shorter breaks off
		}
		w.WriteHeader(answer.Code)
		w.Write(change(answer.Body.Bytes()))
	})
}

func TestDamagedOnTheWay(t *testing.T) {
	srv := s3test.Start(t)
	conf := srv.Config(srv.NewBucket(t))
	conf.ReadSize, conf.PartSize = 1<<20, store.MinPart
	direct := open(t, conf)
	sizes := map[store.Name]int{"one": 1, "small": 5000, "parts": 2*store.MinPart + 1}
	for name, size := range sizes {
		put(t, direct, name, storetest.Pattern(size, 1))
	}
	conf.NoProbe = true
	conf.Endpoint = tamper(t, srv, func(body []byte) []byte {
		body[len(body)/2] ^= 0x10
		return body
	})
	st := open(t, conf)
	for name := range sizes {
		if _, err := store.Get(t.Context(), st, name, 1<<30); !errors.Is(err, errs.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBrokenOff(t *testing.T) {
	srv := s3test.Start(t)
	conf := srv.Config(srv.NewBucket(t))
	conf.ReadSize = 100_000
	direct := open(t, conf)
	data := storetest.Pattern(1_000_000, 1)
	put(t, direct, "a", data)
	var answers atomic.Int32
	conf.NoProbe = true
	conf.Endpoint = tamper(t, srv, func(body []byte) []byte {
		if answers.Add(1)%3 == 1 { // the first and every third after it
			return body[:len(body)/2]
		}
		return body
	})
	st := open(t, conf)
	if got, err := store.Get(t.Context(), st, "a", 1<<30); !errors.Is(err, errs.Unavailable) {
		t.Errorf("a broken answer: %d bytes, %v", len(got), err)
	}
	again := retry.New(st, retry.Options{First: time.Millisecond})
	for _, r := range []store.Range{{}, {Offset: 1000, Length: 777_777}} {
		rd, err := again.Open(t.Context(), "a", r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rd)
		if err := errors.Join(err, rd.Close()); err != nil {
			t.Fatal(err)
		}
		if begin, end := r.Bounds(int64(len(data))); !bytes.Equal(got, data[begin:end]) {
			t.Errorf("range %+v: %d bytes, not what they should be", r, len(got))
		}
	}
}

// TestReadsAheadForThoseWhoReadOn holds that a look at a few bytes costs one request, and that whoever reads on gets
// ranges ahead.
func TestReadsAheadForThoseWhoReadOn(t *testing.T) {
	srv := s3test.Start(t)
	conf := srv.Config(srv.NewBucket(t))
	conf.ReadSize = 100_000
	put(t, open(t, conf), "a", storetest.Pattern(1_000_000, 1))
	conf.NoProbe = true
	for _, c := range []struct {
		read     int64
		min, max int32
	}{{100, 1, 1}, {50_000, 1, 2}, {150_000, 2, 4}, {1_000_000, 10, 10}} {
		var answers atomic.Int32 // of a proxy for this reader alone: what it has asked for may be answered when it has gone
		conf.Endpoint = tamper(t, srv, func(body []byte) []byte {
			answers.Add(1)
			return body
		})
		rd, err := open(t, conf).Open(t.Context(), "a", store.Range{Length: 1_000_000})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, iotest.OneByteReader(rd), c.read); err != nil {
			t.Error(err)
		}
		if err := rd.Close(); err != nil {
			t.Error(err)
		}
		if n := answers.Load(); n < c.min || n > c.max {
			t.Errorf("%d bytes took %d requests", c.read, n)
		}
	}
}

// A server that knows no ranges would hand out the beginning of an object for its middle.
func TestServerWithoutRanges(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"x"`)
		w.Write(make([]byte, 1000))
	}))
	defer srv.Close()
	st := open(t, s3.Config{
		Bucket: "b", Endpoint: srv.URL, PathStyle: true, Credentials: static("k", "s"), NoProbe: true, ReadSize: 100,
	})
	if _, err := store.Get(t.Context(), st, "a", 1000); !errors.Is(err, errs.Unsupported) {
		t.Errorf("whole: %v", err)
	}
	if _, err := st.Open(t.Context(), "a", store.Range{Offset: 10}); !errors.Is(err, errs.Unsupported) {
		t.Errorf("range: %v", err)
	}
}

func TestKinds(t *testing.T) {
	answer := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, "<Error><Code>"+code+"</Code></Error>")
		}
	}
	for _, c := range []struct {
		handler http.HandlerFunc
		want    errs.Kind
	}{
		{answer(503, "SlowDown"), errs.Unavailable},
		{answer(500, "InternalError"), errs.Unavailable},
		{answer(502, ""), errs.Unavailable},
		{answer(429, ""), errs.Unavailable},
		{answer(400, "RequestTimeout"), errs.Unavailable},
		{answer(409, "OperationAborted"), errs.Unavailable},
		{answer(400, "BadDigest"), errs.Unavailable},
		{answer(404, "NoSuchKey"), errs.NotFound},
		{answer(404, "NoSuchBucket"), errs.NotFound},
		{answer(403, "AccessDenied"), errs.Permission},
		{answer(400, "ExpiredToken"), errs.Permission},
		{answer(501, "NotImplemented"), errs.Unsupported},
		{answer(507, ""), errs.Exhausted},
		{answer(400, "InvalidArgument"), errs.Invalid},
		{func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, errs.Unavailable},
	} {
		srv := httptest.NewServer(c.handler)
		st := open(t, s3.Config{
			Bucket: "b", Endpoint: srv.URL, PathStyle: true, Credentials: static("k", "s"), NoProbe: true,
		})
		_, err := st.Open(t.Context(), "a", store.Range{})
		if errs.KindOf(err) != c.want {
			t.Errorf("open: %v (kind %v), want kind %v", err, errs.KindOf(err), c.want)
		}
		if err := store.Put(t.Context(), st, "a", nil); errs.KindOf(err) != c.want {
			t.Errorf("put: %v (kind %v), want kind %v", err, errs.KindOf(err), c.want)
		}
		srv.Close()
	}
}
