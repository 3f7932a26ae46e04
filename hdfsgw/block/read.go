package block

import (
	"context"
	"errors"
	"io"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Write copies length bytes of a file from offset on to out. The next block is opened while one is copied. A block that
// is read from its beginning to its end is compared with its checksum, and its last bytes are kept back until that is
// done. It ends with an error of kind Corrupt if that differs, or an object is shorter than its block, or gone.
func Write(ctx context.Context, st store.Store, out io.Writer, blocks []namespace.Block, offset, length int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends what is read ahead, too
	parts := cut(blocks, offset, length)
	buf := make([]byte, copySize)
	var next chan opened
	for i, p := range parts {
		current := next
		if current == nil {
			current = open(ctx, st, p)
		}
		o := <-current
		if o.err != nil {
			return o.err
		}
		if next = nil; i+1 < len(parts) {
			next = open(ctx, st, parts[i+1])
		}
		err := p.send(out, o.r, buf)
		if closeErr := o.r.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			drain(next)
			return forget(st, p.block.ID, err)
		}
	}
	return nil
}

// Verify reads a block, and fails with errs.Corrupt if it is not what was written; NotFound says that it is gone.
func Verify(ctx context.Context, st store.Store, out io.Writer, b namespace.Block) error {
	r, err := Open(ctx, st, b.ID, store.Range{Length: b.Length})
	if err != nil {
		return err
	}
	err = part{b, store.Range{Length: b.Length}}.copy(out, r, make([]byte, copySize))
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	return err
}

// forgetter is a cache among stores.
type forgetter interface{ Forget(store.Name) }

// forget has a cache forget a block that turned out to be corrupt: it compares what it keeps with its own checksums only.
func forget(st store.Store, id uint64, err error) error {
	if c, ok := st.(forgetter); ok && errs.KindOf(err) == errs.Corrupt {
		c.Forget(ObjectName(id))
	}
	return err
}

// Open opens a part of a block, given by its id; at is within it, and has a length. Nothing is compared.
func Open(ctx context.Context, st store.Store, id uint64, at store.Range) (io.ReadCloser, error) {
	_, offset := namespace.ObjectOf(id)
	at.Offset += offset
	return st.Open(ctx, ObjectName(id), at)
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

// checkable reports whether the whole block is read and its checksum known.
func (p part) checkable() bool { return p.at.Length == p.block.Length && p.block.MD5 != [16]byte{} }

// kept is the reader of a cache, which compares what it has with its own checksums, and has files to send from.
type kept interface {
	io.WriterTo
	Kept() bool // all of it
}

// send copies the part from r, which yields it, by the shortest way.
func (p part) send(out io.Writer, r io.Reader, buf []byte) error {
	k, ok := r.(kept)
	if !ok || !k.Kept() {
		return p.copy(out, r, buf)
	}
	n, err := k.WriteTo(out)
	if err == nil && n < p.at.Length {
		err = p.short(n)
	}
	return err
}

// short is the error of an object that ends after n bytes of the part.
func (p part) short(n int64) error {
	return errs.Errorf("block.Read", errs.Corrupt, ObjectName(p.block.ID), "%d bytes are missing of %d", p.at.Length-n,
		p.at.Length)
}

// copy copies the part from r, which yields it.
func (p part) copy(out io.Writer, r io.Reader, buf []byte) error {
	var check *sums
	if p.checkable() {
		check = newSums()
	}
	for rest := p.at.Length; rest > 0; {
		n, err := io.ReadAtLeast(r, buf[:min(rest, int64(len(buf)))], 1)
		if errors.Is(err, io.EOF) {
			return p.short(p.at.Length - rest)
		}
		if err != nil {
			return err
		}
		rest -= int64(n)
		if check != nil {
			check.Write(buf[:n])
			if rest == 0 && check.sum() != p.block.MD5 {
				return errs.Errorf("block.Read", errs.Corrupt, ObjectName(p.block.ID), "checksum differs")
			}
		}
		if _, err := out.Write(buf[:n]); err != nil {
			return err
		}
	}
	return nil
}

type opened struct {
	r   io.ReadCloser
	err error
}

func open(ctx context.Context, st store.Store, p part) chan opened {
	answer := make(chan opened, 1)
	go func() {
		r, err := Open(ctx, st, p.block.ID, p.at)
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
