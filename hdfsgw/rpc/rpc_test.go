package rpc

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/colinmarc/hdfs/v2"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// cluster is a namespace in memory that is served.
type cluster struct {
	address string
	tree    *namespace.Tree
	service *namespace.Service
	store   store.Store
	o       Options
}

func newCluster(t testing.TB, o Options) *cluster {
	t.Helper()
	c := &cluster{tree: namespace.New(namespace.Options{}), store: mem.New(), o: o}
	leader, err := journal.Lead(t.Context(), c.store, "namespace", c.tree, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := leader.Close(); err != nil {
			t.Error(err)
		}
	})
	c.service = namespace.NewService(c.tree, leader, nil)
	c.address = c.serve(t, false)
	return c
}

// serve starts another server of the cluster, and returns its address.
func (c *cluster) serve(t testing.TB, standby bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.serveOn(t, standby, l)
	return l.Addr().String()
}

func (c *cluster) serveOn(t testing.TB, standby bool, l net.Listener) {
	names := func(context.Context) (*namespace.Service, error) {
		if standby {
			return nil, namespace.Refuse(namespace.Standby, "not here")
		}
		return c.service, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- New(c.store, names, c.o).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// client connects the Go client.
func (c *cluster) client(t testing.TB, user string) *hdfs.Client {
	t.Helper()
	cl, err := hdfs.NewClient(hdfs.ClientOptions{Addresses: []string{c.address}, User: user})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cl.Close() })
	return cl
}

// text is bytes that differ everywhere.
func text(n int) []byte {
	b := make([]byte, 0, n+16)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "line %d\n", i)
	}
	return b[:n]
}

// scarce is a listener that finds no free file for a while.
type scarce struct {
	net.Listener
	fails int // how often
}

func (s *scarce) Accept() (net.Conn, error) {
	if s.fails--; s.fails >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return s.Listener.Accept()
}

// TestTooManyFilesPass holds that a server which could not take a connection takes the next ones.
func TestTooManyFilesPass(t *testing.T) {
	c := newCluster(t, Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.serveOn(t, false, &scarce{l, 2})
	c.address = l.Addr().String()
	if err := c.client(t, "root").Mkdir("/d", 0o755); err != nil {
		t.Error(err)
	}
}
