package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed3322913c/runner/hdfsgw/gateway"
	"github.com/seed3322913c/runner/hdfsgw/webhdfs"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/infra/store/storetest"
)

// read returns a file's bytes.
func read(t *testing.T, c *Client, path string) ([]byte, error) {
	t.Helper()
	r, err := c.Open(t.Context(), path, 0, -1)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// TestStoreFails has a gateway's store fail, lose answers and return less than was asked for. What was acknowledged is
// there, what was not is absent or a prefix, and what is read is what was written.
func TestStoreFails(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	st := fault.New(mem.New(), seed)
	_, s := serve(t, st, gateway.Options{Web: webhdfs.Options{BlockSize: 100_000}})
	c := connect(t, Options{Patience: time.Second}, s)
	if err := c.Mkdirs(t.Context(), "/d", 0); err != nil {
		t.Fatal(err)
	}
	var hits atomic.Int32
	hit := func() { hits.Add(1) }
	for _, match := range []string{"blocks/", "namespace/"} {
		for _, op := range []around.Op{around.Create, around.Commit, around.Open, around.Delete} {
			st.Add(fault.Rule{Op: op, Match: match, Chance: 0.05, Effect: fault.Fail, Hit: hit},
				fault.Rule{Op: op, Match: match, Chance: 0.05, Effect: fault.LoseReply, Hit: hit})
		}
	}
	st.Add(fault.Rule{Op: around.Write, Match: "blocks/", Chance: 0.02, Effect: fault.Cut, Hit: hit},
		fault.Rule{Op: around.Read, Match: "blocks/", Chance: 0.1, Effect: fault.Cut, Hit: hit})
	written := map[string]bool{}
	right := 0
	files := 80
	if testing.Short() {
		files = 40
	}
	for i := range files {
		path, data := fmt.Sprintf("/d/%d", i), storetest.Pattern(i*i*37%700_000, byte(i))
		w := c.Create(t.Context(), path, CreateOptions{})
		_, err := w.Write(data)
		if err == nil {
			err = w.Close()
		}
		w.Abort()
		written[path] = err == nil
		got, err := read(t, c, path)
		if err == nil {
			right++
			if written[path] && !bytes.Equal(got, data) || !bytes.HasPrefix(data, got) {
				t.Errorf("%s: %d bytes of %d, which are not those", path, len(got), len(data))
			}
		}
	}
	st.Clear()
	for i := range files {
		path, data := fmt.Sprintf("/d/%d", i), storetest.Pattern(i*i*37%700_000, byte(i))
		got, err := read(t, c, path)
		switch {
		case errs.KindOf(err) == errs.NotFound && !written[path]:
		case err != nil:
			t.Errorf("%s, acknowledged %v: %v", path, written[path], err)
		case written[path] && !bytes.Equal(got, data) || !bytes.HasPrefix(data, got):
			t.Errorf("%s, acknowledged %v: %d bytes of %d", path, written[path], len(got), len(data))
		}
	}
	if right == 0 || hits.Load() == 0 {
		t.Errorf("%d readings succeeded under %d faults", right, hits.Load())
	}
}

// TestDamageIsNotHandedOut flips bits on the way from the store: a reader of a whole file gets an error instead.
func TestDamageIsNotHandedOut(t *testing.T) {
	st := fault.New(mem.New(), 1)
	_, s := serve(t, st, gateway.Options{Web: webhdfs.Options{BlockSize: 100_000}})
	c := connect(t, Options{Patience: -1}, s)
	data := storetest.Pattern(350_000, 1)
	w := c.Create(t.Context(), "/f", CreateOptions{})
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for nth := 1; nth <= 4; nth++ {
		st.Add(fault.Rule{Op: around.Read, Match: "blocks/", Chance: 0.3, Effect: fault.Corrupt})
		got, err := read(t, c, "/f")
		if err == nil && !bytes.Equal(got, data) {
			t.Error("damaged bytes were handed out as a whole file")
		}
		if len(got) > 0 && !bytes.HasPrefix(data, got[:len(got)/100_000*100_000]) {
			t.Error("a damaged block was handed out whole")
		}
		st.Clear()
	}
}

// TestTwoLeaders has two gateways that nobody tells which one leads. The younger does, the older one ends as soon as it
// notices, and their clients go on.
func TestTwoLeaders(t *testing.T) {
	st := mem.New()
	older := gateway.New(st, gateway.Options{})
	ended := make(chan error, 1)
	go func() { ended <- older.Run(t.Context()) }()
	one := httptest.NewServer(older)
	defer one.Close()
	for !older.Leads() {
		<-older.Turns()
	}
	c := connect(t, Options{}, one)
	if err := c.Mkdirs(t.Context(), "/before", 0); err != nil {
		t.Fatal(err)
	}
	_, two := serve(t, st, gateway.Options{})
	both := connect(t, Options{}, one, two)
	for i := range 20 {
		if err := both.Mkdirs(t.Context(), fmt.Sprint("/after-", i), 0); err != nil {
			t.Fatal(err)
		}
	}
	names := 0
	for _, err := range both.List(t.Context(), "/") {
		if err != nil {
			t.Fatal(err)
		}
		names++
	}
	if names != 21 {
		t.Error(names, "directories")
	}
	if err := <-ended; errs.KindOf(err) != errs.Fenced {
		t.Error(err)
	}
}

// TestAClientThatHangsUp holds that what a gateway reads for a client ends with the client.
func TestAClientThatHangsUp(t *testing.T) {
	st := fault.New(mem.New(), 1)
	_, s := serve(t, st, gateway.Options{})
	c := connect(t, Options{Patience: -1}, s)
	w := c.Create(t.Context(), "/f", CreateOptions{})
	if _, err := w.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, hangUp := context.WithCancel(t.Context())
	st.Add(fault.Rule{Op: around.Open, Match: "blocks/", Effect: fault.Hold, Until: make(chan struct{}), // for ever
		Hit: hangUp})
	if r, err := c.Open(ctx, "/f", 0, -1); err == nil {
		t.Error("opened", r)
	} else if errs.KindOf(err) != errs.Canceled {
		t.Error(err)
	}
	s.Close() // waits for the handlers
}
