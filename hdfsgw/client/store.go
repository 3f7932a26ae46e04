package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Store shows the files of a namespace as a store.Store: the object a/b is the file /a/b, and directories are made as
// they are needed. While an object is written its file has another name, ending in Copying, that the Store does not
// show. HDFS has no room for a file a/b beside a file a, and none for a ":" in a name; both fail with errs.Invalid.
type Store struct{ *Client }

// NewStore returns the files that c sees.
func NewStore(c *Client) *Store { return &Store{c} }

var _ store.Store = (*Store)(nil)

// Copying ends the names of files that are being written, as it does with FsShell.
const Copying = "._COPYING_"

func pathOf(name store.Name) string { return "/" + string(name) }

// check refuses what is no name, and what HDFS can't have as one.
func check(ctx context.Context, name store.Name) error {
	if err := name.Check(); err != nil {
		return err
	}
	if strings.Contains(string(name), ":") {
		return errs.Errorf("hdfs.Name", errs.Invalid, name, "HDFS knows no names with a colon in them")
	}
	if ctx.Err() != nil {
		return errs.E("hdfs.Name", errs.Canceled, name, ctx.Err())
	}
	return nil
}

// absent reports whether an error says that there is no such file: a file where a directory should be means that, too.
func absent(err error) bool {
	class, ok := classOf(err)
	return ok && (class == namespace.FileNotFound || class == namespace.ParentNotDirectory ||
		class == namespace.AccessControl && strings.Contains(err.Error(), "is not a directory"))
}

func infoOf(name store.Name, s namespace.Status) store.Info {
	return store.Info{Name: name, Size: s.Length, Modified: time.UnixMilli(s.Modified), Version: versionOf(s)}
}

// Stat implements store.Store.
func (s *Store) Stat(ctx context.Context, name store.Name) (store.Info, error) {
	if err := check(ctx, name); err != nil {
		return store.Info{}, err
	}
	status, err := s.Status(ctx, pathOf(name))
	if absent(err) || err == nil && status.Dir {
		return store.Info{}, errs.E("hdfs.Stat", errs.NotFound, s.String()+pathOf(name), nil)
	}
	return infoOf(name, status), err
}

// Open implements store.Store.
func (s *Store) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	if err := errors.Join(check(ctx, name), r.Check(name)); err != nil {
		return nil, err
	}
	length := r.Length
	if length == 0 {
		length = -1
	}
	reader, err := s.Client.Open(ctx, pathOf(name), r.Offset, length)
	switch {
	case absent(err):
		return nil, errs.E("hdfs.Open", errs.NotFound, s.String()+pathOf(name), nil)
	case err != nil:
		return nil, err
	}
	stat := func() (store.Info, error) { return s.Stat(ctx, name) }
	return &object{reader, name, stat}, nil
}

// object is a store.Reader.
type object struct {
	*Reader
	name store.Name
	stat func() (store.Info, error)
}

// Info implements store.Reader.
func (o *object) Info() (store.Info, error) {
	if o.Version == "" || o.Size < 0 {
		return o.stat()
	}
	return store.Info{Name: o.name, Size: o.Size, Version: o.Version}, nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, name store.Name) error {
	if _, err := s.Stat(ctx, name); errs.KindOf(err) == errs.NotFound {
		return nil
	} else if err != nil {
		return err
	}
	_, err := s.Client.Delete(ctx, pathOf(name), false)
	if class, ok := classOf(err); ok && class == namespace.PathIsNotEmptyDirectory || absent(err) {
		return nil // no file any more
	}
	return err
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, name store.Name, opts ...store.CreateOption) (store.Writer, error) {
	if err := check(ctx, name); err != nil {
		return nil, err
	}
	path := pathOf(name)
	hidden := path[:strings.LastIndexByte(path, '/')+1] + "." + newID() + Copying
	return &storeWriter{Writer: s.Client.Create(ctx, hidden, CreateOptions{}), st: s, hidden: hidden, path: path,
		ifAbsent: store.Collect(opts).IfAbsent, id: newID(),
		open: func() *blocksWriter { return s.openBlocks(ctx) }}, nil
}

// storeWriter is a store.Writer. What is short goes to a hidden file at Commit, which is then renamed. What is long
// goes there at once; or to the store itself, if this process can open it, and Commit makes a file of the blocks.
type storeWriter struct {
	*Writer
	st           *Store
	hidden, path string
	ifAbsent     bool
	id           string // of the last step, which may be repeated
	open         func() *blocksWriter
	blocks       *blocksWriter // nil if the bytes go through the gateway
	committed    bool
	unsure       bool // a file may have the blocks, since an answer was lost
	aborted      bool
}

// Write implements io.Writer.
func (w *storeWriter) Write(p []byte) (int, error) {
	if w.blocks == nil && w.pipe == nil && !w.closed && w.head.Len()+len(p) > short {
		if w.blocks = w.open(); w.blocks != nil {
			if _, err := w.blocks.pipe.Write(w.head.Bytes()); err != nil {
				return 0, err
			}
		}
	}
	if w.blocks != nil {
		return w.blocks.pipe.Write(p)
	}
	return w.Writer.Write(p)
}

// Commit implements store.Writer.
func (w *storeWriter) Commit(ctx context.Context) error {
	if w.committed {
		return nil
	}
	if ctx.Err() != nil {
		return errs.E("hdfs.Commit", errs.Canceled, w.path, ctx.Err())
	}
	last, err := w.complete()
	if err != nil {
		return inTheWay(err)
	}
	err = last(ctx)
	if class, ok := classOf(err); ok && (class == namespace.FileAlreadyExists || class == namespace.IOException) {
		var taken bool
		if taken, err = w.st.vacate(ctx, w.path, err); taken {
			w.id = newID() // the refusal is an outcome, too
			err = last(ctx)
		}
	}
	if err != nil {
		w.unsure = w.unsure || !namespace.Refused(err)
		return inTheWay(err)
	}
	w.committed = true
	return nil
}

// complete has all bytes written, and returns the step that makes them visible under their name.
func (w *storeWriter) complete() (last func(context.Context) error, err error) {
	if w.blocks != nil {
		return func(ctx context.Context) error {
			return w.st.createOf(ctx, w.path, w.id, !w.ifAbsent, w.blocks)
		}, w.blocks.finish()
	}
	option := "OVERWRITE"
	if w.ifAbsent {
		option = "NONE"
	}
	return func(ctx context.Context) error {
		return w.st.do(ctx, request{method: http.MethodPut, op: "RENAME", path: w.hidden, id: w.id,
			query: query{"destination", w.path, "renameoptions", option}}, nil)
	}, w.Close()
}

// inTheWay words that a file is where a directory is needed.
func inTheWay(err error) error {
	if absent(err) {
		return errs.E("hdfs.Commit", errs.Invalid, nil, errors.New(errs.Cause(err)))
	}
	return err
}

// vacate removes a directory that has only empty directories in it, so that a file can take its name. It returns cause
// if there is something else.
func (s *Store) vacate(ctx context.Context, path string, cause error) (done bool, err error) {
	status, err := s.Status(ctx, path)
	switch {
	case absent(err):
		return true, nil
	case err != nil:
		return false, err
	case !status.Dir:
		return false, cause
	}
	full := errs.Errorf("hdfs.Commit", errs.Invalid, path, "there are objects below it")
	for kid, err := range s.Client.List(ctx, path) {
		if err != nil {
			return false, err
		}
		if !kid.Dir {
			return false, full
		}
		if _, err := s.vacate(ctx, path+"/"+kid.Name, full); err != nil {
			return false, err
		}
	}
	_, err = s.Client.Delete(ctx, path, false)
	if class, ok := classOf(err); ok && class == namespace.PathIsNotEmptyDirectory {
		return false, full
	}
	return err == nil, err
}

// Abort implements store.Writer.
func (w *storeWriter) Abort(ctx context.Context) error {
	if w.committed {
		return nil
	}
	if w.blocks != nil {
		if w.unsure || w.aborted {
			return nil // if no file has the blocks, fsck finds them
		}
		w.aborted = true
		return w.blocks.abort(ctx)
	}
	sent := w.closed || w.pipe != nil
	w.Writer.Abort()
	if !sent {
		return nil
	}
	_, err := w.st.Client.Delete(context.WithoutCancel(ctx), w.hidden, false)
	if absent(err) {
		return nil
	}
	return err
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		dir, start := "", prefix
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			dir, start = prefix[:i], prefix[i+1:]
			if store.Name(dir).Check() != nil {
				return // nothing is called so
			}
		}
		if strings.ContainsAny(prefix, ":\x00") {
			return
		}
		s.below(ctx, dir, start, yield)
	}
}

// below yields the files below a directory whose paths there begin with start, and reports whether to go on. In byte
// order of whole names a directory comes after its neighbours whose names go on with what is less than a slash, so it
// waits until one comes that is behind it.
func (s *Store) below(ctx context.Context, dir, start string, yield func(store.Info, error) bool) bool {
	var waiting []string // directories, with the slash
	prefix := ""
	if dir != "" {
		prefix = dir + "/"
	}
	release := func(before string) bool {
		for len(waiting) > 0 && (before == "" || waiting[0] < before) {
			next := waiting[0]
			waiting = waiting[1:]
			if !s.below(ctx, prefix+strings.TrimSuffix(next, "/"), "", yield) {
				return false
			}
		}
		return true
	}
	for kid, err := range s.Client.List(ctx, "/"+dir) {
		switch {
		case absent(err):
			return release("") // it has gone meanwhile, or never was
		case err != nil:
			yield(store.Info{}, err)
			return false
		case kid.Name == "" || !strings.HasPrefix(kid.Name, start) || !kid.Dir && strings.HasSuffix(kid.Name, Copying):
			continue
		}
		if kid.Dir {
			name := kid.Name + "/"
			at, _ := slices.BinarySearch(waiting, name)
			waiting = slices.Insert(waiting, at, name)
			continue
		}
		if !release(kid.Name) || !yield(infoOf(store.Name(prefix+kid.Name), kid), nil) {
			return false
		}
	}
	return release("")
}
