// Package plainhttp answers plain requests for less than net/http takes. That keeps a second goroutine on each
// connection, which waits for the client to hang up while a request is answered, and gives each request a context and
// deadlines: a good part of what a short question costs.
//
// A Listener stands between the network and an http.Server:
//
//	net.Listener --> Listener --> http.Server
//	                    |              |
//	                    +--> Handler <-+
//
// A request is plain if all of it has arrived at once, it has no body, and its target is one whose answer is short and
// comes soon. Such are answered where they are read. The first request of a connection that is anything else goes to
// the http.Server, as it came, and so does all that follows it there. In both cases net/http parses.
//
// The context of a plain request does not end when its client hangs up, and its ResponseWriter is nothing but that: an
// answer of more than 32 KiB is sent in chunks, others with their Content-Length.
package plainhttp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"

	"github.com/seed3322913c/runner/infra/errs"
)

// maxHead is how long a plain request may be, in bytes.
const maxHead = 4 << 10

// Listener answers plain requests, and yields the connections of others. It is the net.Listener of an http.Server.
type Listener struct {
	inner   net.Listener
	handler http.Handler
	short   func(target string) bool

	others  chan net.Conn // for the http.Server
	failed  chan error    // of Accept
	closed  chan struct{}
	running sync.WaitGroup // accept, and connections that have only brought plain requests

	mu struct {
		sync.Mutex
		idle   map[net.Conn]bool // wait for a request
		closed bool
	}
}

// New takes over l. h answers plain requests, many at once; short reports, by a request's target as it was sent
// ("/a/b?c=d"), whether its answer is short and comes soon. An http.Server must accept from what it returns, and close
// it.
func New(l net.Listener, h http.Handler, short func(target string) bool) *Listener {
	p := &Listener{inner: l, handler: h, short: short, others: make(chan net.Conn), failed: make(chan error),
		closed: make(chan struct{})}
	p.mu.idle = map[net.Conn]bool{}
	p.running.Go(p.accept)
	return p
}

func (l *Listener) accept() {
	for {
		nc, err := l.inner.Accept()
		if err == nil {
			l.running.Go(func() { l.serve(nc) })
			continue
		}
		select {
		case l.failed <- err: // the http.Server knows when it is worth another try, and waits before
		case <-l.closed:
			return
		}
	}
}

// Accept implements net.Listener: it returns a connection that has brought something else than a plain request.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.others:
		return nc, nil
	case err := <-l.failed:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Close implements net.Listener. Plain requests that are being answered still are; Drain waits for them.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return nil
	}
	l.mu.closed = true
	close(l.closed)
	err := l.inner.Close()
	for nc := range l.mu.idle {
		err = errors.Join(err, nc.Close())
	}
	return err
}

// Drain waits, after Close, until no plain request is being answered any more, or ctx ends: errs.Canceled.
func (l *Listener) Drain(ctx context.Context) error {
	drained := make(chan struct{})
	go func() {
		l.running.Wait()
		close(drained)
	}()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		return errs.E("plainhttp.Drain", errs.Canceled, l.Addr(), ctx.Err())
	}
}

// mark notes whether a connection waits for a request, and reports whether there are still to be any.
func (l *Listener) mark(nc net.Conn, idle bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if idle {
		l.mu.idle[nc] = true
	} else {
		delete(l.mu.idle, nc)
	}
	return !l.mu.closed
}

// conn is a connection, with the buffers that its requests use one after the other.
type conn struct {
	nc   net.Conn
	from string // its other end
	in   *bufio.Reader
	text bytes.Reader  // the request that is parsed
	head *bufio.Reader // of text
	body []byte        // of the answer
	out  bytes.Buffer  // the answer
}

// commonHead is the length, in bytes, that the head of a request rarely exceeds.
const commonHead = 512

// serve answers the plain requests that a connection begins with.
func (l *Listener) serve(nc net.Conn) {
	c := &conn{nc: nc, from: nc.RemoteAddr().String(), in: bufio.NewReaderSize(nc, maxHead)}
	c.head = bufio.NewReaderSize(&c.text, commonHead)
	for l.answer(c) {
	}
}

// answer waits for a request and answers it if it is plain. It reports whether another one may follow: if not, the
// connection is closed or somebody else's.
func (l *Listener) answer(c *conn) (more bool) {
	nc, in := c.nc, c.in
	passed := false
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { // as net/http does
			fmt.Fprintf(os.Stderr, "http: panic serving %v: %v\n%s", nc.RemoteAddr(), p, debug.Stack())
		}
		if !more && !passed {
			nc.Close() // what has failed the client sees, or has done
		}
	}()
	serving := l.mark(nc, true)
	if serving {
		_, err := in.Peek(1)
		serving = l.mark(nc, false) && err == nil
	}
	if !serving {
		return false
	}
	r := l.request(c)
	if r == nil {
		passed = l.pass(nc, in)
		return false
	}
	r.RemoteAddr = c.from
	w := newReply(c)
	l.handler.ServeHTTP(w, r)
	return w.end() == nil
}

// pass hands a connection to the http.Server, with what was read of it.
func (l *Listener) pass(nc net.Conn, in *bufio.Reader) bool {
	read, _ := in.Peek(in.Buffered()) // no error: it is there
	select {
	case l.others <- &begun{nc, read}:
		return true
	case <-l.closed:
		return false
	}
}

// request takes a request off a connection if it is plain, and else returns nil.
func (l *Listener) request(c *conn) *http.Request {
	read, _ := c.in.Peek(c.in.Buffered()) // no error: it is there
	end := bytes.Index(read, []byte("\r\n\r\n"))
	if end < 0 || !l.isPlain(read[:end]) {
		return nil
	}
	size := end + len("\r\n\r\n")
	c.text.Reset(read[:size])
	c.head.Reset(&c.text)
	r, err := http.ReadRequest(c.head)
	if err != nil || r.ContentLength != 0 || r.Close {
		return nil // net/http finds the words for it, or what isPlain has not: lines may end without a CR
	}
	_, _ = c.in.Discard(size) // as above
	return r
}

// isPlain looks at a request's head, without its last line end. When in doubt it is not.
func (l *Listener) isPlain(head []byte) bool {
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	method, rest, _ := bytes.Cut(line, []byte(" "))
	target, version, _ := bytes.Cut(rest, []byte(" "))
	switch string(method) {
	case http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete:
	default:
		return false
	}
	if string(version) != "HTTP/1.1" || !l.short(string(target)) {
		return false
	}
	hosts := 0
	for field := range bytes.SplitSeq(fields, []byte("\r\n")) {
		name, value, _ := bytes.Cut(field, []byte(":"))
		switch http.CanonicalHeaderKey(string(name)) {
		case "Host":
			hosts++
		case "Content-Length":
			if string(bytes.TrimSpace(value)) != "0" {
				return false
			}
		case "Connection", "Transfer-Encoding", "Trailer", "Expect", "Upgrade":
			return false
		}
	}
	return hosts == 1
}
