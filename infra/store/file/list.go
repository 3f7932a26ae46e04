package file

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/store"
)

// List implements store.Store. It reads one directory after another, whole, and only those that can hold a match. A
// directory that may not be read, and a file name that can't be an object's (not UTF-8), end it with an error that
// names them: input that is silently left out would be a wrong answer.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	const op = "file.List"
	return func(yield func(store.Info, error) bool) {
		visit := func(name string, d fs.DirEntry) bool {
			if strings.HasPrefix(d.Name(), tempPrefix) {
				return true
			}
			st, err := d.Info()
			if d.Type()&fs.ModeSymlink != 0 {
				st, err = os.Stat(s.path(store.Name(name)))
			}
			switch {
			case err == nil && !st.Mode().IsRegular(), err != nil && gone(err): // no object, or not any more
				return true
			case err == nil:
				err = store.Name(name).Check()
			}
			if err != nil {
				yield(store.Info{}, failed(op, store.Name(name), err))
				return false
			}
			return yield(describe(store.Name(name), st), nil)
		}
		if err := s.walk(ctx, prefix, visit); err != nil {
			yield(store.Info{}, failed(op, store.Name(prefix), err))
		}
	}
}

// Sweep removes the temporary files of killed writers below the directory prefix ("" for all): those that nobody has
// written to for longer than age. A living writer that pauses for so long loses its object and sees it at Commit, so
// age should be hours.
func (s *Store) Sweep(ctx context.Context, prefix string, age time.Duration) error {
	oldest := time.Now().Add(-age)
	var removal error
	err := s.walk(ctx, prefix, func(name string, d fs.DirEntry) bool {
		st, err := d.Info()
		if strings.HasPrefix(d.Name(), tempPrefix) && err == nil && st.ModTime().Before(oldest) {
			path := s.path(store.Name(name))
			if err := os.Remove(path); err != nil && !gone(err) {
				removal = errors.Join(removal, err)
			}
			s.prune(filepath.Dir(path))
		}
		return true
	})
	if err = errors.Join(err, removal); err != nil {
		return failed("file.Sweep", store.Name(prefix), err)
	}
	return nil
}

// walk visits everything but directories whose name begins with prefix, in byte order of the names, until visit
// returns false or ctx ends.
func (s *Store) walk(ctx context.Context, prefix string, visit func(name string, d fs.DirEntry) bool) error {
	dir := prefix[:strings.LastIndexByte(prefix, '/')+1]
	if dir != "" && store.Name(dir[:len(dir)-1]).Check() != nil {
		return ctx.Err() // no name begins so; as a path it might lead out of the root
	}
	_, err := s.walkDir(ctx, dir, prefix, visit)
	return err
}

// walkDir does so for the directory dir, which is "" or ends with a slash. It reports whether the walk goes on.
func (s *Store) walkDir(
	ctx context.Context, dir, prefix string, visit func(name string, d fs.DirEntry) bool,
) (bool, error) {
	entries, err := s.readDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		name := dir + e.key
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if !e.d.IsDir() {
			if !visit(name, e.d) {
				return false, nil
			}
			continue
		}
		if more, err := s.walkDir(ctx, name, prefix, visit); err != nil || !more {
			return false, err
		}
	}
	return true, ctx.Err()
}

// entry is an entry of a directory with the key that puts it in the order of whole names: a directory's ends with the
// slash that all names below it have there, so that "a.b" comes before "a/b".
type entry struct {
	key string
	d   fs.DirEntry
}

// readDir returns the entries of a directory in order; one that is gone has none.
func (s *Store) readDir(dir string) ([]entry, error) {
	f, err := os.Open(s.path(store.Name(dir)))
	if err != nil {
		if gone(err) {
			return nil, nil
		}
		return nil, err
	}
	defer f.Close()
	list, err := f.ReadDir(-1)
	if err != nil && !gone(err) { // a prefix may name a file as a directory, and a directory may go while it is read
		return nil, err
	}
	entries := make([]entry, len(list))
	for i, d := range list {
		entries[i] = entry{d.Name(), d}
		if d.IsDir() {
			entries[i].key += "/"
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	return entries, nil
}
