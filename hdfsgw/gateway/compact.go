package gateway

import (
	"context"
	"io"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
)

// fewBlocks is how many short blocks at the end of a file are left alone.
const fewBlocks = 8

// compactable returns where the blocks begin that are worth being made one: the last ones, if they are many and short,
// and those before them as far as they are no longer than all that follow. So a byte is copied again only when what it
// is in has doubled, however often a file is appended to.
func compactable(blocks []namespace.Block, size int64) (from int, ok bool) {
	from = len(blocks)
	var sum int64
	for from > 0 {
		b := blocks[from-1]
		if b.Length >= size/2 || len(blocks)-from >= fewBlocks && b.Length > sum {
			break
		}
		sum += b.Length
		from--
	}
	return from, len(blocks)-from >= fewBlocks
}

// compact makes few long blocks of the many short ones that appending leaves: each costs a request to the store when
// it is read, and memory. The file's bytes and times stay; its old blocks are dropped.
func (g *Gateway) compact(ctx context.Context, l *leadership, path string) error {
	status, blocks, err := l.Blocks(super(), path)
	if err != nil || status.Open {
		return nil // it has gone, or grows again: it is noted when it is closed
	}
	from, ok := compactable(blocks, status.BlockSize)
	if !ok {
		return nil
	}
	old := blocks[from:]
	var length int64
	for _, b := range old {
		length += b.Length
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(block.Write(ctx, g.store, w, old, 0, length)) }() // ends when r is closed
	made, err := block.Copy(ctx, g.store, r, status.BlockSize, l.NewBlock)
	r.Close() // never fails
	if err == nil {
		_, err = l.Do(ctx, namespace.Request{Op: namespace.OpCompact, Caller: super(), Path: path,
			Value: namespace.BlockIDs(old), Blocks: made})
		if err == nil || !namespace.Refused(err) && errs.KindOf(err) != errs.Canceled {
			return err // it has them, or nobody knows
		}
	}
	for _, b := range made {
		if e := block.Delete(context.WithoutCancel(ctx), g.store, b.ID); e != nil {
			return e
		}
	}
	if namespace.Refused(err) || errs.KindOf(err) == errs.NotFound {
		return nil // the file was changed meanwhile
	}
	return err
}
