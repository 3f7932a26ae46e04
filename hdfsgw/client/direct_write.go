package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/webhdfs"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// blocksWriter writes the blocks of a file to the store that has them. Nobody sees a file before create.
type blocksWriter struct {
	pipe   *io.PipeWriter
	ended  chan error // has the outcome when all is written
	st     store.Store
	proofs map[uint64]webhdfs.Ticket
	blocks []namespace.Block // valid after ended
}

// openBlocks begins to write blocks, or returns nil if the way leads through the gateway.
func (c *Client) openBlocks(ctx context.Context) *blocksWriter {
	if c.o.Resolve == nil || c.plain.Load() {
		return nil
	}
	a, err := c.allot(ctx)
	if err != nil {
		if class, ok := classOf(err); ok && (class == namespace.IllegalArgument || class == namespace.UnsupportedOperation) {
			c.plain.Store(true) // there is nothing of the kind
		}
		return nil // the gateway itself will tell what is wrong
	}
	st := c.storeOf(ctx, a.Store, a.Cluster)
	if st == nil {
		return nil
	}
	r, pipe := io.Pipe()
	w := &blocksWriter{pipe: pipe, ended: make(chan error, 1), st: st, proofs: map[uint64]webhdfs.Ticket{}}
	free := a.Tickets
	var allotErr error
	next := func() uint64 {
		if len(free) == 0 && allotErr == nil {
			a, allotErr = c.allot(ctx)
			free = a.Tickets
		}
		if len(free) == 0 {
			r.CloseWithError(allotErr) // which ends the writing; what is begun under no id is empty
			return 0
		}
		t := free[0]
		free = free[1:]
		id, _ := block.ParseName(store.Name(t.Object)) // allot has checked it
		w.proofs[id] = t
		return id
	}
	go func() {
		var err error
		w.blocks, err = block.Copy(ctx, st, r, a.BlockSize, next)
		r.CloseWithError(err) // whoever writes on learns it
		w.ended <- err
	}()
	return w
}

// allot asks for objects to write.
func (c *Client) allot(ctx context.Context) (webhdfs.Allotted, error) {
	var doc struct{ Allotted webhdfs.Allotted }
	r := request{method: http.MethodPost, op: "ALLOTBLOCKS", path: "/"}
	if err := c.do(ctx, r, &doc); err != nil {
		return doc.Allotted, err
	}
	for _, t := range doc.Allotted.Tickets {
		if _, ok := block.ParseName(store.Name(t.Object)); !ok {
			return doc.Allotted, c.told(r, errs.Errorf("client.Write", errs.Corrupt, t.Object, "not an object of a block"))
		}
	}
	if doc.Allotted.BlockSize < 1 || len(doc.Allotted.Tickets) == 0 {
		return doc.Allotted, c.told(r, errs.Errorf("client.Write", errs.Corrupt, nil, "nothing was allotted"))
	}
	return doc.Allotted, nil
}

// finish waits until all blocks are durable.
func (w *blocksWriter) finish() error {
	w.pipe.Close() // never fails
	err := <-w.ended
	w.ended <- err // for the next call
	return err
}

// abort gives up, and deletes what was written.
func (w *blocksWriter) abort(ctx context.Context) error {
	w.pipe.CloseWithError(errs.Errorf("client.Abort", errs.Canceled, nil, "the writing was given up"))
	err := <-w.ended
	w.ended <- err
	var ids []uint64
	for _, b := range w.blocks {
		ids = append(ids, b.ID)
	}
	return block.Delete(context.WithoutCancel(ctx), w.st, ids...)
}

// createOf makes a file of the blocks that were written.
func (c *Client) createOf(ctx context.Context, path, id string, overwrite bool, w *blocksWriter) error {
	all := make([]webhdfs.Written, len(w.blocks))
	for i, b := range w.blocks {
		all[i] = webhdfs.Written{Ticket: w.proofs[b.ID], Length: b.Length, MD5: b.MD5[:], CRC: b.CRC}
	}
	body, err := json.Marshal(all)
	if err != nil {
		return errs.E("hdfs.CREATEOFBLOCKS", errs.Internal, path, err)
	}
	return c.do(ctx, request{method: http.MethodPut, op: "CREATEOFBLOCKS", path: path, id: id, body: body,
		query: query{"overwrite", strconv.FormatBool(overwrite)}}, nil)
}
