package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/gateway"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/webhdfs"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/infra/store/storetest"
)

// serve runs a gateway to the files in st until the test ends, and waits until it leads.
func serve(t *testing.T, st store.Store, o gateway.Options) (*gateway.Gateway, *httptest.Server) {
	t.Helper()
	g := gateway.New(st, o)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // tests clean up after their end
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	for !g.Leads() {
		select {
		case <-g.Turns():
		case err := <-done:
			t.Fatal(err)
		}
	}
	s := httptest.NewServer(g)
	t.Cleanup(func() {
		s.Close()
		cancel()
		if err := <-done; errs.KindOf(err) != errs.Canceled {
			t.Error(err)
		}
	})
	return g, s
}

func connect(t *testing.T, o Options, servers ...*httptest.Server) *Client {
	t.Helper()
	var addresses []string
	for _, s := range servers {
		addresses = append(addresses, s.URL)
	}
	o.User = "root"
	c, err := New(addresses, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// colon stands for a colon, and sorts as one among the names of the suite.
const colon = "9~~"

// colons gives names with a colon, which the suite has one of and HDFS can't have, others.
type colons struct{ store.Store }

func swap(name store.Name) store.Name {
	return store.Name(strings.ReplaceAll(string(name), ":", colon))
}
func back(i store.Info) store.Info {
	i.Name = store.Name(strings.ReplaceAll(string(i.Name), colon, ":"))
	return i
}

func (c colons) Create(ctx context.Context, name store.Name, opts ...store.CreateOption) (store.Writer, error) {
	return c.Store.Create(ctx, swap(name), opts...)
}

func (c colons) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	return c.Store.Open(ctx, swap(name), r)
}

func (c colons) Stat(ctx context.Context, name store.Name) (store.Info, error) {
	i, err := c.Store.Stat(ctx, swap(name))
	return back(i), err
}

func (c colons) Delete(ctx context.Context, name store.Name) error {
	return c.Store.Delete(ctx, swap(name))
}

func (c colons) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		for i, err := range c.Store.List(ctx, string(swap(store.Name(prefix)))) {
			if !yield(back(i), err) {
				return
			}
		}
	}
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		_, s := serve(t, mem.New(), gateway.Options{Web: webhdfs.Options{ListLimit: 3}})
		return colons{NewStore(connect(t, Options{}, s))}
	})
}

// TestStoreReadDirectly has clients that can open the gateway's store.
func TestStoreReadDirectly(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		all := mem.New()
		_, s := serve(t, all, gateway.Options{Web: webhdfs.Options{StoreURI: "mem://all"}})
		resolve := func(context.Context, string) (store.Store, store.Name, error) { return all, "", nil }
		return colons{NewStore(connect(t, Options{Resolve: resolve}, s))}
	})
}

// counting counts the requests that are not about names only.
type counting struct {
	http.RoundTripper
	opens atomic.Int32
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Get("op") == "OPEN" {
		c.opens.Add(1)
	}
	return c.RoundTripper.RoundTrip(r)
}

// TestDirectReading holds that bytes come from the store if it is the right one, and from the gateway if it is another
// of the same name.
func TestDirectReading(t *testing.T) {
	right, wrong := mem.New(), mem.New()
	if err := store.Put(t.Context(), wrong, webhdfs.ClusterName, []byte("another")); err != nil {
		t.Fatal(err)
	}
	_, s := serve(t, right, gateway.Options{Web: webhdfs.Options{StoreURI: "mem://files/below", BlockSize: 1 << 16}})
	data := storetest.Pattern(300_000, 1)
	if err := store.Put(t.Context(), NewStore(connect(t, Options{}, s)), "f", data); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		store store.Store
		opens bool
	}{{right, false}, {wrong, true}, {nil, true}} {
		count := &counting{RoundTripper: http.DefaultTransport}
		resolve := func(_ context.Context, uri string) (store.Store, store.Name, error) {
			if c.store == nil || uri != "mem://files/below" {
				return nil, "", errs.E("resolve", errs.NotFound, uri, nil)
			}
			return c.store, "", nil
		}
		client := connect(t, Options{Resolve: resolve, HTTP: count}, s)
		for _, at := range []int{0, 65_536, 299_999, 300_000, 400_000} {
			r, err := client.Open(t.Context(), "/f", int64(at), -1)
			if err != nil {
				t.Fatal(at, err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, data[min(at, len(data)):]) {
				t.Error(at, len(got), err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if (count.opens.Load() > 0) != c.opens {
			t.Error(count.opens.Load(), "files were opened at the gateway")
		}
	}
}

// TestDamageThatIsReadDirectlyIsTold flips a bit in the store: that is no trouble of the network, which passes.
func TestDamageThatIsReadDirectlyIsTold(t *testing.T) {
	all := mem.New()
	_, s := serve(t, all, gateway.Options{Web: webhdfs.Options{StoreURI: "mem://all"}})
	resolve := func(context.Context, string) (store.Store, store.Name, error) { return all, "", nil }
	st := NewStore(connect(t, Options{Resolve: resolve}, s))
	if err := store.Put(t.Context(), st, "f", storetest.Pattern(100_000, 1)); err != nil {
		t.Fatal(err)
	}
	for info, err := range all.List(t.Context(), block.Prefix) {
		if err != nil {
			t.Fatal(err)
		}
		object, err := store.Get(t.Context(), all, info.Name, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		object[77] ^= 1
		if err := store.Put(t.Context(), all, info.Name, object); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Get(t.Context(), st, "f", 1<<20); errs.KindOf(err) != errs.Corrupt {
		t.Error(err)
	}
}

// seen notes which operations are asked for, and loses the answers to one of them.
type seen struct {
	http.RoundTripper
	loses string
	mu    sync.Mutex
	ops   []string
}

func (s *seen) RoundTrip(r *http.Request) (*http.Response, error) {
	op := r.URL.Query().Get("op")
	s.mu.Lock()
	s.ops = append(s.ops, op)
	s.mu.Unlock()
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil && op == s.loses {
		resp.Body.Close()
		return nil, fmt.Errorf("the answer was lost")
	}
	return resp, err
}

// TestDirectWriting holds that long objects go to the store itself, that nobody can give himself the blocks of others,
// and that what may be in a file is not deleted.
func TestDirectWriting(t *testing.T) {
	all := mem.New()
	_, s := serve(t, all, gateway.Options{Web: webhdfs.Options{StoreURI: "mem://all", BlockSize: 100_000}})
	resolve := func(context.Context, string) (store.Store, store.Name, error) { return all, "", nil }
	data := storetest.Pattern(2_500_000, 1) // more blocks than are allotted at once
	for _, loses := range []string{"", "CREATEOFBLOCKS"} {
		asked := &seen{RoundTripper: http.DefaultTransport, loses: loses}
		st := NewStore(connect(t, Options{Resolve: resolve, HTTP: asked, Patience: -1}, s))
		err := store.Put(t.Context(), st, "f", data) // which aborts what it could not commit
		if (err != nil) != (loses != "") {
			t.Fatal(err)
		}
		if slices.Contains(asked.ops, "CREATE") || !slices.Contains(asked.ops, "CREATEOFBLOCKS") {
			t.Error(asked.ops)
		}
		if got, err := store.Get(t.Context(), NewStore(connect(t, Options{}, s)), "f", 1<<30); !bytes.Equal(got, data) {
			t.Error(len(got), err)
		}
	}
	c := connect(t, Options{Resolve: resolve}, s)
	objects := func() (n int) {
		for _, err := range all.List(t.Context(), "blocks/") {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	before := objects()
	w, err := NewStore(c).Create(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(t.Context()); err != nil || objects() != before {
		t.Error(err, objects()-before, "objects are left")
	}
	a, err := c.allot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id, _ := block.ParseName(store.Name(a.Tickets[0].Object))
	if err := store.Put(t.Context(), all, store.Name(a.Tickets[0].Object), data[:10]); err != nil {
		t.Fatal(err)
	}
	bob, err := New([]string{s.URL}, Options{User: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	for _, theft := range []struct {
		who    *Client
		ticket webhdfs.Ticket
		length int64
		kind   errs.Kind
	}{
		{bob, a.Tickets[0], 10, errs.Permission}, {c, webhdfs.Ticket{Object: a.Tickets[0].Object}, 10, errs.Permission},
		{c, webhdfs.Ticket{Object: "cluster", Proof: a.Tickets[0].Proof}, 10, errs.Permission},
		{c, a.Tickets[0], 11, errs.Invalid}, {c, a.Tickets[0], 10, errs.Other},
	} {
		stolen := &blocksWriter{proofs: map[uint64]webhdfs.Ticket{id: theft.ticket},
			blocks: []namespace.Block{{ID: id, Length: theft.length}}}
		if err := theft.who.createOf(t.Context(), "/stolen", "", false, stolen); errs.KindOf(err) != theft.kind {
			t.Errorf("%+v: %v", theft, err)
		}
	}
}

// losing loses the answers to changes, every second one of them.
type losing struct {
	http.RoundTripper
	n atomic.Int32
}

func (l *losing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil && r.Method != http.MethodGet && l.n.Add(1)%2 == 1 {
		resp.Body.Close()
		return nil, fmt.Errorf("the answer was lost")
	}
	return resp, err
}

// TestLostAnswers holds that nothing is done twice: each of these would be refused, or answer otherwise, a second time.
func TestLostAnswers(t *testing.T) {
	_, s := serve(t, mem.New(), gateway.Options{})
	c := connect(t, Options{HTTP: &losing{RoundTripper: http.DefaultTransport}}, s)
	ctx := t.Context()
	for i := range 5 {
		path := fmt.Sprintf("/d%d/f", i)
		w := c.Create(ctx, path, CreateOptions{})
		if _, err := w.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Error("create:", err)
		}
		w = c.Append(ctx, path)
		if _, err := w.Write([]byte(" world")); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Error("append:", err)
		}
		if err := c.Rename(ctx, path, path+"2", false); err != nil {
			t.Error("rename:", err)
		}
		if s, err := c.Status(ctx, path+"2"); err != nil || s.Length != 11 {
			t.Error(s.Length, err)
		}
		if ok, err := c.Delete(ctx, path+"2", false); !ok || err != nil {
			t.Error("delete:", ok, err)
		}
	}
}

func TestRedirectsThatLeadElsewhereAreRefused(t *testing.T) {
	var target string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target, http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	c := connect(t, Options{Patience: -1, Token: "secret"}, s)
	for _, target = range []string{"http://127.0.0.1:1/other", s.URL + "/webhdfs/v1/g?op=OPEN", "ftp://h/webhdfs/v1/f"} {
		if _, err := c.Open(t.Context(), "/f", 0, -1); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// TestWhatIsNoGatewayIsNamed asks a server that knows nothing of WebHDFS, as the port for hdfs:// does not.
func TestWhatIsNoGatewayIsNamed(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	_, err := connect(t, Options{Patience: -1}, s).Status(t.Context(), "/")
	if errs.KindOf(err) != errs.Unsupported || !strings.Contains(err.Error(), "no WebHDFS is there") {
		t.Error(err)
	}
}
