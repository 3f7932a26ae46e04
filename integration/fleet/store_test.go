package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// trouble stands before the cluster's S3 server, at its address, and can be told to make trouble.
type trouble struct {
	proxy   http.Handler
	until   atomic.Int64 // Unix milliseconds; before that one of so many requests is refused and the rest are slow:
	oneOf   atomic.Int64
	asked   atomic.Int64 // requests meanwhile
	refused atomic.Int64
	doors   atomic.Pointer[doors] // nil: none
}

func (s *trouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if time.Now().UnixMilli() < s.until.Load() {
		if s.asked.Add(1)%s.oneOf.Load() == 0 {
			s.refused.Add(1)
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w,
				`<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
			return
		}
		select {
		case <-time.After(time.Second): // as slow as an overloaded server
		case <-r.Context().Done():
			return
		}
	}
	if d := s.doors.Load(); d != nil && !d.pass(r) {
		return
	}
	s.proxy.ServeHTTP(w, r)
}

// doors hold the requests that write what has a text in it, the first such object at the first door, the next one at
// the next, also when they are sent again.
type doors struct {
	text  []byte
	doors []door

	mu    sync.Mutex
	names []string // of the objects, in the order of the doors
}

type door struct {
	came chan struct{} // closed when a request waits there
	open chan struct{} // closed by the test
}

// hold makes doors for so many objects.
func (s *trouble) hold(text string, objects int) []door {
	d := &doors{text: []byte(text)}
	for range objects {
		d.doors = append(d.doors, door{make(chan struct{}), make(chan struct{})})
	}
	s.doors.Store(d)
	return d.doors
}

// pass returns when a request may go on, or false if nobody waits for its answer any more.
func (d *doors) pass(r *http.Request) bool {
	if r.Method != http.MethodPut {
		return true
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false
	}
	if r.Body = io.NopCloser(bytes.NewReader(body)); !bytes.Contains(body, d.text) {
		return true
	}
	at := d.of(r.URL.Path)
	if at == nil {
		return true
	}
	select {
	case <-at.open:
		return true
	case <-r.Context().Done():
		return false
	}
}

// of returns an object's door; nil if all are other objects'.
func (d *doors) of(name string) *door {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(d.names, name)
	if i < 0 && len(d.names) < len(d.doors) {
		i = len(d.names)
		d.names = append(d.names, name)
		close(d.doors[i].came)
	}
	if i < 0 {
		return nil
	}
	return &d.doors[i]
}

// troubled puts trouble in front of the cluster's S3 server until the test ends.
func troubled(t *testing.T) *trouble {
	t.Helper()
	c := needCluster(t)
	const behind = "7071"
	front, err := url.Parse(c.State.Fleet.Env["AWS_ENDPOINT_URL"])
	if err != nil {
		t.Fatal(err)
	}
	move := func(port string) error {
		if err := errors.Join(c.Kill("s3"), c.StartS3(port)); err != nil {
			return err
		}
		return c.Eventually(context.Background(), func() error { // it has no way to tell when it listens
			conn, err := net.Dial("tcp", net.JoinHostPort(front.Hostname(), port))
			if err != nil {
				return err
			}
			return conn.Close()
		})
	}
	if err := move(behind); err != nil {
		t.Fatal(err)
	}
	s := &trouble{proxy: httputil.NewSingleHostReverseProxy(&url.URL{
		Scheme: "http", Host: net.JoinHostPort(front.Hostname(), behind),
	})}
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	var listener net.Listener
	if err := c.Eventually(t.Context(), func() (err error) { // who was there goes at once, or a little later
		listener, err = net.Listen("tcp", front.Host)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }() // until it is closed
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := move(front.Port()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestStoreInTrouble: the store refuses half of all requests for 20 s, and takes a second for each of the others.
func TestStoreInTrouble(t *testing.T) { inTrouble(t, 2) }

// TestStoreOutage: the store refuses all requests for 20 s.
func TestStoreOutage(t *testing.T) { inTrouble(t, 1) }

// inTrouble has the store refuse one of so many requests for a while in the middle of jobs.
func inTrouble(t *testing.T, oneOf int64) {
	s := troubled(t)
	s.oneOf.Store(oneOf)
	span := 20 * time.Second
	if testing.Short() {
		span = 8 * time.Second
	}
	survive(t, func(*trial) { s.until.Store(time.Now().Add(span).UnixMilli()) }, nothing)
	t.Logf("%d of %d requests were refused", s.refused.Load(), s.asked.Load())
	if s.refused.Load() == 0 {
		t.Error("there was no trouble at all")
	}
}
