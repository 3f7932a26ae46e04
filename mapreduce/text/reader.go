package text

import "context"

// Reader yields the lines of a split. It is used by one goroutine.
type Reader struct {
	open   Opener
	pieces []Piece
	opts   Options
}

// NewReader returns a Reader of the pieces, one after the other.
func NewReader(open Opener, pieces []Piece, opts Options) *Reader {
	return &Reader{open: open, pieces: pieces, opts: opts}
}

// Batch returns the next run of whole lines of one file, with their ends; the last one may lack it at the end of the
// file. The bytes are valid until the next call and have at least 8 more bytes of capacity. At the end it returns
// io.EOF. It fails with errs.Exhausted, naming the offset, when a line does not fit the budget, and with errs.Corrupt
// when a file ends before its piece does.
func (r *Reader) Batch(ctx context.Context) (lines []byte, err error) {
	return nil, notYet("text.Batch")
}

// Line returns the next line without its end ("\n" or "\r\n"). It otherwise is like Batch, and may be mixed with it.
func (r *Reader) Line(ctx context.Context) (line []byte, err error) { return nil, notYet("text.Line") }

// Position tells where what was returned last began, for messages about it.
func (r *Reader) Position() (name string, offset int64) { return "", 0 }

// Done returns how many bytes of the pieces are behind the reader: its progress.
func (r *Reader) Done() int64 { return 0 }

// Close frees the buffer and closes the file that is open. It may be called again.
func (r *Reader) Close() error { return nil }
