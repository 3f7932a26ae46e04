package split

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
	"github.com/seed3322913c/runner/infra/store"
)

// Write stores the splits of a job, and a few bytes about them, as one object: a block (package record) for head, then
// one for each split. It fails with errs.Exist if there is one: what was planned first stays.
func Write(ctx context.Context, st store.Store, name store.Name, head []byte, splits []Split) error {
	w, err := st.Create(ctx, name, store.IfAbsent())
	if err != nil {
		return err
	}
	defer w.Abort(ctx) // no effect once committed
	out := record.NewWriter(w, record.Options{Codec: record.S2, Block: record.MaxBlock})
	block := func(b []byte) error {
		if _, err := out.Write(b); err != nil {
			return err
		}
		return out.Flush()
	}
	if err := block(head); err != nil {
		return err
	}
	var buf []byte
	for _, s := range splits {
		buf = s.Append(buf[:0])
		if err := block(buf); err != nil {
			return err
		}
	}
	return w.Commit(ctx)
}

// Read reads what Write wrote. It fails with errs.NotFound or errs.Corrupt.
func Read(ctx context.Context, st store.Store, name store.Name) (head []byte, splits []Split, err error) {
	const op = "split.Read"
	r, err := st.Open(ctx, name, store.Range{})
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	in := record.NewReader(r)
	b, err := in.Next()
	if errors.Is(err, io.EOF) {
		err = errs.Errorf(op, errs.Corrupt, nil, "empty")
	}
	for head = bytes.Clone(b); err == nil; {
		var s Split
		if b, err = in.Next(); err == nil {
			s, err = Decode(b)
			splits = append(splits, s)
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, nil, errs.E(op, errs.Other, name, err)
	}
	return head, splits, nil
}
