// Package cache keeps pieces of a store's objects on this machine's disk, so that what is read again is not fetched
// again.
//
//	Open ──▶ reader ──┬─▶ the piece is on disk and its CRCs are right ──▶ Read, or the kernel sends the file (WriteTo)
//	                  └─▶ it is absent or damaged ──▶ wrapped store ──▶ Read, and it is kept
//
// Only objects are kept whose names stand for the same bytes for ever, such as the blocks of a gateway; all others pass
// by. A piece is a file that only its owner can read:
//
//	data: 1 MiB, or up to the object's end | CRC32C of each 64 KiB of it | length of data 4 | CRC32C 4
//	                                         \___________ covered by the last one, with object and place __/
//
// Pieces are written in the background, and not at all when the disk can't keep up: who reads never waits for that. A
// piece appears under its name as a whole, but is never made durable: what a crash left of it is known by its CRCs, as
// is what the disk has lost since. Such a piece is removed and fetched again. The files are found again when the
// program is started again; those that were not used for longest go when there is no more room.
package cache

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Options of a Store.
type Options struct {
	Prefix string // of the names whose objects never change; "" for all
	Limit  int64  // bytes on disk at most; 0 means 1 GiB
	// Shared lets other processes of the same user, and other Stores, use the directory at the same time, if they are
	// Shared, too, and have the same limit. A name must mean the same to all of them.
	Shared bool
}

// Store is a store.Store that keeps what is read from another one.
type Store struct {
	inner  store.Store
	prefix string
	pieces shelf
	lock   *os.File
	pages  sync.Pool // of *page

	queue   chan job // pieces to be written
	writing sync.WaitGroup
	closing sync.Once
}

// shelf is where pieces are kept.
type shelf interface {
	has(k key) bool                   // as far as is known
	find(k key) (found kept, ok bool) // and notes that it is of use; whoever gets it closes it
	keep(k key, data []byte)          // called by one goroutine alone
	drop(k key)                       // that there is none is success
	forget(o object)                  // drops all pieces of an object
}

// page is a buffer for a piece. Its reader and the writer share it, and the last of them gives it back.
type page struct {
	buf  [pieceSize]byte
	uses atomic.Int32
}

// job is a piece to be written, or who waits for all before it.
type job struct {
	key    key
	page   *page
	length int
	done   chan struct{}
}

// queued is how many pieces wait to be written at most. More are not kept.
const queued = 16

// New returns st with a cache in a directory, which must be gone or emptied when st is another store: names mean what
// they meant. Unless it is Shared the directory must be for it alone: if another process uses it, New fails with
// errs.Exist.
func New(st store.Store, dir string, o Options) (*Store, error) {
	const op = "cache.New"
	if o.Limit < 0 {
		return nil, errs.Errorf(op, errs.Invalid, dir, "a limit of %d bytes", o.Limit)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, errs.E(op, errs.Other, dir, err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errs.E(op, errs.Other, dir, err)
	}
	limit := cmp.Or(o.Limit, 1<<30)
	var kept shelf = &shared{dir: dir, limit: limit, lock: lock}
	if !o.Shared {
		if kept, err = openPieces(dir, limit, lock); err != nil {
			lock.Close() // nothing was written
			return nil, err
		}
	}
	s := &Store{inner: st, prefix: o.Prefix, pieces: kept, lock: lock, queue: make(chan job, queued)}
	s.pages.New = func() any { return new(page) }
	s.writing.Go(func() {
		for j := range s.queue {
			if j.done != nil {
				close(j.done)
				continue
			}
			s.pieces.keep(j.key, j.page.buf[:j.length])
			s.release(j.page)
		}
	})
	return s, nil
}

// Flush waits until what was read before is kept, or given up.
func (s *Store) Flush() {
	done := make(chan struct{})
	s.queue <- job{done: done}
	<-done
}

// Close ends writing and lets others have the directory. No reader may be open, nor be opened later.
func (s *Store) Close() (err error) {
	s.closing.Do(func() {
		close(s.queue)
		s.writing.Wait()
		// Closing would do it, unless a child is just being started, which has the file until it runs its own program.
		err = errors.Join(syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN), s.lock.Close())
	})
	return err
}

// take returns a page for one user.
func (s *Store) take() *page {
	p := s.pages.Get().(*page)
	p.uses.Store(1)
	return p
}

// release gives a page back.
func (s *Store) release(p *page) {
	if p.uses.Add(-1) == 0 {
		s.pages.Put(p)
	}
}

// keep has a piece written if there is time for that.
func (s *Store) keep(k key, p *page, length int) {
	p.uses.Add(1)
	select {
	case s.queue <- job{key: k, page: p, length: length}:
	default:
		s.release(p)
	}
}

// Unwrap implements store.Wrapper.
func (s *Store) Unwrap() store.Store { return s.inner }

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, name store.Name, opts ...store.CreateOption) (store.Writer, error) {
	return s.inner.Create(ctx, name, opts...)
}

// Stat implements store.Store. It asks the wrapped store.
func (s *Store) Stat(ctx context.Context, name store.Name) (store.Info, error) {
	return s.inner.Stat(ctx, name)
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return s.inner.List(ctx, prefix)
}

// Delete implements store.Store. What another process deletes stays readable here for a while.
func (s *Store) Delete(ctx context.Context, name store.Name) error {
	s.pieces.forget(objectOf(name))
	return s.inner.Delete(ctx, name)
}

// Forget removes what is kept of an object, for who has found that what he has read is not what was written.
func (s *Store) Forget(name store.Name) {
	s.Flush()
	s.pieces.forget(objectOf(name))
}

// Open implements store.Store. What it returns for an object that may be kept is an io.WriterTo, too.
func (s *Store) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	if !strings.HasPrefix(string(name), s.prefix) {
		return s.inner.Open(ctx, name, r)
	}
	if err := cmp.Or(name.Check(), r.Check(name)); err != nil {
		return nil, err
	}
	begin, end := r.Bounds(math.MaxInt64)
	return &reader{s: s, object: objectOf(name), at: begin, end: end, page: s.take(),
		open: func(r store.Range) (io.ReadCloser, error) { return s.inner.Open(ctx, name, r) },
		stat: func() (store.Info, error) { return s.inner.Stat(ctx, name) }}, nil
}
