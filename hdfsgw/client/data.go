package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/webhdfs"
	"github.com/seed3322913c/runner/infra/errs"
)

// resumes is how often a reading goes on after its connection broke, without a byte in between.
const resumes = 5

// Reader reads a range of one version of a file. It is used by one goroutine.
type Reader struct {
	// Version tells versions of a file apart; "" where the server does not tell, as a NameNode.
	Version string
	// Size of the whole file, in bytes; -1 where the server does not tell.
	Size int64

	body  io.ReadCloser
	rest  int64 // bytes to come; -1 if that is not known
	at    int64
	again func(at, length int64) (*Reader, error) // opens what is left; nil where that is done below
	tries int
}

// Open reads length bytes of a file from offset on; less than 0 means all that follow. An offset beyond the end reads
// nothing. Where a connection breaks, it goes on with another, if the file is still the same.
func (c *Client) Open(ctx context.Context, path string, offset, length int64) (*Reader, error) {
	if r, err := c.openDirect(ctx, path, offset, length); r != nil || err != nil {
		return r, err
	}
	r, err := c.openThrough(ctx, path, offset, length)
	if err != nil {
		return nil, err
	}
	r.again = func(at, length int64) (*Reader, error) { return c.openThrough(ctx, path, at, length) }
	return r, nil
}

// openThrough reads from the gateway.
func (c *Client) openThrough(ctx context.Context, path string, offset, length int64) (*Reader, error) {
	q := query{"offset", number(offset)}
	if length >= 0 {
		q = append(q, "length", number(length))
	}
	req := request{method: http.MethodGet, op: "OPEN", path: path, query: q}
	var r *Reader
	err := c.again(ctx, func(base *url.URL) error {
		to, err := c.dataURL(ctx, base, req)
		if err != nil {
			return err
		}
		resp, err := c.send(ctx, base, req.method, to, "", nil)
		if err != nil {
			return err
		}
		r = &Reader{body: resp.Body, rest: resp.ContentLength, at: offset, Size: -1}
		if tag, err := strconv.Unquote(resp.Header.Get("ETag")); err == nil {
			r.Version = tag
			if size, err := strconv.ParseInt(tag[strings.LastIndexByte(tag, '-')+1:], 10, 64); err == nil {
				r.Size = size
			}
		}
		return nil
	})
	if class, ok := classOf(err); ok && class == namespace.IOException && offset > 0 {
		if s, e := c.Status(ctx, path); e == nil && !s.Dir && offset >= s.Length { // which a NameNode refuses
			return &Reader{body: io.NopCloser(bytes.NewReader(nil)), Size: s.Length, Version: versionOf(s)}, nil
		}
	}
	return r, c.told(req, err)
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.at += int64(n)
	if r.rest >= 0 {
		r.rest -= int64(n)
	}
	if n > 0 {
		r.tries = 0
	}
	switch {
	case err == nil, errors.Is(err, io.EOF) && r.rest <= 0, errs.KindOf(err) == errs.Corrupt: // which does not pass
		return n, err
	case r.again == nil || r.Version == "" || r.tries == resumes || errs.KindOf(err) == errs.Canceled:
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return n, passing(err)
	}
	if err := r.resume(); err != nil {
		return n, err
	}
	return n, nil
}

// resume opens what is left after a broken connection.
func (r *Reader) resume() error {
	r.tries++
	r.body.Close() // it is broken already
	next, err := r.again(r.at, r.rest)
	if err != nil {
		return err
	}
	if next.Version != r.Version {
		next.Close() // nothing was written
		return errs.Errorf("client.Read", errs.Unavailable, nil, "the file was changed while it was read")
	}
	r.body, r.rest = next.body, next.rest
	return nil
}

// Close ends the reading.
func (r *Reader) Close() error { return r.body.Close() }

// CreateOptions say how a file is made. The zero value leaves all to the server.
type CreateOptions struct {
	Overwrite   bool   // of a file that is there; otherwise that fails with errs.Exist
	Perm        uint16 // 0: 0644
	BlockSize   int64  // bytes; 0: the server's
	Replication int16  // 0: the server's
}

func (o CreateOptions) query() query {
	q := query{"overwrite", strconv.FormatBool(o.Overwrite), "permission", octal(o.Perm)}
	if o.BlockSize > 0 {
		q = append(q, "blocksize", number(o.BlockSize))
	}
	if o.Replication > 0 {
		q = append(q, "replication", number(int(o.Replication)))
	}
	return q
}

// Writer takes the bytes of a file. It is used by one goroutine.
type Writer struct {
	head   bytes.Buffer
	finish func(body []byte) error                  // sends what is short, with all of Client's patience
	start  func(body io.Reader) (chan error, error) // begins to send what is long
	pipe   *io.PipeWriter                           // of what is long
	answer chan error
	err    error
	closed bool
}

// short is what is sent at once, and again if need be: as much as the gateway takes in one step.
const short = 256<<10 - 1

// Create makes a file of what is written until Close. What is short appears at once and whole; a long file is seen
// while it grows, and is left with what has arrived if the writing breaks off.
func (c *Client) Create(ctx context.Context, path string, o CreateOptions) *Writer {
	return c.write(ctx, request{method: http.MethodPut, op: "CREATE", path: path, query: o.query(), id: newID()})
}

// Append adds to a file what is written until Close.
func (c *Client) Append(ctx context.Context, path string) *Writer {
	return c.write(ctx, request{method: http.MethodPost, op: "APPEND", path: path, id: newID()})
}

func (c *Client) write(ctx context.Context, r request) *Writer {
	var w Writer
	w.finish = func(body []byte) error {
		return c.told(r, c.again(ctx, func(base *url.URL) error {
			to, err := c.dataURL(ctx, base, r)
			if err != nil {
				return err
			}
			return c.upload(ctx, base, to, r, bytes.NewReader(body))
		}))
	}
	w.start = func(body io.Reader) (chan error, error) {
		var base, to *url.URL
		err := c.again(ctx, func(b *url.URL) (err error) {
			base = b
			to, err = c.redirected(ctx, b, r) // what is sent once should go to one that leads
			return err
		})
		if err != nil {
			return nil, c.told(r, err)
		}
		answer := make(chan error, 1)
		go func() {
			r := r
			r.id = "" // it is sent once
			answer <- c.told(r, c.upload(ctx, base, to, r, body))
		}()
		return answer, nil
	}
	return &w
}

func (c *Client) upload(ctx context.Context, base, to *url.URL, r request, body io.Reader) error {
	resp, err := c.send(ctx, base, r.method, to, r.id, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return decode(resp, nil)
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	switch {
	case w.closed:
		return 0, errs.Errorf("client.Write", errs.Invalid, nil, "the file is closed")
	case w.err != nil:
		return 0, w.err
	case w.pipe == nil && w.head.Len()+len(p) <= short:
		return w.head.Write(p)
	case w.pipe == nil:
		if w.err = w.stream(); w.err != nil {
			return 0, w.err
		}
	}
	n, err := w.pipe.Write(p)
	if err != nil {
		w.err = w.end(err)
		return n, w.err
	}
	return n, nil
}

// stream begins to send, with what has come together.
func (w *Writer) stream() error {
	r, pipe := io.Pipe()
	head := bytes.Clone(w.head.Bytes())
	body := io.MultiReader(bytes.NewReader(head), r)
	answer, err := w.start(body)
	if err != nil {
		return err
	}
	w.head = bytes.Buffer{}
	w.pipe, w.answer = pipe, make(chan error, 1)
	go func() {
		err := <-answer
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // whoever writes on learns that nobody reads
		w.answer <- err
	}()
	return nil
}

// end waits for what the server says; why is told if it says nothing.
func (w *Writer) end(why error) error {
	w.closed = true
	if err := <-w.answer; err != nil {
		return err
	}
	return why
}

// Close completes the file. After success the file has all that was written. The second time it answers the same.
func (w *Writer) Close() error {
	switch {
	case w.closed || w.err != nil:
	case w.pipe == nil:
		w.closed = true
		w.err = w.finish(w.head.Bytes())
	default:
		w.pipe.Close() // never fails
		w.err = w.end(nil)
	}
	return w.err
}

// Abort gives up. What is short was never sent; of a long file what has arrived stays. After Close it does nothing.
func (w *Writer) Abort() {
	if w.closed {
		return
	}
	w.closed = true
	w.err = errs.Errorf("client.Abort", errs.Canceled, nil, "the writing was given up")
	if w.pipe != nil {
		w.pipe.CloseWithError(w.err)
		<-w.answer // what it says does not matter any more
	}
}

// Checksum is a file's checksum as HDFS tells it.
type Checksum struct {
	Algorithm string `json:"algorithm"`
	Bytes     string `json:"bytes"` // hexadecimal
	Length    int    `json:"length"`
}

// Checksum returns a file's checksum: MD5 over MD5s over CRC32Cs, or if composite is set the CRC32C of all its bytes,
// which only gateways tell.
func (c *Client) Checksum(ctx context.Context, path string, composite bool) (Checksum, error) {
	r := request{method: http.MethodGet, op: "GETFILECHECKSUM", path: path}
	if composite {
		r.query = query{"combine", webhdfs.CompositeCRC}
	}
	var doc struct{ FileChecksum Checksum }
	err := c.again(ctx, func(base *url.URL) error {
		to, err := c.dataURL(ctx, base, r)
		if err != nil {
			return err
		}
		resp, err := c.send(ctx, base, r.method, to, "", nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return decode(resp, &doc)
	})
	return doc.FileChecksum, c.told(r, err)
}
