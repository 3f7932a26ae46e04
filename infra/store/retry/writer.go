package retry

import (
	"context"
	"errors"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/upload"
)

// Create implements store.Store. The store is asked at the earliest when more than Options.Keep bytes are written,
// else at Commit.
func (s *Store) Create(ctx context.Context, name store.Name, opts ...store.CreateOption) (store.Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, errs.E("retry.Create", errs.Canceled, name, err)
	}
	if err := name.Check(); err != nil {
		return nil, err
	}
	if _, ok := store.MultipartOf(s.inner); !ok {
		w := &streamer{keeper: keeper{s: s, name: name, opts: opts}}
		w.begin = func() error {
			return s.again(ctx, around.Write.String(), name, func() error { return w.send(ctx) })
		}
		return w, nil
	}
	small := func(_ context.Context, data []byte) (store.Writer, error) {
		return &keeper{s: s, name: name, opts: opts, data: data}, nil
	}
	return upload.New(ctx, s, name, upload.Options{PartSize: s.opts.Keep, Small: small}, opts...), nil
}

// keeper commits an object whose bytes it keeps until the store's Writer has them.
type keeper struct {
	s    *Store
	name store.Name
	opts []store.CreateOption
	data []byte
	w    store.Writer // has all of data; nil until then
	done bool         // committed
	err  error        // set by Abort, unless done
}

// send brings data into a Writer of the store. If that fails the next try begins anew.
func (k *keeper) send(ctx context.Context) error {
	if k.w != nil || k.err != nil {
		return k.err
	}
	w, err := k.s.inner.Create(ctx, k.name, k.opts...)
	if err != nil {
		return err
	}
	if _, err := w.Write(k.data); err != nil {
		return errors.Join(err, w.Abort(context.WithoutCancel(ctx)))
	}
	k.w, k.data = w, nil
	return nil
}

func (k *keeper) Commit(ctx context.Context) error {
	if k.done {
		return nil
	}
	err := k.s.again(ctx, around.Commit.String(), k.name, func() error {
		if err := k.send(ctx); err != nil {
			return err
		}
		return k.w.Commit(ctx)
	})
	k.done = err == nil
	return err
}

func (k *keeper) Write([]byte) (int, error) {
	return 0, errs.Errorf("retry.Write", errs.Internal, k.name, "a writer of bytes that are all there")
}

func (k *keeper) Abort(ctx context.Context) error {
	if k.done || k.err != nil {
		return nil
	}
	k.data, k.err = nil, errs.Errorf("retry.Writer", errs.Invalid, k.name, "the writer is aborted")
	if k.w == nil {
		return nil
	}
	return k.s.again(context.WithoutCancel(ctx), around.Abort.String(), k.name, func() error { return k.w.Abort(ctx) })
}

// streamer keeps the first bytes of an object and lets the others pass, in a store that takes no uploads.
type streamer struct {
	keeper
	begin func() error // sends what is kept, with the context of Create
}

func (w *streamer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.w == nil && int64(len(w.data)+len(p)) <= w.s.opts.Keep {
		w.data = append(w.data, p...)
		return len(p), nil
	}
	if err := w.begin(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}
