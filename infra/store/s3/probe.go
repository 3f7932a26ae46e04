package s3

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// probe creates an object twice, if-absent, by each of the two ways there are, and fails unless the second one and the
// third are refused.
func (s *Store) probe(ctx context.Context) (err error) {
	name := store.Name(".runner-probe-" + rand.Text())
	err = store.Put(ctx, s, name, nil, store.IfAbsent())
	if errs.KindOf(err) == errs.Permission {
		_, err := s.Stat(ctx, name)
		if errs.KindOf(err) == errs.NotFound {
			return nil // it may be read and not be written, so there is nothing to be afraid of
		}
		return err
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Delete(context.WithoutCancel(ctx), name)) }()
	if err := refused(store.Put(ctx, s, name, nil, store.IfAbsent())); err != nil {
		return err
	}
	u, err := s.BeginUpload(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.AbortUpload(context.WithoutCancel(ctx), u)) }()
	part, err := s.UploadPart(ctx, u, 1, nil)
	if err != nil {
		return err
	}
	return refused(s.CompleteUpload(ctx, u, []store.Part{part}, store.IfAbsent()))
}

// refused fails unless err says that the object exists.
func refused(err error) error {
	switch {
	case err == nil:
		return errs.Errorf("", errs.Unsupported, nil, "this server ignores If-None-Match: two writers could both believe "+
			"that they created the same object, so it can't be used")
	case errs.KindOf(err) == errs.Exist:
		return nil
	}
	return err
}
