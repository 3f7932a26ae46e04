// Package mem links masters and workers in one process: for tests, and as the plainest reading of the contract.
//
// The bytes are those of package wire, over pipes. Links can be cut, as a network would, one by one or all at once.
package mem

import (
	"context"
	"net"
	"strconv"
	"sync"

	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// Transport is the link.Transport of one process.
type Transport struct {
	mu    sync.Mutex
	doors map[string]*door
	links []net.Conn // the workers' ends of those that were made
	next  int
}

// New returns a transport without listeners.
func New() *Transport { return &Transport{doors: map[string]*door{}} }

// door is a listener.
type door struct {
	transport *Transport
	address   string
	secret    wire.Secret
	ready     chan *wire.Conn
	closed    chan struct{}
	once      sync.Once
}

// Listen implements link.Transport.
func (t *Transport) Listen(_ context.Context, s wire.Secret) (link.Listener, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	d := &door{t, "mem-" + strconv.Itoa(t.next), s, make(chan *wire.Conn), make(chan struct{}), sync.Once{}}
	t.doors[d.address] = d
	return d, nil
}

// Dial implements link.Transport.
func (t *Transport) Dial(ctx context.Context, address string, s wire.Secret) (link.Link, error) {
	const op = "guagua.Dial"
	t.mu.Lock()
	d := t.doors[address]
	t.mu.Unlock()
	if d == nil {
		return nil, errs.Errorf(op, errs.Unavailable, address, "nobody listens")
	}
	here, there := net.Pipe()
	go d.greet(there)
	t.mu.Lock()
	t.links = append(t.links, here)
	t.mu.Unlock()
	return wire.Greet(ctx, here, s)
}

// Cut breaks the i-th link that was made, counted from 0 modulo their number; -1 breaks them all.
func (t *Transport) Cut(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for j, l := range t.links {
		if i < 0 || j == i%len(t.links) {
			l.Close()
		}
	}
}

// greet lets one worker in, or finds that it is a stranger.
func (d *door) greet(raw net.Conn) {
	c, err := wire.Accept(raw, d.secret)
	if err != nil {
		return
	}
	select {
	case d.ready <- c:
	case <-d.closed:
		c.Close()
	}
}

// Accept implements link.Listener.
func (d *door) Accept() (link.Link, error) {
	select {
	case c := <-d.ready:
		return c, nil
	case <-d.closed:
		return nil, errs.Errorf("guagua.Accept", errs.Canceled, d.address, "the listener is closed")
	}
}

// Address implements link.Listener.
func (d *door) Address() string { return d.address }

// Close implements link.Listener.
func (d *door) Close() error {
	d.once.Do(func() {
		close(d.closed)
		d.transport.mu.Lock()
		delete(d.transport.doors, d.address)
		d.transport.mu.Unlock()
	})
	return nil
}
