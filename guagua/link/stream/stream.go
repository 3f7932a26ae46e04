// Package stream links masters and workers by TCP.
//
// Both sides say every second that they are there, and take the other for gone when nothing has come from it for ten.
package stream

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// Options change how links live. The zero value is as in production.
type Options struct {
	Host string        // the address that masters listen at and publish, without a port; "" means 127.0.0.1
	Beat time.Duration // between two signs of life; 0 means 1 s
	Lost time.Duration // silence after which the other side is gone; 0 means 10 s
}

// Transport is the link.Transport over TCP.
type Transport struct{ o Options }

// New returns a transport.
func New(o Options) *Transport {
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Beat == 0 {
		o.Beat = time.Second
	}
	if o.Lost == 0 {
		o.Lost = 10 * time.Second
	}
	return &Transport{o}
}

// Dial implements link.Transport.
func (t *Transport) Dial(ctx context.Context, address string, s wire.Secret) (link.Link, error) {
	c, err := wire.Dial(ctx, address, s)
	if err != nil {
		return nil, err
	}
	return t.alive(c), nil
}

// Listen implements link.Transport. The system chooses the port.
func (t *Transport) Listen(ctx context.Context, s wire.Secret) (link.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(t.o.Host, "0"))
	if err != nil {
		return nil, errs.E("guagua.Listen", errs.Other, t.o.Host, err)
	}
	d := &listener{transport: t, secret: s, raw: l, ready: make(chan *conn), closed: make(chan struct{})}
	d.work.Go(d.run)
	return d, nil
}

// listener greets those who connect, each on its own, so that one who says nothing keeps nobody waiting.
type listener struct {
	transport *Transport
	secret    wire.Secret
	raw       net.Listener
	ready     chan *conn
	closed    chan struct{}
	once      sync.Once
	work      sync.WaitGroup
}

// maxGreetings bounds how many connections may be in the middle of their greeting.
const maxGreetings = 256

func (l *listener) run() {
	slots := make(chan struct{}, maxGreetings)
	for {
		raw, err := l.raw.Accept()
		if err != nil { // closed, or out of files for a moment
			select {
			case <-l.closed:
				return
			case <-time.After(10 * time.Millisecond):
				continue
			}
		}
		slots <- struct{}{}
		l.work.Go(func() {
			stop := make(chan struct{})
			go func() { // a greeting must not outlive the listener
				select {
				case <-l.closed:
					raw.Close()
				case <-stop:
				}
			}()
			c, err := wire.Accept(raw, l.secret)
			close(stop)
			<-slots
			if err != nil { // a stranger; whoever belongs here will come again
				return
			}
			alive := l.transport.alive(c)
			select {
			case l.ready <- alive:
			case <-l.closed:
				alive.Close()
			}
		})
	}
}

func (l *listener) Accept() (link.Link, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.closed:
		return nil, errs.Errorf("guagua.Accept", errs.Canceled, nil, "the listener is closed")
	}
}

func (l *listener) Address() string { return l.raw.Addr().String() }

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.raw.Close()
	})
	l.work.Wait()
	return nil
}

// conn is a connection that notices when the other side is gone.
type conn struct {
	*wire.Conn
	stop chan struct{}
	once sync.Once
}

func (t *Transport) alive(c *wire.Conn) *conn {
	a := &conn{Conn: c, stop: make(chan struct{})}
	go a.beat(t.o)
	return a
}

func (c *conn) beat(o Options) {
	tick := time.NewTicker(o.Beat)
	defer tick.Stop()
	var last uint64
	since := time.Now()
	for {
		select {
		case <-c.stop:
			return
		case now := <-tick.C:
			n, listens := c.Heard()
			if n != last || !listens {
				last, since = n, now
			} else if now.Sub(since) > o.Lost {
				c.Close()
				return
			}
			c.Ping()
		}
	}
}

// Close implements link.Link.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.stop) })
	return c.Conn.Close()
}
