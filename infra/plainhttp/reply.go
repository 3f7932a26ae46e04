package plainhttp

import (
	"bufio"
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
	nc     net.Conn
	header http.Header
	status int    // 0 until the handler has said it
	body   []byte // not sent yet

	out    *bufio.Writer
	chunks io.WriteCloser // of the body; nil while all of it is held back
	late   bool           // a deadline was set
}

func newReply(nc net.Conn) *reply {
	return &reply{nc: nc, header: make(http.Header, 4)}
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
		w.out = bufio.NewWriterSize(w.nc, maxReply)
		w.head()
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
	return w.nc.SetWriteDeadline(t)
}

// head writes the status and the header.
func (w *reply) head() {
	if w.header.Get("Content-Type") == "" && len(w.body) > 0 {
		w.header.Set("Content-Type", http.DetectContentType(w.body))
	}
	b := append(w.out.AvailableBuffer(), "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(w.status), 10)
	b = append(append(b, ' '), http.StatusText(w.status)...)
	b = append(b, "\r\nDate: "...)
	b = time.Now().UTC().AppendFormat(b, http.TimeFormat)
	// What fails is told when it is flushed.
	_, _ = w.out.Write(append(b, "\r\n"...))
	_ = w.header.Write(w.out)
	_, _ = w.out.WriteString("\r\n")
}

// end sends what has not been sent.
func (w *reply) end() error {
	w.WriteHeader(http.StatusOK)
	if w.chunks == nil {
		const heads = 512 // bytes, of most
		w.out = bufio.NewWriterSize(w.nc, heads+len(w.body))
		if w.status != http.StatusNoContent && w.status != http.StatusNotModified {
			w.header.Set("Content-Length", strconv.Itoa(len(w.body)))
		}
		w.head()
		_, _ = w.out.Write(w.body) // as in head
	} else {
		_ = w.chunks.Close() // as in head
		_, _ = w.out.WriteString("\r\n")
	}
	err := w.out.Flush()
	if err == nil && w.late {
		err = w.nc.SetWriteDeadline(time.Time{})
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
