// Package around puts a function around every call to a store. The wrappers limit, metrics and fault are such
// functions; retry is one for the calls that can simply be made again.
//
//	caller ──▶ around.Store ──▶ hook(ctx, Call{Op, Name, ...}, do) ──▶ do ──▶ wrapped store
//
// Uploads (store.Multipart) go through the hook too, if the wrapped store takes them.
package around

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Op is a kind of call.
type Op uint8

// The kinds of calls. A listing is one List for its first item, and a Next for each further one and for its end.
const (
	Any Op = iota // none of them; in a rule, those that carry no bytes
	Create
	Write
	Commit
	Abort
	Open
	Read
	Stat
	List
	Next
	Delete
	BeginUpload
	UploadPart
	CompleteUpload
	AbortUpload
	Uploads
	NumOps // how many there are
)

var opText = [NumOps]string{
	"any", "create", "write", "commit", "abort", "open", "read", "stat", "list", "next", "delete",
	"begin-upload", "upload-part", "complete-upload", "abort-upload", "uploads",
}

// String returns the op as labels and messages show it.
func (op Op) String() string { return opText[op] }

// Call is one call as a hook sees it.
type Call struct {
	Op   Op
	Name store.Name          // the object's; of List, Uploads and their Next the prefix
	Data []byte              // of Write and UploadPart what is written, of Read what is to be filled, else nil
	Opts store.CreateOptions // of Create, Commit and CompleteUpload
}

// Hook runs around one call: do makes it, with c.Data or with what the hook gives instead. Read, Write and UploadPart
// return how many bytes they moved, all others 0. A hook that makes the call more than once must know which calls bear
// it: List, Next, Uploads, Read and Write don't. It is called by many goroutines at once.
type Hook func(ctx context.Context, c Call, do func(data []byte) (int, error)) (int, error)

// Store passes all calls through a hook.
type Store struct {
	inner store.Store
	hook  Hook
}

// New returns st with hook around every call.
func New(st store.Store, hook Hook) *Store { return &Store{st, hook} }

// Unwrap implements store.Wrapper.
func (s *Store) Unwrap() store.Store { return s.inner }

// run puts the hook around a call that moves no bytes.
func (s *Store) run(ctx context.Context, c Call, f func() error) error {
	_, err := s.hook(ctx, c, func([]byte) (int, error) { return 0, f() })
	return err
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, name store.Name, opts ...store.CreateOption) (store.Writer, error) {
	w := &writer{s: s, name: name, opts: store.Collect(opts)}
	w.write = func(p []byte) (int, error) { return s.hook(ctx, w.call(Write, p), w.inner.Write) }
	err := s.run(ctx, w.call(Create, nil), func() (err error) {
		w.inner, err = s.inner.Create(ctx, name, opts...)
		return err
	})
	if err != nil {
		if w.inner != nil { // it was made and the hook says otherwise: nobody else will end it
			err = errors.Join(err, w.inner.Abort(context.WithoutCancel(ctx)))
		}
		return nil, err
	}
	return w, nil
}

// Open implements store.Store.
func (s *Store) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	rd := &reader{name: name}
	rd.read = func(p []byte) (int, error) { return s.hook(ctx, Call{Op: Read, Name: name, Data: p}, rd.inner.Read) }
	err := s.run(ctx, Call{Op: Open, Name: name}, func() (err error) {
		rd.inner, err = s.inner.Open(ctx, name, r)
		return err
	})
	if err != nil {
		if rd.inner != nil {
			err = errors.Join(err, rd.inner.Close())
		}
		return nil, err
	}
	return rd, nil
}

// Stat implements store.Store.
func (s *Store) Stat(ctx context.Context, name store.Name) (info store.Info, err error) {
	err = s.run(ctx, Call{Op: Stat, Name: name}, func() error {
		info, err = s.inner.Stat(ctx, name)
		return err
	})
	return info, err
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return list(ctx, s, Call{Op: List, Name: store.Name(prefix)}, s.inner.List(ctx, prefix))
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, name store.Name) error {
	return s.run(ctx, Call{Op: Delete, Name: name}, func() error { return s.inner.Delete(ctx, name) })
}

// list puts the hook around the making of each item. What the loop over the items does is outside of it.
func list[T any](ctx context.Context, s *Store, c Call, items iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		next, stop := iter.Pull2(items)
		defer stop()
		for ; ; c.Op = Next {
			var item T
			var more bool
			err := s.run(ctx, c, func() (err error) {
				item, err, more = next()
				return err
			})
			if err != nil {
				yield(*new(T), err)
				return
			}
			if !more || !yield(item, nil) {
				return
			}
		}
	}
}

type writer struct {
	s     *Store
	inner store.Writer
	write func(p []byte) (int, error) // with the hook, and the context of Create, which bounds the writing
	name  store.Name
	opts  store.CreateOptions
}

func (w *writer) call(op Op, data []byte) Call {
	return Call{Op: op, Name: w.name, Data: data, Opts: w.opts}
}

func (w *writer) Write(p []byte) (int, error) { return w.write(p) }

func (w *writer) Commit(ctx context.Context) error {
	return w.s.run(ctx, w.call(Commit, nil), func() error { return w.inner.Commit(ctx) })
}

func (w *writer) Abort(ctx context.Context) error {
	return w.s.run(ctx, w.call(Abort, nil), func() error { return w.inner.Abort(ctx) })
}

type reader struct {
	inner io.ReadCloser
	read  func(p []byte) (int, error) // with the hook, and the context of Open
	name  store.Name
}

func (r *reader) Read(p []byte) (int, error) { return r.read(p) }

func (r *reader) Close() error { return r.inner.Close() }

// Info implements store.Reader.
func (r *reader) Info() (store.Info, error) {
	if d, ok := r.inner.(store.Reader); ok {
		return d.Info()
	}
	return store.Info{}, errs.Errorf("store.Info", errs.Unsupported, r.name, "this store's readers don't know")
}
