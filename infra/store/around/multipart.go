package around

import (
	"context"
	"iter"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// upload puts the hook around a call to the wrapped store's ability to take uploads, or fails with errs.Unsupported.
func (s *Store) upload(ctx context.Context, c Call, f func(m store.Multipart, data []byte) error) error {
	m, ok := store.MultipartOf(s.inner)
	if !ok {
		return errs.Errorf("store.Multipart", errs.Unsupported, c.Name, "this store takes no uploads")
	}
	_, err := s.hook(ctx, c, func(data []byte) (int, error) {
		if err := f(m, data); err != nil {
			return 0, err
		}
		return len(data), nil
	})
	return err
}

// BeginUpload implements store.Multipart.
func (s *Store) BeginUpload(ctx context.Context, name store.Name) (u store.Upload, err error) {
	err = s.upload(ctx, Call{Op: BeginUpload, Name: name}, func(m store.Multipart, _ []byte) error {
		u, err = m.BeginUpload(ctx, name)
		return err
	})
	return u, err
}

// UploadPart implements store.Multipart.
func (s *Store) UploadPart(ctx context.Context, u store.Upload, number int, data []byte) (p store.Part, err error) {
	err = s.upload(ctx, Call{Op: UploadPart, Name: u.Name, Data: data}, func(m store.Multipart, data []byte) error {
		p, err = m.UploadPart(ctx, u, number, data)
		return err
	})
	return p, err
}

// CompleteUpload implements store.Multipart.
func (s *Store) CompleteUpload(
	ctx context.Context, u store.Upload, parts []store.Part, opts ...store.CreateOption,
) error {
	c := Call{Op: CompleteUpload, Name: u.Name, Opts: store.Collect(opts)}
	return s.upload(ctx, c, func(m store.Multipart, _ []byte) error {
		return m.CompleteUpload(ctx, u, parts, opts...)
	})
}

// AbortUpload implements store.Multipart.
func (s *Store) AbortUpload(ctx context.Context, u store.Upload) error {
	return s.upload(ctx, Call{Op: AbortUpload, Name: u.Name}, func(m store.Multipart, _ []byte) error {
		return m.AbortUpload(ctx, u)
	})
}

// Uploads implements store.Multipart.
func (s *Store) Uploads(ctx context.Context, prefix string) iter.Seq2[store.Upload, error] {
	m, ok := store.MultipartOf(s.inner)
	if !ok {
		return func(yield func(store.Upload, error) bool) {
			yield(store.Upload{}, errs.Errorf("store.Multipart", errs.Unsupported, prefix, "this store takes no uploads"))
		}
	}
	return list(ctx, s, Call{Op: Uploads, Name: store.Name(prefix)}, m.Uploads(ctx, prefix))
}
