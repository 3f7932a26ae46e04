package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.uber.org/goleak"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/s3"
	"github.com/seed3322913c/runner/infra/store/s3/s3test"
	"github.com/seed3322913c/runner/infra/store/storetest"
	"github.com/seed3322913c/runner/infra/store/upload"
)

func open(t testing.TB, conf s3.Config) *s3.Store {
	t.Helper()
	st, err := s3.Open(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func put(t testing.TB, st store.Store, name store.Name, data []byte) {
	t.Helper()
	if err := store.Put(t.Context(), st, name, data); err != nil {
		t.Fatal(err)
	}
}

func list(t testing.TB, st store.Store, prefix string) (names []string) {
	t.Helper()
	for info, err := range st.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, string(info.Name))
	}
	return names
}

func TestStore(t *testing.T) {
	srv := s3test.Start(t)
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, srv.Config(srv.NewBucket(t))) })
}

// The same over small ranges and parts, so that every object of some size takes the parallel paths, below a prefix.
func TestStoreInSmallPieces(t *testing.T) {
	srv := s3test.Start(t)
	storetest.Run(t, func(t *testing.T) store.Store {
		conf := srv.Config(srv.NewBucket(t))
		conf.Prefix, conf.ReadSize, conf.PartSize, conf.Parallel = "some/where", 100_000, store.MinPart, 3
		return open(t, conf)
	})
}

func TestPrefixesAreApart(t *testing.T) {
	srv := s3test.Start(t)
	conf := srv.Config(srv.NewBucket(t))
	whole := open(t, conf)
	conf.Prefix = "a"
	a := open(t, conf)
	conf.Prefix = "ab"
	ab := open(t, conf)
	put(t, a, "x", []byte("in a"))
	put(t, ab, "x", []byte("in ab"))
	for _, c := range []struct {
		st   store.Store
		want []string
	}{{whole, []string{"a/x", "ab/x"}}, {a, []string{"x"}}, {ab, []string{"x"}}} {
		if got := list(t, c.st, ""); !slices.Equal(got, c.want) {
			t.Errorf("listed %q, want %q", got, c.want)
		}
	}
	for u := range whole.Uploads(t.Context(), "") {
		t.Errorf("an upload of %s is left by Open", u.Name)
	}
}

func TestOpenErrors(t *testing.T) {
	srv := s3test.Start(t)
	good := srv.Config(srv.NewBucket(t))
	with := func(change func(*s3.Config)) s3.Config {
		conf := good
		change(&conf)
		return conf
	}
	for what, c := range map[string]struct {
		conf s3.Config
		want errs.Kind
	}{
		"no bucket":     {with(func(c *s3.Config) { c.Bucket = "" }), errs.Invalid},
		"no such one":   {with(func(c *s3.Config) { c.Bucket = "nobody-made-it" }), errs.NotFound},
		"bad prefix":    {with(func(c *s3.Config) { c.Prefix = "a//b" }), errs.Invalid},
		"small parts":   {with(func(c *s3.Config) { c.PartSize = 1 << 20 }), errs.Invalid},
		"wrong secret":  {with(func(c *s3.Config) { c.Credentials = static("tester", "wrong") }), errs.Permission},
		"nobody's port": {with(func(c *s3.Config) { c.Endpoint = "http://127.0.0.1:1" }), errs.Unavailable},
	} {
		if _, err := s3.Open(t.Context(), c.conf); errs.KindOf(err) != c.want {
			t.Errorf("%s: %v (kind %v), want kind %v", what, err, errs.KindOf(err), c.want)
		}
	}
}

// static are credentials that never change.
func static(key, secret string) credentials.StaticCredentialsProvider {
	return credentials.NewStaticCredentialsProvider(key, secret, "")
}

// A task uploads, a ledger keeps what it says, and another process publishes it.
func TestHandOver(t *testing.T) {
	srv := s3test.Start(t)
	conf := srv.Config(srv.NewBucket(t))
	task, master := open(t, conf), open(t, conf)
	data := storetest.Pattern(2*store.MinPart+5, 1)
	w := upload.New(t.Context(), task, "out/part-0", upload.Options{PartSize: store.MinPart})
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	u, parts, err := w.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := master.CompleteUpload(t.Context(), u, parts, store.IfAbsent()); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := store.Get(t.Context(), master, "out/part-0", 1<<30); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// A reader that is left before its end leaves nothing running.
func TestReaderLeftEarly(t *testing.T) {
	srv := s3test.Start(t)
	conf := srv.Config(srv.NewBucket(t))
	conf.ReadSize = 100_000
	st := open(t, conf)
	put(t, st, "a", storetest.Pattern(3_000_000, 1))
	before := goleak.IgnoreCurrent()
	for _, n := range []int{0, 1, 150_000, 250_000} {
		rd, err := st.Open(t.Context(), "a", store.Range{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, rd, int64(n)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := rd.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := rd.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("read after close: %v", err)
		}
	}
	// Connections that are kept for later have goroutines of their own.
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

func TestReplacedWhileRead(t *testing.T) {
	srv := s3test.Start(t)
	conf := srv.Config(srv.NewBucket(t))
	conf.ReadSize, conf.Parallel = 100_000, 2
	st := open(t, conf)
	put(t, st, "a", storetest.Pattern(3_000_000, 1))
	rd, err := st.Open(t.Context(), "a", store.Range{})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	if _, err := io.CopyN(io.Discard, rd, 150_000); err != nil {
		t.Fatal(err)
	}
	put(t, st, "a", storetest.Pattern(3_000_000, 2))
	if n, err := io.Copy(io.Discard, rd); !errors.Is(err, errs.Unavailable) || n > 500_000 {
		t.Errorf("%d bytes more, %v", n, err)
	}
}

// What the XML of a listing can't hold comes URL-encoded from servers that know how; folders of S3's console and keys
// that are no names are told apart.
func TestListings(t *testing.T) {
	keys := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("encoding-type") != "url" {
			t.Errorf("asked for %s", r.URL.RawQuery)
		}
		fmt.Fprintf(w, `<ListBucketResult><EncodingType>url</EncodingType>`)
		for key := range strings.FieldsSeq(keys) {
			fmt.Fprintf(w, `<Contents><Key>%s</Key><Size>1</Size><ETag>"x"</ETag></Contents>`, key)
		}
		fmt.Fprintf(w, `</ListBucketResult>`)
	}))
	defer srv.Close()
	st := open(t, s3.Config{
		Bucket: "b", Prefix: "p", Endpoint: srv.URL, PathStyle: true, Credentials: static("k", "s"), NoProbe: true,
	})
	keys = "p/a+b p/a%01b p/a%2Bb p/d/ p/"
	if got, want := list(t, st, ""), []string{"a b", "a\x01b", "a+b"}; !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	keys = "p/a p/a//b"
	var last error
	for _, err := range st.List(t.Context(), "") {
		last = err
	}
	if !errors.Is(last, errs.Invalid) || !strings.Contains(last.Error(), "a//b") {
		t.Errorf("a key that is no name: %v", last)
	}
}

func BenchmarkLarge(b *testing.B) {
	srv := s3test.Start(b)
	st := open(b, srv.Config(srv.NewBucket(b)))
	data := storetest.Pattern(256<<20, 1)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			put(b, st, "large", data)
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		buf := make([]byte, 1<<20)
		for b.Loop() {
			rd, err := st.Open(b.Context(), "large", store.Range{})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, rd, buf); err != nil {
				b.Fatal(err)
			}
			if err := rd.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("small", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if err := store.Put(b.Context(), st, store.Name(fmt.Sprintf("s/%d/%d", b.N, i)), data[:4096]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
