package text

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"

	"github.com/seed3322913c/runner/infra/errs"
)

// Reader yields the lines of a split. It is used by one goroutine.
type Reader struct {
	open   Opener
	opts   Options
	pieces []Piece // the current one, if src is set, and those after it
	done   int64   // bytes of the pieces before the current one

	src    io.ReadCloser // the current file; nil before it is opened
	end    int64         // offset in it where the piece ends
	eof    bool          // it has nothing after buf[:hi]
	buf    []byte        // a block, without its slack
	lo, hi int           // what was read and not yet handed out
	base   int64         // offset in the file of buf[0]

	rest []byte // lines that Line has not yet handed out of the last batch
	name string // where what was returned last began
	at   int64
}

// NewReader returns a Reader of the pieces, one after the other.
func NewReader(open Opener, pieces []Piece, opts Options) *Reader {
	if opts.Buffer == 0 {
		opts.Buffer = DefaultBuffer
	}
	return &Reader{open: open, pieces: pieces, opts: opts}
}

// Batch returns the next run of whole lines of one file, with their ends; the last one may lack it at the end of the
// file. The bytes are valid until the next call and have at least 8 more bytes of capacity. At the end it returns
// io.EOF. It fails with errs.Exhausted, naming the offset, when a line does not fit the budget, and with errs.Corrupt
// when a file ends before its piece does.
func (r *Reader) Batch(ctx context.Context) (lines []byte, err error) {
	if len(r.rest) > 0 {
		r.at = r.restAt()
		lines, r.rest = r.rest, nil
		return lines, nil
	}
	for len(r.pieces) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if r.src == nil {
			if err := r.begin(ctx); err != nil {
				return nil, r.fail(err)
			}
		}
		lines, err := r.lines()
		if err != nil {
			return nil, r.fail(err)
		}
		if len(lines) > 0 {
			return lines, nil
		}
		if err := r.finish(); err != nil {
			return nil, r.fail(err)
		}
	}
	return nil, io.EOF
}

// Line returns the next line without its end ("\n" or "\r\n"). It otherwise is like Batch, and may be mixed with it.
func (r *Reader) Line(ctx context.Context) (line []byte, err error) {
	if len(r.rest) == 0 {
		if r.rest, err = r.Batch(ctx); err != nil {
			return nil, err
		}
	} else {
		r.at = r.restAt()
	}
	i := bytes.IndexByte(r.rest, '\n')
	if i < 0 {
		line, r.rest = r.rest, nil
		return line, nil
	}
	line, r.rest = r.rest[:i], r.rest[i+1:]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, nil
}

// restAt returns where rest begins: a batch ends where the unread part of the buffer begins.
func (r *Reader) restAt() int64 { return r.base + int64(r.lo) - int64(len(r.rest)) }

// Position tells where what was returned last began, for messages about it.
func (r *Reader) Position() (name string, offset int64) { return r.name, r.at }

// Done returns how many bytes of the pieces are behind the reader: its progress.
func (r *Reader) Done() int64 {
	if r.src == nil {
		return r.done
	}
	return r.done + max(0, min(r.base+int64(r.lo), r.end)-r.pieces[0].Offset)
}

// Close frees the buffer and closes the file that is open. It may be called again.
func (r *Reader) Close() error {
	r.opts.Budget.Free(r.buf)
	src := r.src
	r.buf, r.src, r.pieces, r.rest = nil, nil, nil, nil
	if src == nil {
		return nil
	}
	return src.Close()
}

func (r *Reader) fail(err error) error {
	return errs.E("text.Read", errs.Other, r.pieces[0].Name, err)
}

// begin opens the current piece and reads up to its first line.
func (r *Reader) begin(ctx context.Context) error {
	p := r.pieces[0]
	if r.buf == nil {
		if err := r.grow(r.opts.Buffer); err != nil {
			return err
		}
	}
	r.base, r.lo, r.hi, r.eof = max(0, p.Offset-1), 0, 0, false
	r.end = p.Offset + p.Length
	if p.Length == ToEnd {
		r.end = math.MaxInt64
	}
	var err error
	if r.src, err = r.open(ctx, p, r.base); err != nil {
		r.src = nil
		return err
	}
	for p.Offset > 0 && r.base+int64(r.lo) < r.end { // the line that the byte before belongs to is not ours
		if r.lo == r.hi {
			if r.eof {
				break
			}
			r.base, r.lo, r.hi = r.base+int64(r.hi), 0, 0
			if err := r.fill(len(r.buf)); err != nil {
				return err
			}
			continue
		}
		if i := bytes.IndexByte(r.buf[r.lo:r.hi], '\n'); i >= 0 {
			r.lo += i + 1
			break
		}
		r.lo = r.hi
	}
	return nil
}

// finish closes the current piece. All of it must have been there.
func (r *Reader) finish() error {
	p := r.pieces[0]
	err := r.src.Close()
	r.src = nil
	if err != nil {
		return err
	}
	if at := r.base + int64(r.hi); p.Length != ToEnd && at < r.end {
		return errs.Errorf("", errs.Corrupt, nil,
			"the file ends at byte %d, it had %d or more when the job was planned", at, r.end)
	}
	if p.Length != ToEnd {
		r.done += p.Length
	} else {
		r.done += r.base + int64(r.hi)
	}
	r.pieces = r.pieces[1:]
	return nil
}

// lines returns the next lines of the current piece, or none at its end.
func (r *Reader) lines() ([]byte, error) {
	if r.base+int64(r.lo) >= r.end {
		return nil, nil
	}
	r.hi = copy(r.buf, r.buf[r.lo:r.hi])
	r.base, r.lo = r.base+int64(r.lo), 0
	for {
		// Up to the end of the piece a large read is a good read; beyond it only the end of a line is wanted, and each
		// read doubles what was looked through, so that a long line costs no more than its length.
		want := len(r.buf)
		if left := r.end - r.base; left < int64(want) {
			want = max(int(left), min(r.hi+max(beyond, r.hi-int(left)), want))
		}
		if err := r.fill(want); err != nil {
			return nil, err
		}
		if n := r.whole(); n > 0 {
			r.lo = n
			r.name, r.at = r.pieces[0].Name, r.base
			return r.buf[: n : n+slack], nil
		}
		if r.eof {
			return nil, nil
		}
		if r.hi == len(r.buf) {
			if err := r.grow(2 * len(r.buf)); err != nil {
				return nil, errs.Errorf("", errs.Exhausted, nil, "the line at byte %d is longer than %d: %w", r.base, r.hi, err)
			}
		}
	}
}

// beyond is how many bytes are read at first to find the end of a piece's last line.
const beyond = 4 << 10

// whole returns how many bytes at the front of the buffer are whole lines of this piece.
func (r *Reader) whole() int {
	data, left := r.buf[:r.hi], r.end-r.base
	if left <= int64(len(data)) { // the line of the piece's last byte is its last line
		if i := bytes.IndexByte(data[left-1:], '\n'); i >= 0 {
			return int(left) + i
		}
	}
	if r.eof {
		return len(data)
	}
	if left > int64(len(data)) || r.hi == len(r.buf) {
		return bytes.LastIndexByte(data, '\n') + 1
	}
	return 0
}

// fill reads until want bytes are in the buffer, or the file ends.
func (r *Reader) fill(want int) error {
	for r.hi < want && !r.eof {
		n, err := r.src.Read(r.buf[r.hi:want])
		r.hi += n
		if errors.Is(err, io.EOF) {
			r.eof = true
		} else if err != nil {
			return err
		}
	}
	return nil
}

// grow makes the buffer n bytes long, or somewhat less if the budget has no more.
func (r *Reader) grow(n int) error {
	block, err := r.opts.Budget.Alloc(n + slack)
	if left := r.opts.Budget.Left() * 7 / 8; err != nil && left > int64(len(r.buf)) {
		block, err = r.opts.Budget.Alloc(int(left))
	}
	if err != nil {
		return err
	}
	copy(block, r.buf[:r.hi])
	r.opts.Budget.Free(r.buf)
	r.buf = block[:len(block)-slack]
	return nil
}
