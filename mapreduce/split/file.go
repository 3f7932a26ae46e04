package split

import (
	"context"
	"errors"
	"io"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
	"github.com/seed3322913c/runner/infra/store"
)

// Write stores the splits of a job as one object: a block (package record) for each. It replaces what an earlier,
// fenced planner may have left.
func Write(ctx context.Context, st store.Store, name store.Name, splits []Split) error {
	w, err := st.Create(ctx, name)
	if err != nil {
		return err
	}
	defer w.Abort(ctx) // no effect once committed
	out := record.NewWriter(w, record.Options{Codec: record.S2, Block: record.MaxBlock})
	var buf []byte
	for _, s := range splits {
		buf = s.Append(buf[:0])
		if _, err := out.Write(buf); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return w.Commit(ctx)
}

// Read reads what Write wrote. It fails with errs.NotFound or errs.Corrupt.
func Read(ctx context.Context, st store.Store, name store.Name) ([]Split, error) {
	r, err := st.Open(ctx, name, store.Range{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	in := record.NewReader(r)
	splits := []Split{}
	for {
		b, err := in.Next()
		if errors.Is(err, io.EOF) {
			return splits, nil
		}
		if err != nil {
			return nil, errs.E("split.Read", errs.Other, name, err)
		}
		s, err := Decode(b)
		if err != nil {
			return nil, errs.E("split.Read", errs.Other, name, err)
		}
		splits = append(splits, s)
	}
}
