package kv

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
)

// closeTime bounds how long the end of a link is told.
const closeTime = 2 * time.Second

// conn is one end of a link. It writes to the keys of its direction and hears those of the other.
type conn struct {
	transport *Transport
	secret    wire.Secret
	number    uint64
	folder    string
	direction string // of what it says
	worker    int
	done      <-chan struct{} // closed with the link
	end       func()
	get       func(coord.Key) (coord.Value, error) // until the end
	listen    func(worker int)                     // a worker begins to listen when it has said who it is; once
	work      sync.WaitGroup

	out struct {
		sync.Mutex
		count uint64
		last  wire.Kind
	}
	in struct {
		sync.Mutex
		news  chan struct{} // there is something in said
		said  *letter       // the newest that was not read
		count uint64        // of the newest that was heard
	}
	// For the reader:
	rest []byte // of the message that is being read
	body []byte
}

func newConn(ctx context.Context, t *Transport, s wire.Secret, number uint64) *conn {
	c := &conn{transport: t, secret: s, number: number}
	ctx, c.end = context.WithCancel(context.WithoutCancel(ctx)) // it lives until Close
	c.done = ctx.Done()
	c.get = func(k coord.Key) (coord.Value, error) { return t.coord.Get(ctx, k) }
	var once sync.Once
	c.listen = func(worker int) {
		once.Do(func() {
			c.worker = worker
			c.work.Go(func() { c.follow(ctx) })
		})
	}
	c.in.news = make(chan struct{}, 1)
	return c
}

// follow hears what the master writes to this worker.
func (c *conn) follow(ctx context.Context) {
	k := key(c.folder, "down", c.worker)
	c.transport.follow(ctx, string(k), []coord.Key{k}, func(at coord.Key, v coord.Value) {
		if l, ok := open(c.secret, v.Data); ok && at == k {
			c.hear(l)
		}
	})
}

// hear takes a message, or the end of the link. Only the newest is kept.
func (c *conn) hear(l letter) {
	c.in.Lock()
	defer c.in.Unlock()
	if l.link != c.number || l.count <= c.in.count {
		return
	}
	c.in.count, c.in.said = l.count, &l
	select {
	case c.in.news <- struct{}{}:
	default:
	}
}

// Send implements link.Link.
func (c *conn) Send(ctx context.Context, h wire.Header, m *wire.Message) error {
	if c.direction == "up" {
		c.listen(h.Member.Index)
	}
	c.out.Lock()
	defer c.out.Unlock()
	if c.closed() {
		return c.broken()
	}
	c.out.count++
	c.out.last = h.Kind
	k, data := key(c.folder, c.direction, c.worker), m.Bytes(h)
	pieces := slices.Collect(slices.Chunk(data, largest))
	for i, part := range slices.Backward(pieces) {
		l := letter{c.number, c.out.count, uint64(len(data)), part}
		if err := c.transport.put(ctx, piece(k, i), seal(c.secret, l)); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) closed() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *conn) broken() error {
	return errs.Errorf(op, errs.Unavailable, c.folder, "the link is closed")
}

// Read implements link.Link.
func (c *conn) Read() (wire.Header, error) {
	for len(c.rest) == 0 {
		select {
		case <-c.in.news:
		case <-c.done:
			return wire.Header{}, c.broken()
		}
		c.in.Lock()
		l := c.in.said
		c.in.said = nil
		c.in.Unlock()
		if l == nil {
			continue
		}
		if l.total == 0 { // the other side has closed
			c.end()
			return wire.Header{}, c.broken()
		}
		if err := c.gather(*l); err != nil {
			return wire.Header{}, err
		}
	}
	h, body, rest, err := wire.ParseFrame(c.rest)
	c.rest, c.body = rest, body
	return h, err
}

// gather fetches the pieces of a message. If they belong to a newer one, this one is left out: the newer will be heard.
func (c *conn) gather(first letter) error {
	data := slices.Clone(first.data)
	k := key(c.folder, map[string]string{"up": "down", "down": "up"}[c.direction], c.worker)
	for i := 1; uint64(len(data)) < first.total; i++ {
		v, err := c.get(piece(k, i))
		if err != nil {
			return errs.E(op, errs.Unavailable, k, err)
		}
		l, ok := open(c.secret, v.Data)
		if !ok || l.link != first.link || l.count != first.count {
			return nil
		}
		data = append(data, l.data...)
	}
	c.rest = data
	return nil
}

// Body implements link.Link.
func (c *conn) Body(dst []byte) error {
	if len(dst) != len(c.body) {
		return errs.Errorf(op, errs.Internal, nil, "a buffer of %d bytes for %d", len(dst), len(c.body))
	}
	copy(dst, c.body)
	return nil
}

// Close implements link.Link. The other side reads of it, unless the last word has been said already.
func (c *conn) Close() error {
	c.out.Lock()
	if c.closed() {
		c.out.Unlock()
		return nil
	}
	c.end()
	known := c.direction == "down" || c.out.count > 0 // to the other side
	last := c.out.last == wire.Dismiss || c.out.last == wire.Reject
	c.out.count++
	l := letter{link: c.number, count: c.out.count}
	c.out.Unlock()
	c.work.Wait()
	if !known || last {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return c.transport.put(ctx, key(c.folder, c.direction, c.worker), seal(c.secret, l))
}
