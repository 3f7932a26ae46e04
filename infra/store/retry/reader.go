package retry

import (
	"context"
	"io"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
)

// Open implements store.Store.
func (s *Store) Open(ctx context.Context, name store.Name, rng store.Range) (io.ReadCloser, error) {
	r := &reader{name: name, rng: rng}
	r.open = func(rest store.Range) (io.ReadCloser, error) { return s.inner.Open(ctx, name, rest) }
	r.again = func(op around.Op, f func() error) error { return s.again(ctx, op.String(), name, f) }
	if err := r.again(around.Open, r.connect); err != nil {
		return nil, err
	}
	return r, nil
}

// reader goes on where reading broke.
type reader struct {
	name  store.Name
	rng   store.Range
	open  func(rest store.Range) (io.ReadCloser, error) // with the context of Open, as is the next
	again func(op around.Op, f func() error) error

	cur  io.ReadCloser // nil after it broke
	off  int64         // bytes delivered
	info store.Info    // of the version that is read; without a Version if the store's readers don't say
}

// connect opens what is left, in the version that was read so far.
func (r *reader) connect() error {
	rest := store.Range{Offset: r.rng.Offset + r.off, Length: r.rng.Length}
	if rest.Length > 0 {
		rest.Length -= r.off
	}
	cur, err := r.open(rest)
	if err != nil {
		return err
	}
	info, err := describe(cur)
	switch {
	case err != nil:
	case r.off == 0 && r.info.Version == "": // the first one decides
		r.info = info
	case r.off > 0 && r.info.Version == "":
		err = r.changed("it broke, and this store's readers don't say which version they read")
	case info.Version != r.info.Version:
		err = r.changed("it was replaced while it was read")
	}
	if err != nil {
		cur.Close() // nothing was written
		return err
	}
	r.cur = cur
	return nil
}

// changed is an error that only a reading from the beginning can heal.
func (r *reader) changed(what string) error {
	return backoff.Permanent(errs.Errorf("retry.Read", errs.Unavailable, r.name, "%s", what))
}

// describe returns what r reads, or nothing if r can't say.
func describe(r io.ReadCloser) (store.Info, error) {
	d, ok := r.(store.Reader)
	if !ok {
		return store.Info{}, nil
	}
	info, err := d.Info()
	if errs.KindOf(err) == errs.Unsupported {
		return store.Info{}, nil
	}
	return info, err
}

func (r *reader) Read(p []byte) (int, error) {
	if r.cur != nil {
		if n, err := r.read(p); n > 0 || err == nil || !errs.Retryable(err) {
			return n, err
		}
	}
	var n int
	err := r.again(around.Read, func() (err error) {
		if r.rng.Length > 0 && r.off == r.rng.Length {
			return io.EOF // all of the range has arrived, only its end has not
		}
		if r.cur == nil {
			if err := r.connect(); err != nil {
				return err
			}
		}
		n, err = r.read(p)
		return err
	})
	return n, err
}

// read reads from what is open. If that broke it is closed, and the error is told only if no bytes came with it.
func (r *reader) read(p []byte) (int, error) {
	n, err := r.cur.Read(p)
	r.off += int64(n)
	if errs.Retryable(err) {
		r.cur.Close() // nothing was written
		r.cur = nil
		if n > 0 {
			return n, nil
		}
	}
	return n, err
}

func (r *reader) Close() error {
	if r.cur == nil {
		return nil
	}
	return r.cur.Close()
}

// Info implements store.Reader.
func (r *reader) Info() (store.Info, error) {
	if r.info.Version == "" {
		return store.Info{}, errs.Errorf("retry.Info", errs.Unsupported, r.name, "this store's readers don't say")
	}
	return r.info, nil
}
