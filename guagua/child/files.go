package child

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// This file is how a child reads and writes files: through its parent.

func (s *server) logf(format string, args ...any) {
	// A line of the log that is lost with the parent is missed by nobody.
	_, _ = s.peer.call(context.Background(), "log", textCall{fmt.Sprintf(format, args...)}, nil, nil)
}

func (s *server) count(group, name string, delta int64) {
	_, _ = s.peer.call(context.Background(), "count", countCall{group, name, delta}, nil, nil) // as a line of the log
}

func (s *server) open(ctx context.Context, uri string, r store.Range) (io.ReadCloser, error) {
	var o opened
	if _, err := s.peer.call(ctx, "open", openCall{uri, r.Offset, r.Length}, nil, &o); err != nil {
		return nil, err
	}
	return &reader{ctx: ctx, peer: s.peer, file: fileCall(o)}, nil
}

// reader reads a file of the parent's, a chunk at a time.
type reader struct {
	ctx  context.Context // an io.Reader has no other way to get one; it is that of Open, as in any store
	peer *peer
	file fileCall
	buf  []byte
	end  bool
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.buf) == 0 {
		if r.end {
			return 0, io.EOF
		}
		var a readAnswer
		var err error
		if r.buf, err = r.peer.call(r.ctx, "read", r.file, nil, &a); err != nil {
			return 0, err
		}
		r.end = a.End
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

func (r *reader) Close() error {
	_, err := r.peer.call(context.WithoutCancel(r.ctx), "close-file", r.file, nil, nil)
	return err
}

func (s *server) create(ctx context.Context, name string) (store.Writer, error) {
	var o opened
	if _, err := s.peer.call(ctx, "create", nameCall{name}, nil, &o); err != nil {
		return nil, err
	}
	return &writer{ctx: ctx, peer: s.peer, file: fileCall(o)}, nil
}

// writer writes a file of the parent's.
type writer struct {
	ctx  context.Context // that of Create, as for a reader
	peer *peer
	file fileCall
}

func (w *writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		piece := p[:min(len(p), chunk)]
		if _, err := w.peer.call(w.ctx, "write", w.file, piece, nil); err != nil {
			return n, err
		}
		n, p = n+len(piece), p[len(piece):]
	}
	return n, nil
}

func (w *writer) Commit(ctx context.Context) error {
	_, err := w.peer.call(ctx, "commit", w.file, nil, nil)
	return err
}

func (w *writer) Abort(ctx context.Context) error {
	_, err := w.peer.call(context.WithoutCancel(ctx), "abort", w.file, nil, nil)
	return err
}

// desk is the parent's end: it does what the child's program asks its Env for.
type desk struct {
	env   *guagua.Env
	parts supply // of a master's iteration

	mu      sync.Mutex // guards what follows
	next    uint64
	readers map[uint64]io.ReadCloser
	writers map[uint64]store.Writer
}

func newDesk(env *guagua.Env) *desk {
	return &desk{env: env, readers: map[uint64]io.ReadCloser{}, writers: map[uint64]store.Writer{}}
}

func (d *desk) handle(ctx context.Context, op string, args json.RawMessage, data []byte) (any, []byte, error) {
	switch op {
	case "log":
		return with(args, func(c textCall) (any, []byte, error) { d.env.Logf("%s", c.Text); return nil, nil, nil })
	case "more":
		return with(args, func(c moreCall) (any, []byte, error) {
			b, data, err := d.parts.after(c.After)
			return b, data, err
		})
	case "count":
		return with(args, func(c countCall) (any, []byte, error) {
			d.env.Count(c.Group, c.Name, c.Delta)
			return nil, nil, nil
		})
	case "open":
		return with(args, func(c openCall) (any, []byte, error) {
			r, err := d.env.Open(ctx, c.URI, store.Range{Offset: c.Offset, Length: c.Length})
			if err != nil {
				return nil, nil, err
			}
			return opened{keep(d, d.readers, r)}, nil, nil
		})
	case "create":
		return with(args, func(c nameCall) (any, []byte, error) {
			w, err := d.env.Create(ctx, c.Name)
			if err != nil {
				return nil, nil, err
			}
			return opened{keep(d, d.writers, w)}, nil, nil
		})
	}
	return with(args, func(c fileCall) (any, []byte, error) { return d.file(ctx, op, c, data) })
}

func keep[F any](d *desk, files map[uint64]F, f F) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next++
	files[d.next] = f
	return d.next
}

// file does something with an open file.
func (d *desk) file(ctx context.Context, op string, c fileCall, data []byte) (any, []byte, error) {
	d.mu.Lock()
	r, w := d.readers[c.Handle], d.writers[c.Handle]
	if op == "close-file" {
		delete(d.readers, c.Handle)
	}
	d.mu.Unlock()
	switch {
	case op == "read" && r != nil:
		buf := make([]byte, chunk)
		n, err := io.ReadFull(r, buf)
		end := err == io.EOF || err == io.ErrUnexpectedEOF
		if end {
			err = nil
		}
		return readAnswer{end}, buf[:n], err
	case op == "close-file" && r != nil:
		return nil, nil, r.Close()
	case op == "write" && w != nil:
		_, err := w.Write(data)
		return nil, nil, err
	case op == "commit" && w != nil:
		return nil, nil, w.Commit(ctx)
	case op == "abort" && w != nil:
		return nil, nil, w.Abort(ctx)
	}
	return nil, nil, errs.Errorf("child.Desk", errs.Corrupt, op, "file %d is not open", c.Handle)
}

// closeAll ends what the child has left open.
func (d *desk) closeAll(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.readers {
		r.Close() //nolint:errcheck // it was only read
	}
	for _, w := range d.writers {
		w.Abort(ctx) //nolint:errcheck // no effect once committed; what is left is swept with the job
	}
}
