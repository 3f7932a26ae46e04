package block

import (
	"bytes"
	"context"
	"io"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/store"
)

// Write copies length bytes of a file from offset on to out. The next block is opened while one is copied. What is
// copied was compared, as Reader does.
func Write(ctx context.Context, st store.Store, out io.Writer, blocks []namespace.Block, offset, length int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends what is read ahead, too
	parts := cut(blocks, offset, length)
	buf := make([]byte, min(copySize, max(length, 1)))
	var next chan opened
	for i, p := range parts {
		var o opened
		if next != nil {
			o = <-next
		} else {
			o.r, o.err = (&source{st, p}).open(ctx)
		}
		if o.err != nil {
			return o.err
		}
		if next = nil; i+1 < len(parts) {
			next = ahead(ctx, st, parts[i+1])
		}
		err := send(out, o.r, buf)
		if closeErr := o.r.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			drain(next)
			return err
		}
	}
	return nil
}

// send copies what r yields, on the shortest way.
func send(out io.Writer, r io.Reader, buf []byte) (err error) {
	if k, ok := r.(*keptReader); ok {
		_, err = k.WriteTo(out)
	} else {
		_, err = io.CopyBuffer(onlyWriter{out}, onlyReader{r}, buf)
	}
	return err
}

// Reader reads a part of a block, which has a length. What it returns was compared with the block's checksums, if they
// are known: those of the grains that the part touches, or that of the whole block, whose last bytes are kept back
// until all are there. It fails with errs.Corrupt if one differs, or the object is shorter than its block; with
// errs.NotFound if it is gone.
func Reader(ctx context.Context, st store.Store, b namespace.Block, at store.Range) (io.ReadCloser, error) {
	return (&source{st, part{b, at}}).open(ctx)
}

// Verify reads a block whole, to out, and the checksums of its grains, and fails as Reader does.
func Verify(ctx context.Context, st store.Store, out io.Writer, b namespace.Block) error {
	s := &source{st, part{b, store.Range{Length: b.Length}}}
	r, err := s.openWhole(ctx)
	if err != nil {
		return err
	}
	err = send(out, r, make([]byte, copySize))
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	if err != nil || !hasGrains(b) {
		return err
	}
	grains, err := s.openGrains(ctx, b.Length, ObjectSize(b))
	if err != nil {
		return err
	}
	defer grains.Close() // it was only read
	stored, err := io.ReadAll(grains)
	if err == nil && !bytes.Equal(stored, r.sums.grains) {
		err = s.corrupt("the checksums of its parts differ")
	}
	return err
}

// part of a block.
type part struct {
	block namespace.Block
	at    store.Range
}

// cut returns the parts of blocks that a range of a file has.
func cut(blocks []namespace.Block, offset, length int64) (parts []part) {
	for _, b := range blocks {
		if offset >= b.Length {
			offset -= b.Length
			continue
		}
		if length <= 0 {
			break
		}
		n := min(b.Length-offset, length)
		parts = append(parts, part{b, store.Range{Offset: offset, Length: n}})
		offset, length = 0, length-n
	}
	return parts
}

type opened struct {
	r   io.ReadCloser
	err error
}

// ahead opens a part while something else is done.
func ahead(ctx context.Context, st store.Store, p part) chan opened {
	answer := make(chan opened, 1)
	go func() {
		r, err := (&source{st, p}).open(ctx)
		answer <- opened{r, err}
	}()
	return answer
}

// drain closes what was opened ahead and is not wanted.
func drain(next chan opened) {
	if next == nil {
		return
	}
	if o := <-next; o.err == nil {
		o.r.Close() // it was only read, and the first error is told already
	}
}
