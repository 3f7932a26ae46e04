// Package fixed reads splits of files whose records all have the same length, without copying or allocating per record.
//
// A record belongs to the piece in which its first byte lies, so pieces that cover a file without gaps yield each
// record exactly once, wherever they are cut:
//
//	file     |rec 0|rec 1|rec 2|rec 3|rec 4|rec 5|
//	pieces   |---- 0 ----|-- 1 ----|-- 2 --------|      0: rec 0, 1, 1: rec 2, 3, 2: rec 4, 5
package fixed

import (
	"context"
	"errors"
	"io"
	"math"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/text"
)

// slack is how many bytes behind a record may be read, since words are loaded eight bytes at a time.
const slack = 8

// Reader yields the records of a split in runs. It is used by one goroutine.
type Reader struct {
	open   text.Opener
	opts   text.Options
	length int64
	pieces []text.Piece // the current one, if src is set, and those after it
	done   int64        // bytes of the pieces before the current one

	src     io.ReadCloser // the current file; nil before it is opened
	buf     []byte
	at, end int64  // where in the file the next record begins, and the last one of the piece ends
	name    string // where what was returned last began
	began   int64
}

// NewReader returns a Reader of the pieces, one after the other; records have length bytes, 1 or more.
func NewReader(open text.Opener, pieces []text.Piece, length int, opts text.Options) *Reader {
	if opts.Buffer == 0 {
		opts.Buffer = text.DefaultBuffer
	}
	return &Reader{open: open, opts: opts, length: int64(length), pieces: pieces}
}

// Batch returns the next run of whole records of one file. The bytes are valid until the next call and have at least 8
// more bytes of capacity. At the end it returns io.EOF. It fails with errs.Invalid when a file does not end where a
// record does, and with errs.Corrupt when it ends before its piece.
func (r *Reader) Batch(ctx context.Context) ([]byte, error) {
	for len(r.pieces) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		records, err := r.next(ctx)
		if err == nil && len(records) == 0 {
			err = r.finish()
		}
		if err != nil {
			return nil, errs.E("fixed.Read", errs.Other, r.pieces[0].Name, err)
		}
		if len(records) > 0 {
			return records, nil
		}
		r.pieces = r.pieces[1:]
	}
	return nil, io.EOF
}

// next returns the next records of the current piece, or none at its end.
func (r *Reader) next(ctx context.Context) ([]byte, error) {
	p := r.pieces[0]
	if r.src == nil {
		if err := r.begin(ctx); err != nil || r.src == nil {
			return nil, err
		}
	}
	want := min(int64(len(r.buf)), r.end-r.at)
	n, err := io.ReadFull(r.src, r.buf[:want])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if rest := int64(n) % r.length; rest != 0 {
		return nil, errs.Errorf("", errs.Invalid, nil, "the file ends with %d bytes, but its records have %d", rest, r.length)
	}
	if now := r.at + int64(n); p.Length != text.ToEnd && int64(n) < want && now < p.Offset+p.Length {
		return nil, errs.Errorf("", errs.Corrupt, nil, "the file ends at byte %d, it had %d or more when the job was planned",
			now, p.Offset+p.Length)
	}
	r.name, r.began = p.Name, r.at
	r.at += int64(n)
	return r.buf[: n : n+slack], nil
}

// begin opens the current piece, unless no record begins in it.
func (r *Reader) begin(ctx context.Context) (err error) {
	p := r.pieces[0]
	r.at, r.end = r.above(p.Offset), math.MaxInt64
	if p.Length != text.ToEnd {
		r.end = r.above(p.Offset + p.Length)
	}
	if r.at >= r.end {
		return nil
	}
	if r.buf == nil {
		n := max(int64(r.opts.Buffer)/r.length, 1) * r.length
		block, err := r.opts.Budget.Alloc(int(n) + slack)
		if err != nil {
			return err
		}
		r.buf = block[:n]
	}
	src, err := r.open(ctx, p, r.at)
	if err == nil {
		r.src = src
	}
	return err
}

// above rounds an offset up to where a record begins.
func (r *Reader) above(offset int64) int64 { return (offset + r.length - 1) / r.length * r.length }

// finish closes the current piece.
func (r *Reader) finish() error {
	p := r.pieces[0]
	if r.src != nil {
		err := r.src.Close()
		r.src = nil
		if err != nil {
			return err
		}
	}
	if p.Length != text.ToEnd {
		r.done += p.Length
	} else {
		r.done += r.at
	}
	return nil
}

// Position tells where what was returned last began, for messages about it.
func (r *Reader) Position() (name string, offset int64) { return r.name, r.began }

// Done returns how many bytes of the pieces are behind the reader: its progress.
func (r *Reader) Done() int64 {
	if r.src == nil {
		return r.done
	}
	p := r.pieces[0]
	behind := max(0, r.at-p.Offset)
	if p.Length != text.ToEnd {
		behind = min(behind, p.Length)
	}
	return r.done + behind
}

// Close frees the buffer and closes the file that is open. It may be called again.
func (r *Reader) Close() error {
	if r.buf != nil {
		r.opts.Budget.Free(r.buf)
	}
	src := r.src
	r.buf, r.src, r.pieces = nil, nil, nil
	if src == nil {
		return nil
	}
	return src.Close()
}
