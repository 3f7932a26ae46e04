package wire

import (
	"bufio"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/seed3322913c/runner/infra/errs"
)

// Conn is a connection over which both sides have proved themselves. Reading is for one goroutine; writing for many.
type Conn struct {
	raw     net.Conn
	in      *bufio.Reader
	head    [HeaderLen]byte
	next    Header // the frame whose body has not been read
	pending bool
	heard   atomic.Uint64 // how often bytes have come
	listens atomic.Bool   // somebody waits for bytes
	pinging atomic.Bool
	out     struct {
		sync.Mutex
		buf     []byte
		vectors net.Buffers
	}
}

// small is the length of a body that is copied behind its header, to be written by one system call of one piece.
const small = 8 << 10

func newConn(raw net.Conn) *Conn {
	c := &Conn{raw: raw}
	c.in = bufio.NewReaderSize((*ear)(c), 4<<10)
	return c
}

// ear reads from the connection and takes note.
type ear Conn

func (e *ear) Read(p []byte) (int, error) {
	e.listens.Store(true)
	n, err := e.raw.Read(p)
	e.listens.Store(false)
	if n > 0 {
		e.heard.Add(1)
	}
	return n, err
}

// Close ends the connection; a Read or Write under way returns with an error. The second time it does nothing.
func (c *Conn) Close() error {
	if err := c.raw.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return broken(err)
	}
	return nil
}

// Peer returns the other end's address.
func (c *Conn) Peer() string { return c.raw.RemoteAddr().String() }

// Heard returns a number that grows whenever bytes arrive. If it stands still for long although somebody listens, the
// other end is gone: it should have sent pings.
func (c *Conn) Heard() (n uint64, listens bool) { return c.heard.Load(), c.listens.Load() }

// Ping sends a sign of life, unless something is being sent anyway. It does not wait.
func (c *Conn) Ping() {
	if c.pinging.Swap(true) {
		return
	}
	go func() {
		defer c.pinging.Store(false)
		c.Say(Header{Kind: Ping}, nil) //nolint:errcheck // a broken connection shows when it is read
	}()
}

// Read waits for the next frame that is not a ping and returns its header. The body of the frame before, if it was not
// taken, is skipped and not checked.
func (c *Conn) Read() (Header, error) {
	for {
		if c.pending {
			c.pending = false
			if _, err := c.in.Discard(c.next.Length); err != nil {
				return Header{}, broken(err)
			}
		}
		if _, err := io.ReadFull(c.in, c.head[:]); err != nil {
			return Header{}, broken(err)
		}
		h, err := parse(c.head[:])
		if err != nil {
			return Header{}, err
		}
		c.next, c.pending = h, true
		if h.Kind != Ping {
			return h, nil
		}
	}
}

// Body reads the body of the frame that Read returned last, and checks it. dst is as long as the header says.
func (c *Conn) Body(dst []byte) error {
	if !c.pending || len(dst) != c.next.Length {
		return errs.Errorf(op, errs.Internal, c.next.Kind, "a buffer of %d bytes for %d", len(dst), c.next.Length)
	}
	c.pending = false
	if _, err := io.ReadFull(c.in, dst); err != nil {
		return broken(err)
	}
	if crc32.Checksum(dst, castagnoli()) != c.next.crc {
		h := &c.next
		return errs.Errorf(op, errs.Corrupt, h.Kind, "the checksum of a piece at %d of %d differs", h.Offset, h.Total)
	}
	return nil
}

// Buffered reports whether another frame has already begun to arrive.
func (c *Conn) Buffered() bool {
	have := c.in.Buffered()
	if c.pending {
		have -= c.next.Length
	}
	return have >= HeaderLen
}

// ParseFrame reads the frame at the front of b and checks it. Its body is a view.
func ParseFrame(b []byte) (h Header, body, rest []byte, err error) {
	if len(b) < HeaderLen {
		return h, nil, nil, errs.Errorf(op, errs.Corrupt, nil, "%d bytes are no frame", len(b))
	}
	if h, err = parse(b[:HeaderLen]); err != nil {
		return h, nil, nil, err
	}
	if b = b[HeaderLen:]; len(b) < h.Length {
		return h, nil, nil, errs.Errorf(op, errs.Corrupt, h.Kind, "%d bytes are left of %d", len(b), h.Length)
	}
	if body, rest = b[:h.Length], b[h.Length:]; crc32.Checksum(body, castagnoli()) != h.crc {
		return h, nil, nil, errs.Errorf(op, errs.Corrupt, h.Kind, "the checksum of a piece at %d differs", h.Offset)
	}
	return h, body, rest, nil
}

// Send writes a message, frame by frame; other goroutines may write between two frames. Of a message that grows it
// waits for each piece. It stops early, without an error, when ctx ends or the message is stopped: the rest of it is
// then never sent.
func (c *Conn) Send(ctx context.Context, h Header, m *Message) error {
	for i := range m.crcs {
		if !m.await(&h, i) || i > 0 && ctx.Err() != nil {
			return nil
		}
		body := m.piece(&h, i)
		if err := c.write(&h, body); err != nil {
			return err
		}
	}
	return nil
}

// Say writes a short message: at most Chunk bytes.
func (c *Conn) Say(h Header, body []byte) error {
	h.Total, h.Length, h.crc = int64(len(body)), len(body), crc32.Checksum(body, castagnoli())
	return c.write(&h, body)
}

func (c *Conn) write(h *Header, body []byte) error {
	c.out.Lock()
	defer c.out.Unlock()
	c.out.buf = h.append(c.out.buf[:0])
	var err error
	if len(body) <= small {
		c.out.buf = append(c.out.buf, body...)
		_, err = c.raw.Write(c.out.buf)
	} else {
		c.out.vectors = append(c.out.vectors[:0], c.out.buf, body)
		whole := c.out.vectors // WriteTo eats its receiver
		_, err = whole.WriteTo(c.raw)
		c.out.vectors[1] = nil
	}
	return broken(err)
}

// broken gives errors of the network the kind Unavailable: another connection may work.
func broken(err error) error {
	if err == nil {
		return nil
	}
	return errs.E(op, errs.Unavailable, nil, err)
}
