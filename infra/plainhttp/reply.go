package plainhttp

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"
)

// maxReply is how much of an answer is held back until its length is known, in bytes.
const maxReply = 32 << 10

// reply is the http.ResponseWriter of a plain request.
type reply struct {
	c      *conn
	header http.Header
	status int    // 0 until the handler has said it
	body   []byte // not sent yet

	out    *bufio.Writer  // to where chunks go
	chunks io.WriteCloser // of the body; nil while all of it is held back
	late   bool           // a deadline was set
}

func newReply(c *conn) *reply {
	return &reply{c: c, header: make(http.Header, 4), body: c.body[:0]}
}

// Header implements http.ResponseWriter.
func (w *reply) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Only the first final status counts.
func (w *reply) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *reply) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.chunks == nil && len(w.body)+len(p) <= maxReply {
		w.body = append(w.body, p...)
		return len(p), nil
	}
	if w.chunks == nil {
		w.header.Del("Content-Length")
		w.header.Set("Transfer-Encoding", "chunked")
		w.out = bufio.NewWriterSize(w.c.nc, maxReply)
		_, _ = w.out.Write(w.head()) // what fails is told when it is flushed
		w.chunks = httputil.NewChunkedWriter(w.out)
		if _, err := w.chunks.Write(w.body); err != nil {
			return 0, err
		}
	}
	return w.chunks.Write(p)
}

// SetWriteDeadline is what http.ResponseController looks for.
func (w *reply) SetWriteDeadline(t time.Time) error {
	w.late = true
	return w.c.nc.SetWriteDeadline(t)
}

// head puts the status and the header into the connection's buffer, and returns them.
func (w *reply) head() []byte {
	if w.header.Get("Content-Type") == "" && len(w.body) > 0 {
		w.header.Set("Content-Type", http.DetectContentType(w.body))
	}
	out := &w.c.out
	out.Reset()
	b := append(out.AvailableBuffer(), "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(w.status), 10)
	b = append(append(b, ' '), http.StatusText(w.status)...)
	b = append(b, "\r\nDate: "...)
	b = time.Now().UTC().AppendFormat(b, http.TimeFormat)
	out.Write(append(b, "\r\n"...))
	_ = w.header.Write(out) // memory takes all
	out.WriteString("\r\n")
	return out.Bytes()
}

// end sends what has not been sent.
func (w *reply) end() error {
	w.WriteHeader(http.StatusOK)
	if w.chunks != nil {
		_ = w.chunks.Close() // what fails is told when it is flushed
		_, _ = w.out.WriteString("\r\n")
		if err := w.out.Flush(); err != nil {
			return err
		}
	} else if err := w.whole(); err != nil {
		return err
	}
	if w.late {
		return w.c.nc.SetWriteDeadline(time.Time{})
	}
	return nil
}

// whole sends an answer whose length is known, in one piece. Buffers that it made long are not kept.
func (w *reply) whole() error {
	if w.status != http.StatusNoContent && w.status != http.StatusNotModified {
		w.header.Set("Content-Length", strconv.Itoa(len(w.body)))
	}
	w.head()
	w.c.out.Write(w.body)
	_, err := w.c.nc.Write(w.c.out.Bytes())
	if w.c.body = w.body; w.c.out.Cap() > maxHead {
		w.c.body, w.c.out = nil, bytes.Buffer{}
	}
	return err
}

// begun is a connection of which some has been read.
type begun struct {
	net.Conn
	read []byte
}

// Read implements net.Conn.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.read) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.read)
	b.read = b.read[n:]
	return n, nil
}

// ReadFrom lets the kernel send files, as net/http asks for.
func (b *begun) ReadFrom(r io.Reader) (int64, error) { return io.Copy(b.Conn, r) }
