package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler"
)

// Options may be left zero.
type Options struct {
	MaxBytes   int64 // that one archive may unpack to; 16 GiB
	MaxEntries int   // files, folders and links in one archive; 200,000
}

// Node is one process's view of the files that a job has on this node. All methods may be called by many goroutines.
type Node struct {
	dir     string
	store   store.Store
	resolve store.Resolve
	opts    Options

	turn  chan struct{} // holds one element as long as somebody uses what is below
	seen  map[int]seen  // files that were compared with their sums by this process
	trees map[int]bool  // archives of which all that was in them was
}

// seen is what a file was like when its sum was right.
type seen struct {
	size int64
	time time.Time
}

// NewNode returns a view of dir, which need not exist. st has what Stage has copied; resolve finds all else.
func NewNode(dir string, st store.Store, resolve store.Resolve, o Options) *Node {
	if o.MaxBytes == 0 {
		o.MaxBytes = 16 << 30
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = 200_000
	}
	return &Node{
		dir: dir, store: st, resolve: resolve, opts: o,
		turn: make(chan struct{}, 1), seen: map[int]seen{}, trees: map[int]bool{},
	}
}

// Files returns the paths of a job's files, or of the folders of its archives, by name. What is not there, or not as it
// should be, it fetches, or waits for the process that does. The job is the same in all calls. An error of kind Invalid
// says that a file has changed since the job was submitted, or is an archive that may not be unpacked.
func (n *Node) Files(ctx context.Context, job scheduler.Job) (map[string]string, error) {
	if len(job.Files) == 0 {
		return nil, nil
	}
	select {
	case n.turn <- struct{}{}:
		defer func() { <-n.turn }()
	case <-ctx.Done():
		return nil, errs.E("cache.Files", errs.Canceled, nil, context.Cause(ctx))
	}
	unlock, err := n.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	paths := make(map[string]string, len(job.Files))
	for i, f := range job.Files {
		if paths[f.Name], err = n.haveLocked(ctx, i, f); err != nil {
			return nil, errs.E("cache.Files", errs.Other, f.URI, err)
		}
	}
	return paths, nil
}

// lock keeps other processes from changing anything. It waits until ctx ends.
func (n *Node) lock(ctx context.Context) (unlock func(), err error) {
	const op, again = "cache.Lock", 20 * time.Millisecond
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return nil, errs.E(op, errs.Other, n.dir, err)
	}
	f, err := os.OpenFile(filepath.Join(n.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errs.E(op, errs.Other, n.dir, err)
	}
	retry := time.NewTicker(again) // the kernel tells nobody
	defer retry.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil // which unlocks; nothing was written
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close() // nothing was written
			return nil, errs.E(op, errs.Other, n.dir, err)
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			f.Close() // nothing was written
			return nil, errs.E(op, errs.Canceled, n.dir, context.Cause(ctx))
		}
	}
}

// haveLocked makes sure that one file is there and right, and returns the path that tasks get.
func (n *Node) haveLocked(ctx context.Context, i int, f scheduler.File) (string, error) {
	copied := filepath.Join(n.dir, fmt.Sprint(i, ".file"))
	if !n.rightLocked(i, copied, f) {
		if err := n.fetch(ctx, copied, f); err != nil {
			return "", err
		}
		if !n.rightLocked(i, copied, f) {
			return "", errs.Errorf("cache.Fetch", errs.Corrupt, copied, "it is not what was written there")
		}
	}
	if !f.Archive {
		return copied, nil
	}
	return n.treeLocked(ctx, i, f)
}

// rightLocked reports whether a copy is what it should be, and remembers that.
func (n *Node) rightLocked(i int, copied string, f scheduler.File) bool {
	info, err := os.Lstat(copied)
	if err != nil || !info.Mode().IsRegular() || info.Size() != f.Size {
		return false
	}
	now := seen{info.Size(), info.ModTime()}
	if n.seen[i] == now {
		return true
	}
	sum, err := sumOf(func() (io.ReadCloser, error) { return os.Open(copied) })
	if err != nil || sum != f.SHA256 {
		return false
	}
	n.seen[i] = now
	return true
}

func sumOf(open func() (io.ReadCloser, error)) (string, error) {
	in, err := open()
	if err != nil {
		return "", err
	}
	defer in.Close() // nothing was written
	s := summed{to: io.Discard, hash: sha256.New()}
	_, err = io.Copy(&s, in)
	return s.text(), err
}

// fetch makes a copy, which has its name when it is whole and on the disk.
func (n *Node) fetch(ctx context.Context, copied string, f scheduler.File) error {
	st, name, err := n.store, store.Name(f.Object), error(nil)
	if f.Object == "" {
		st, name, err = n.resolve(ctx, f.URI)
	}
	if err != nil {
		return err
	}
	in, err := st.Open(ctx, name, store.Range{})
	if err != nil {
		return err
	}
	defer in.Close() // nothing was written
	out, err := os.CreateTemp(n.dir, ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // if it has not got its name
	s := summed{to: out, hash: sha256.New()}
	_, err = io.Copy(&s, io.LimitReader(in, f.Size+1)) // one more tells a longer one
	if err == nil && (s.size != f.Size || s.text() != f.SHA256) {
		err = errs.Errorf("cache.Fetch", errs.Invalid, nil, "it has changed since the job was submitted; submit it again")
	}
	if err == nil {
		err = errors.Join(out.Chmod(0o444), out.Sync())
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), copied)
}
