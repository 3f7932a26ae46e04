package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// trouble stands before the cluster's S3 server, at its address, and can be told to make trouble.
type trouble struct {
	proxy   http.Handler
	until   atomic.Int64 // Unix milliseconds; before that every other request is refused and the rest are slow
	asked   atomic.Int64 // requests meanwhile
	refused atomic.Int64
}

func (s *trouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if time.Now().UnixMilli() < s.until.Load() {
		if s.asked.Add(1)%2 == 0 {
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
	s.proxy.ServeHTTP(w, r)
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
func TestStoreInTrouble(t *testing.T) {
	s := troubled(t)
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
