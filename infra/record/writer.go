package record

import (
	"io"

	"github.com/seed3322913c/runner/infra/errs"
)

// Options of a Writer. The zero Options are the defaults.
type Options struct {
	Codec Codec
	Block int // the payload a block is filled up to, in bytes: 1 to MaxBlock, 0 for DefaultBlock
}

// Writer cuts what is written into blocks. It is used by one goroutine.
//
// What one call of Write is given stays together in one block if it fits one, so a reader finds whole records in a
// block; only longer chunks are cut. A block is written when the next chunk does not fit, or by Flush.
type Writer struct {
	out    io.Writer
	enc    *Encoder
	limit  int
	raw    []byte // the payload of the block to come
	framed []byte // the block being written
	offset int64
	err    error // the first error of out; nothing is written after it
}

// NewWriter writes blocks to w. Nothing is complete before Flush. It panics if o.Block is out of range.
func NewWriter(w io.Writer, o Options) *Writer {
	if o.Block == 0 {
		o.Block = DefaultBlock
	}
	if o.Block < 1 || o.Block > MaxBlock {
		panic("record: block size out of range")
	}
	return &Writer{out: w, enc: NewEncoder(o.Codec), limit: o.Block}
}

// Write adds one chunk. It fails only as the underlying writer does, and then for ever.
func (w *Writer) Write(p []byte) (int, error) {
	if len(w.raw) > 0 && len(w.raw)+len(p) > w.limit {
		if err := w.Flush(); err != nil {
			return 0, err
		}
	}
	done := 0
	for len(p)-done > w.limit {
		if err := w.emit(p[done : done+w.limit]); err != nil {
			return done, err
		}
		done += w.limit
	}
	w.raw = append(w.raw, p[done:]...)
	return len(p), w.err
}

// Flush ends the current block, if there is anything in it, and writes it. More may be written afterwards.
func (w *Writer) Flush() error {
	if len(w.raw) == 0 || w.err != nil {
		return w.err
	}
	err := w.emit(w.raw)
	w.raw = w.raw[:0]
	return err
}

// Offset returns how many bytes of blocks have been written out. After Flush that is where the next block begins.
func (w *Writer) Offset() int64 { return w.offset }

func (w *Writer) emit(payload []byte) error {
	if w.err != nil {
		return w.err
	}
	w.framed = w.enc.Append(w.framed[:0], payload)
	n, err := w.out.Write(w.framed)
	w.offset += int64(n)
	if err != nil {
		w.err = errs.E("record.Write", errs.Other, nil, err)
	}
	return w.err
}
