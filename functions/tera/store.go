package tera

import (
	"context"
	"io"
	"iter"
	"math"
	"strconv"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Store is a store.Store that holds an object for each number: the object "1000" is the first 1000 rows. Nothing of it
// takes any room, since what is read is made; it cannot be written to, and lists nothing.
type Store struct{}

var _ store.Store = Store{}

// MaxRows is the most rows that an object can have.
const MaxRows = math.MaxInt64 / RowBytes

// ParseRows reads a number of rows, and fails with errs.Invalid.
func ParseRows(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > MaxRows || strconv.FormatInt(n, 10) != text {
		return 0, errs.Errorf("tera.ParseRows", errs.Invalid, nil, "%q is no number of rows from 0 to %d", text,
			int64(MaxRows))
	}
	return n, nil
}

// Create implements store.Store: it always fails.
func (Store) Create(_ context.Context, name store.Name, _ ...store.CreateOption) (store.Writer, error) {
	return nil, errs.Errorf("tera.Create", errs.Permission, name, "generated rows cannot be written")
}

// Delete implements store.Store: it always fails.
func (Store) Delete(_ context.Context, name store.Name) error {
	return errs.Errorf("tera.Delete", errs.Permission, name, "generated rows cannot be deleted")
}

// List implements store.Store. There are as many objects as numbers, so none is listed.
func (Store) List(context.Context, string) iter.Seq2[store.Info, error] {
	return func(func(store.Info, error) bool) {}
}

// Stat implements store.Store.
func (Store) Stat(_ context.Context, name store.Name) (store.Info, error) {
	n, err := ParseRows(string(name))
	if err != nil {
		return store.Info{}, errs.E("tera.Stat", errs.NotFound, name, err)
	}
	return store.Info{Name: name, Size: n * RowBytes, Version: "1"}, nil
}

// Open implements store.Store.
func (s Store) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	info, err := s.Stat(ctx, name)
	if err == nil {
		err = r.Check(name)
	}
	if err != nil {
		return nil, err
	}
	from, to := r.Bounds(info.Size)
	rows := &reader{info: info, left: to - from, made: NewGenerator(uint64(from / RowBytes))}
	rows.rest = rows.row[:0]
	if skip := from % RowBytes; skip > 0 {
		rows.made.Next(&rows.row)
		rows.rest = rows.row[skip:]
	}
	return rows, nil
}

// reader makes what it reads.
type reader struct {
	info store.Info
	left int64 // bytes
	made *Generator
	row  [RowBytes]byte
	rest []byte // of row, not yet read
}

// Info implements store.Reader.
func (r *reader) Info() (store.Info, error) { return r.info, nil }

// Close implements io.Closer.
func (r *reader) Close() error { return nil }

func (r *reader) Read(p []byte) (n int, err error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.left)]
	for n < len(p) {
		switch {
		case len(r.rest) > 0:
			k := copy(p[n:], r.rest)
			r.rest = r.rest[k:]
			n += k
		case len(p)-n >= RowBytes:
			r.made.Next((*[RowBytes]byte)(p[n:]))
			n += RowBytes
		default:
			r.made.Next(&r.row)
			r.rest = r.row[:]
		}
	}
	r.left -= int64(n)
	return n, nil
}
