// Package below shows the objects of a store whose names begin with a folder's as a store of its own.
//
//	st, err := below.New(bucket, "team/data")     // st's object a/b is the bucket's team/data/a/b
//
// It takes no uploads (store.Multipart): whoever needs them names the objects of the whole store.
package below

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Store is a store.Store.
type Store struct {
	inner  store.Store
	folder store.Name
}

// New returns what is below folder in st. It fails with errs.Invalid if folder is not well formed.
func New(st store.Store, folder store.Name) (*Store, error) {
	if err := folder.Check(); err != nil {
		return nil, err
	}
	return &Store{st, folder}, nil
}

// full returns the name of an object in the whole store.
func (s *Store) full(name store.Name) (store.Name, error) {
	if err := name.Check(); err != nil {
		return "", err
	}
	return s.folder.Join(string(name)), nil
}

// own describes an object by its name here.
func (s *Store) own(info store.Info) store.Info {
	info.Name = store.Name(strings.TrimPrefix(string(info.Name), string(s.folder)+"/"))
	return info
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, name store.Name, opts ...store.CreateOption) (store.Writer, error) {
	full, err := s.full(name)
	if err != nil {
		return nil, err
	}
	return s.inner.Create(ctx, full, opts...)
}

// Open implements store.Store.
func (s *Store) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	full, err := s.full(name)
	if err != nil {
		return nil, err
	}
	rc, err := s.inner.Open(ctx, full, r)
	if err != nil {
		return nil, err
	}
	return &reader{rc, s}, nil
}

// reader is a store.Reader.
type reader struct {
	io.ReadCloser
	s *Store
}

// Info implements store.Reader.
func (r *reader) Info() (store.Info, error) {
	inner, ok := r.ReadCloser.(store.Reader)
	if !ok {
		return store.Info{}, errs.E("below.Info", errs.Unsupported, nil, errors.New("this store's readers don't say"))
	}
	info, err := inner.Info()
	return r.s.own(info), err
}

// Stat implements store.Store.
func (s *Store) Stat(ctx context.Context, name store.Name) (store.Info, error) {
	full, err := s.full(name)
	if err != nil {
		return store.Info{}, err
	}
	info, err := s.inner.Stat(ctx, full)
	return s.own(info), err
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		for info, err := range s.inner.List(ctx, string(s.folder)+"/"+prefix) {
			if !yield(s.own(info), err) {
				return
			}
		}
	}
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, name store.Name) error {
	full, err := s.full(name)
	if err != nil {
		return err
	}
	return s.inner.Delete(ctx, full)
}
