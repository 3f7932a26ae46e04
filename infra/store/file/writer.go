package file

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// tempPrefix begins the names of unfinished objects. They lie in the directory of the object, since that alone is
// surely on the same file system.
const tempPrefix = ".runner-tmp-"

// makeTries is how often Create makes a directory that others remove at the same moment.
const makeTries = 100

// Create implements store.Store. Each Write is a system call.
func (s *Store) Create(ctx context.Context, name store.Name, opts ...store.CreateOption) (store.Writer, error) {
	const op = "file.Create"
	if err := check(ctx, op, name); err != nil {
		return nil, err
	}
	w := &writer{name: name, path: s.path(name), opts: store.Collect(opts)}
	if w.opts.IfAbsent {
		if st, err := os.Lstat(w.path); err == nil && !st.IsDir() {
			return nil, errs.E(op, errs.Exist, name, nil)
		}
	}
	if err := w.makeTemp(); err != nil {
		if errors.Is(err, syscall.ENOTDIR) {
			return nil, errs.Errorf(op, errs.Invalid, name, "an object has the name of a directory above it: %w", err)
		}
		return nil, failed(op, name, err)
	}
	return w, nil
}

// stage is how far an object has come. It never goes back.
type stage uint8

const (
	writing   stage = iota // in the temporary file
	published              // under its name, perhaps not durable
	committed              // done
)

type writer struct {
	name  store.Name
	path  string
	opts  store.CreateOptions
	temp  *os.File
	kept  string // the deepest directory above path that was there before
	stage stage
	err   error // set once nothing can be written or committed any more
}

// makeTemp makes the temporary file, and its directory if need be.
func (w *writer) makeTemp() (err error) {
	dir := filepath.Dir(w.path)
	w.kept = dir
	for range makeTries {
		temp := filepath.Join(dir, tempPrefix+rand.Text())
		w.temp, err = os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		kept, err := makeDirs(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a directory above was removed at this moment: again
			return err
		}
		if err == nil && len(kept) < len(w.kept) {
			w.kept = kept
		}
	}
	return err
}

func (w *writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.temp.Write(p)
	if err != nil {
		w.err = failed("file.Write", w.name, err)
	}
	return n, w.err
}

func (w *writer) Commit(ctx context.Context) error {
	const op = "file.Commit"
	if w.stage == writing {
		if err := cmp.Or(ctx.Err(), w.err); err != nil {
			return errs.E(op, errs.Other, w.name, err)
		}
		if err := w.publish(op); err != nil {
			return err
		}
		w.stage, w.err = published, errs.Errorf(op, errs.Invalid, w.name, "the writer is committed")
	}
	if w.stage == published {
		if err := syncUp(filepath.Dir(w.path), w.kept); err != nil {
			return errs.E(op, errs.Unavailable, w.name, err) // it can be seen, but may not survive a power cut
		}
		w.stage = committed
	}
	return nil
}

// publish makes the bytes durable and then visible.
func (w *writer) publish(op string) error {
	temp := w.temp.Name()
	// What is in an object's Version. If it can't be set it is as exact as the file system's own clock.
	_ = os.Chtimes(temp, time.Time{}, time.Now())
	if err := errors.Join(w.temp.Sync(), w.temp.Close()); err != nil {
		w.err = failed(op, w.name, err) // what a second fsync says after a first one failed is worth nothing
		return w.err
	}
	var err error
	if w.opts.IfAbsent {
		if err = os.Link(temp, w.path); err == nil {
			os.Remove(temp) // if it stays, it is what Sweep is for
		}
	} else {
		err = os.Rename(temp, w.path)
	}
	if err != nil {
		w.err = w.refused(op, err)
	}
	return w.err
}

// refused explains why a finished file could not get its name.
func (w *writer) refused(op string, err error) error {
	st, statErr := os.Lstat(w.path)
	switch {
	case statErr == nil && st.IsDir():
		return errs.Errorf(op, errs.Invalid, w.name, "a directory has this name: %w", err)
	case errors.Is(err, fs.ErrExist):
		return errs.E(op, errs.Exist, w.name, err)
	case w.opts.IfAbsent && (errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported)):
		return errs.Errorf(op, errs.Unsupported, w.name, "this file system has no hard links: %w", err)
	}
	return failed(op, w.name, err)
}

func (w *writer) Abort(context.Context) error {
	if w.stage != writing || w.temp == nil {
		return nil
	}
	temp := w.temp
	w.temp, w.err = nil, errs.Errorf("file.Writer", errs.Invalid, w.name, "the writer is aborted")
	temp.Close() // its bytes are not wanted, and Commit may have closed it
	err := os.Remove(temp.Name())
	removeEmpty(filepath.Dir(w.path), w.kept)
	if err != nil && !gone(err) {
		return failed("file.Abort", w.name, err)
	}
	return nil
}

// makeDirs makes dir and what lacks above it, and returns the deepest directory that was there before.
func makeDirs(dir string) (kept string, err error) {
	err = os.Mkdir(dir, 0o777)
	switch {
	case err == nil:
		return filepath.Dir(dir), nil
	case errors.Is(err, fs.ErrExist): // or a file: who uses it as a directory will see
		return dir, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	if kept, err = makeDirs(filepath.Dir(dir)); err != nil {
		return "", err
	}
	if err = os.Mkdir(dir, 0o777); errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return kept, err
}

// removeEmpty removes dir and the directories above it, up to but without top, as far as they are empty. It returns
// the first that stays. It never removes a file that took a directory's place, as os.Remove would.
func removeEmpty(dir, top string) string {
	for len(dir) > len(top) && syscall.Rmdir(dir) == nil {
		dir = filepath.Dir(dir)
	}
	return dir
}

// syncUp makes the entries of dir durable, and of the directories above it up to and including top. Directories that
// another process has just made and not yet synced are left to it: journaling file systems order the two. Of those that
// another one has removed meanwhile, with what was in them, the first that stays counts.
func syncUp(dir, top string) error {
	for {
		err := syncDir(dir)
		if err != nil && !gone(err) || err == nil && len(dir) <= len(top) {
			return err
		}
		dir = filepath.Dir(dir)
	}
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // EINVAL: this file system can't, nor need it
		return err
	}
	return nil
}
