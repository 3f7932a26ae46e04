// Package mem keeps objects in memory, for tests and for what need not outlive its process.
//
// It models a crash: Crash loses all that was not committed, as the end of a machine would, and keeps the rest. The
// fuller truth about a driver's durability is the file driver's tests, which kill real processes.
package mem

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Store is a store.Store, a store.Multipart and a store.Logs in memory.
type Store struct {
	mu struct {
		sync.RWMutex
		objects map[store.Name]object
		uploads map[string]upload // by id
		life    int               // grows with every crash; readers and writers of an earlier life are dead
		serial  int               // of the last version or upload id given out
	}
}

// object is committed and never changes, unless it is a log.
type object struct {
	data  []byte
	info  store.Info
	token string // of the upload that made it, if one did
	log   *grown // that it is, if it is one
}

// New returns an empty store.
func New() *Store {
	s := &Store{}
	s.mu.objects = map[store.Name]object{}
	s.mu.uploads = map[string]upload{}
	return s
}

// Crash drops everything uncommitted: what writers hold is gone, and they and all readers fail with errs.Unavailable
// from now on. Committed objects stay, as do the parts of uploads. Those who open the store anew notice nothing.
func (s *Store) Crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.life++
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, name store.Name, opts ...store.CreateOption) (store.Writer, error) {
	const op = "mem.Create"
	if err := check(ctx, op, name); err != nil {
		return nil, err
	}
	o := store.Collect(opts)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, there := s.mu.objects[name]; there && o.IfAbsent {
		return nil, errs.E(op, errs.Exist, name, nil)
	}
	return &writer{s: s, name: name, opts: o, life: s.mu.life}, nil
}

// Open implements store.Store.
func (s *Store) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	const op = "mem.Open"
	if err := cmp.Or(check(ctx, op, name), r.Check(name)); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, there := s.mu.objects[name]
	if !there {
		return nil, errs.E(op, errs.NotFound, name, nil)
	}
	begin, end := r.Bounds(o.info.Size)
	return &reader{Reader: bytes.NewReader(o.data[begin:end]), s: s, info: o.info, life: s.mu.life}, nil
}

// Stat implements store.Store.
func (s *Store) Stat(ctx context.Context, name store.Name) (store.Info, error) {
	const op = "mem.Stat"
	if err := check(ctx, op, name); err != nil {
		return store.Info{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, there := s.mu.objects[name]
	if !there {
		return store.Info{}, errs.E(op, errs.NotFound, name, nil)
	}
	return o.info, nil
}

// List implements store.Store. It yields a picture taken at the beginning.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		for _, info := range s.infos(prefix) {
			if err := ctx.Err(); err != nil {
				yield(store.Info{}, errs.E("mem.List", errs.Canceled, prefix, err))
				return
			}
			if !yield(info, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(store.Info{}, errs.E("mem.List", errs.Canceled, prefix, err))
		}
	}
}

func (s *Store) infos(prefix string) []store.Info {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []store.Info
	for name, o := range s.mu.objects {
		if strings.HasPrefix(string(name), prefix) {
			all = append(all, o.info)
		}
	}
	slices.SortFunc(all, func(a, b store.Info) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, name store.Name) error {
	if err := check(ctx, "mem.Delete", name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.objects, name)
	return nil
}

// putLocked makes an object visible.
func (s *Store) putLocked(name store.Name, data []byte, token string) {
	s.mu.objects[name] = object{data: data, token: token, info: store.Info{
		Name: name, Size: int64(len(data)), Modified: time.Now(), Version: s.nextLocked(),
	}}
}

func (s *Store) nextLocked() string {
	s.mu.serial++
	return strconv.Itoa(s.mu.serial)
}

// aliveLocked fails if the store has crashed since a life.
func (s *Store) aliveLocked(op string, name store.Name, life int) error {
	if s.mu.life != life {
		return errs.Errorf(op, errs.Unavailable, name, "the store has crashed")
	}
	return nil
}

func check(ctx context.Context, op string, name store.Name) error {
	if err := ctx.Err(); err != nil {
		return errs.E(op, errs.Canceled, name, err)
	}
	return name.Check()
}

type writer struct {
	s    *Store
	name store.Name
	opts store.CreateOptions
	life int
	data []byte
	done bool  // committed
	fail error // aborted
}

func (w *writer) Write(p []byte) (int, error) {
	w.s.mu.RLock()
	defer w.s.mu.RUnlock()
	if err := cmp.Or(w.fail, w.s.aliveLocked("mem.Write", w.name, w.life)); err != nil {
		return 0, err
	}
	if w.done {
		return 0, errs.Errorf("mem.Write", errs.Invalid, w.name, "the writer is committed")
	}
	w.data = append(w.data, p...)
	return len(p), nil
}

func (w *writer) Commit(ctx context.Context) error {
	const op = "mem.Commit"
	if w.done {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return errs.E(op, errs.Canceled, w.name, err)
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if err := cmp.Or(w.fail, w.s.aliveLocked(op, w.name, w.life)); err != nil {
		return err
	}
	if _, there := w.s.mu.objects[w.name]; there && w.opts.IfAbsent {
		return errs.E(op, errs.Exist, w.name, nil)
	}
	w.s.putLocked(w.name, w.data, "")
	w.data, w.done = nil, true
	return nil
}

func (w *writer) Abort(context.Context) error {
	if !w.done && w.fail == nil {
		w.data, w.fail = nil, errs.Errorf("mem.Writer", errs.Invalid, w.name, "the writer is aborted")
	}
	return nil
}

// reader reads a part of one object. Its other methods, such as ReadAt, count from the beginning of the range.
type reader struct {
	*bytes.Reader
	s      *Store
	info   store.Info
	life   int
	closed bool
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.alive(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

func (r *reader) WriteTo(w io.Writer) (int64, error) {
	if err := r.alive(); err != nil {
		return 0, err
	}
	return r.Reader.WriteTo(w)
}

func (r *reader) alive() error {
	if r.closed {
		return errs.E("mem.Read", errs.Invalid, r.info.Name, fs.ErrClosed)
	}
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	return r.s.aliveLocked("mem.Read", r.info.Name, r.life)
}

func (r *reader) Info() (store.Info, error) { return r.info, nil }
func (r *reader) Close() error              { r.closed = true; return nil }
