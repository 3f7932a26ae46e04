// Package file keeps objects as files below a directory: the store of the embedded engine, and the way to file://
// names.
//
// The object "a/b" of a store with root /r is the file /r/a/b, byte for byte. With root "/" a store has every file of
// the machine under its absolute path. An object comes to be in four steps, so that a kill or a power cut at any
// moment leaves all of it or nothing:
//
//	/r/a/.runner-tmp-XXXX   written, fsync       invisible: names with this prefix are no objects
//	/r/a/b                  link or rename       visible; link fails if the name exists, so one of many processes wins
//	/r/a                    fsync                durable
//	/r                      fsync                only if a was new
//
// A small object costs two fsyncs. A writer that was killed leaves its temporary file, which Sweep removes.
//
// What directories can't do, this driver can't: "a/b" beside an object "a" fails with errs.Invalid, as does a
// component of more than 255 bytes. Objects are regular files, and symbolic links to them. A listing goes into real
// directories; it follows a link to a directory only if the prefix names it. Files that somebody changes in place,
// past this package, break the promise that a reader sees one version; Info.Version tells.
package file

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Options change how a Store works.
type Options struct {
	// KeepDirs leaves directories that Delete made empty. Set it where people made the directories, as below "/"; else
	// they go with their last object, as object stores have it.
	KeepDirs bool
}

// Store is a store.Store below a directory. Any number of processes may use the same directory at once.
type Store struct {
	root string // absolute and clean
	opts Options
}

// New returns the store below root, and makes that directory if it is missing.
func New(root string, opts Options) (*Store, error) {
	const op = "file.New"
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, errs.E(op, errs.Other, root, err)
	}
	kept, err := makeDirs(abs)
	if err == nil && kept != abs {
		err = syncUp(abs, kept)
	}
	if err != nil {
		return nil, failed(op, store.Name(root), err)
	}
	if st, err := os.Stat(abs); err != nil || !st.IsDir() {
		return nil, errs.E(op, errs.Invalid, root, cmp.Or(err, error(syscall.ENOTDIR)))
	}
	return &Store{abs, opts}, nil
}

// path returns where an object is.
func (s *Store) path(name store.Name) string { return filepath.Join(s.root, string(name)) }

// check refuses an ended ctx and names that no object can have.
func check(ctx context.Context, op string, name store.Name) error {
	if err := ctx.Err(); err != nil {
		return errs.E(op, errs.Canceled, name, err)
	}
	if err := name.Check(); err != nil {
		return err
	}
	if strings.HasPrefix(string(name), tempPrefix) || strings.Contains(string(name), "/"+tempPrefix) {
		return errs.Errorf(op, errs.Invalid, name, "names with %s are for unfinished objects", tempPrefix)
	}
	return nil
}

// failed gives an error of the file system the kind that the contract has for it.
func failed(op string, name store.Name, err error) error {
	kind := errs.Other // which inherits what errs.KindOf knows
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		kind = errs.NotFound // a part of the path is an object, so nothing is below it
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.ELOOP):
		kind = errs.Invalid
	case errors.Is(err, syscall.ESTALE), errors.Is(err, syscall.ETIMEDOUT):
		kind = errs.Unavailable // network file systems
	}
	return errs.E(op, kind, name, err)
}

// Open implements store.Store. The whole of an object is read by an *os.File, embedded in what is returned; of a
// range an *io.SectionReader. Both can read at any offset.
func (s *Store) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	const op = "file.Open"
	if err := cmp.Or(check(ctx, op, name), r.Check(name)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path(name), os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would block the opener
	if err != nil {
		return nil, failed(op, name, err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errs.Errorf(op, errs.NotFound, nil, "%s is no regular file", s.path(name))
	}
	if err != nil {
		f.Close() // nothing was written
		return nil, failed(op, name, err)
	}
	info := describe(name, st)
	if r == (store.Range{}) {
		return &whole{f, info}, nil
	}
	begin, end := r.Bounds(info.Size)
	return &section{io.NewSectionReader(f, begin, end-begin), f, info}, nil
}

// whole and section are store.Readers.
type whole struct {
	*os.File
	info store.Info
}

type section struct {
	*io.SectionReader
	f    *os.File
	info store.Info
}

func (r *whole) Info() (store.Info, error)   { return r.info, nil }
func (r *section) Info() (store.Info, error) { return r.info, nil }
func (r *section) Close() error              { return r.f.Close() }

// Stat implements store.Store.
func (s *Store) Stat(ctx context.Context, name store.Name) (store.Info, error) {
	const op = "file.Stat"
	if err := check(ctx, op, name); err != nil {
		return store.Info{}, err
	}
	st, err := os.Stat(s.path(name))
	if err == nil && !st.Mode().IsRegular() {
		err = errs.Errorf(op, errs.NotFound, nil, "%s is no regular file", s.path(name))
	}
	if err != nil {
		return store.Info{}, failed(op, name, err)
	}
	return describe(name, st), nil
}

// describe makes an Info. The inode tells versions apart that others wrote within one tick of the file system's clock.
func describe(name store.Name, st fs.FileInfo) store.Info {
	v := strconv.AppendInt(nil, st.Size(), 36)
	v = strconv.AppendInt(append(v, '-'), st.ModTime().UnixNano(), 36)
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		v = strconv.AppendUint(append(v, '-'), sys.Ino, 36)
	}
	return store.Info{Name: name, Size: st.Size(), Modified: st.ModTime(), Version: string(v)}
}

// Delete implements store.Store. Directories that it leaves empty go too, unless KeepDirs says otherwise. That is safe
// beside a Create: one that has its temporary file in the directory keeps it from being removed, and one that has not
// makes the directory again.
func (s *Store) Delete(ctx context.Context, name store.Name) error {
	const op = "file.Delete"
	if err := check(ctx, op, name); err != nil {
		return err
	}
	path := s.path(name)
	st, err := os.Lstat(path)
	if err == nil && (st.Mode().IsRegular() || st.Mode()&fs.ModeSymlink != 0) { // anything else is no object
		err = syscall.Unlink(path)
		if err == nil {
			stays := s.prune(filepath.Dir(path))
			err = syncUp(stays, stays)
		}
	}
	if err != nil && !gone(err) {
		return failed(op, name, err)
	}
	return nil
}

// gone reports whether err says that something is not there.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

// prune removes dir and what is above it below the root, as far as they are empty, and returns the first that stays.
func (s *Store) prune(dir string) string {
	if s.opts.KeepDirs {
		return dir
	}
	return removeEmpty(dir, s.root)
}
