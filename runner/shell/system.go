package shell

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"os/user"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed3322913c/runner/hdfsgw/client"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// hdfs is a namespace.
type hdfs struct{ *client.Store }

// HDFS returns the file system of a gateway or NameNode.
func HDFS(c *client.Client) System { return hdfs{client.NewStore(c)} }

func (h hdfs) Objects() store.Store { return h.Store }

func (h hdfs) List(ctx context.Context, p string) iter.Seq2[namespace.Status, error] {
	return h.Store.Client.List(ctx, p)
}

func (h hdfs) Mkdir(ctx context.Context, p string) error { return h.Mkdirs(ctx, p, 0) }

func (h hdfs) Remove(ctx context.Context, p string) error {
	_, err := h.Store.Client.Delete(ctx, p, true)
	return err
}

// Rename implements Mover.
func (h hdfs) Rename(ctx context.Context, from, to string) error {
	return h.Store.Client.Rename(ctx, from, to, false)
}

// namespaceOf returns the client of an HDFS, and refuses what is none in one sentence.
func namespaceOf(t target, command string) (*client.Client, error) {
	h, ok := t.System.(hdfs)
	if !ok {
		return nil, refuse(errs.Unsupported, "%s is for hdfs:// and webhdfs:// only; %s has nothing of the kind", command,
			t.place)
	}
	return h.Store.Client, nil
}

// local are the files of this machine.
type local struct{ store store.Store }

// Local returns the files of this machine, which st has by their absolute paths without the first slash.
func Local(st store.Store) System { return local{st} }

func (l local) Objects() store.Store { return l.store }

func localStatus(info fs.FileInfo) namespace.Status {
	s := namespace.Status{Name: info.Name(), Dir: info.IsDir(), Modified: info.ModTime().UnixMilli(),
		Perm: uint16(info.Mode().Perm()), Replication: 1}
	if !s.Dir {
		s.Length = info.Size()
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Owner, s.Group = strconv.FormatUint(uint64(sys.Uid), 10), strconv.FormatUint(uint64(sys.Gid), 10)
		if u, err := user.LookupId(s.Owner); err == nil {
			s.Owner = u.Username
		}
		if g, err := user.LookupGroupId(s.Group); err == nil {
			s.Group = g.Name
		}
	}
	return s
}

func (l local) Status(_ context.Context, p string) (namespace.Status, error) {
	info, err := os.Stat(p)
	if err != nil {
		return namespace.Status{}, localError(p, err)
	}
	return localStatus(info), nil
}

func localError(p string, err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		err = fs.ErrNotExist
	}
	return errs.E("shell.local", errs.KindOf(err), p, err)
}

func (l local) List(ctx context.Context, p string) iter.Seq2[namespace.Status, error] {
	return func(yield func(namespace.Status, error) bool) {
		self, err := l.Status(ctx, p)
		if err == nil && !self.Dir {
			self.Name = ""
			yield(self, nil)
			return
		}
		entries, readErr := os.ReadDir(p)
		if err = errors.Join(err, readErr); err != nil {
			yield(namespace.Status{}, localError(p, err))
			return
		}
		for _, e := range entries {
			s, err := l.Status(ctx, path.Join(p, e.Name()))
			if missing(err) {
				continue // gone meanwhile, or a link to nothing
			}
			s.Name = e.Name()
			if !yield(s, err) {
				return
			}
		}
	}
}

func (l local) Mkdir(_ context.Context, p string) error {
	if err := os.MkdirAll(p, 0o777); err != nil {
		return localError(p, err)
	}
	return nil
}

func (l local) Remove(_ context.Context, p string) error {
	if err := os.RemoveAll(p); err != nil {
		return localError(p, err)
	}
	return nil
}

// Rename implements Mover.
func (l local) Rename(_ context.Context, from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return localError(from, err)
	}
	return nil
}

// objects are those of a store that knows no directories: a name with others below it is one.
type objects struct {
	store store.Store
	place string
}

// Objects returns a store as a file system.
func Objects(st store.Store, place string) System { return objects{st, place} }

func (o objects) Objects() store.Store { return o.store }

func objectStatus(name string, info store.Info) namespace.Status {
	return namespace.Status{Name: name, Length: info.Size, Modified: info.Modified.UnixMilli(), Perm: 0o666,
		Replication: 1}
}

func dirStatus(name string) namespace.Status {
	return namespace.Status{Name: name, Dir: true, Perm: 0o777}
}

func (o objects) Status(ctx context.Context, p string) (namespace.Status, error) {
	if p == "/" {
		return dirStatus(""), nil
	}
	name := store.Name(strings.TrimPrefix(p, "/"))
	info, err := o.store.Stat(ctx, name)
	if err == nil {
		return objectStatus("", info), nil
	}
	if !missing(err) {
		return namespace.Status{}, err
	}
	for _, listErr := range o.store.List(ctx, string(name)+"/") {
		return dirStatus(""), listErr
	}
	return namespace.Status{}, err
}

// List reads the names of everything below: stores have no way to leave out what is deeper.
func (o objects) List(ctx context.Context, p string) iter.Seq2[namespace.Status, error] {
	return func(yield func(namespace.Status, error) bool) {
		if p != "/" {
			if info, err := o.store.Stat(ctx, store.Name(strings.TrimPrefix(p, "/"))); err == nil {
				yield(objectStatus("", info), nil)
				return
			}
		}
		prefix := strings.TrimPrefix(strings.TrimSuffix(p, "/")+"/", "/")
		last := ""
		for info, err := range o.store.List(ctx, prefix) {
			if err != nil {
				yield(namespace.Status{}, err)
				return
			}
			name, _, below := strings.Cut(strings.TrimPrefix(string(info.Name), prefix), "/")
			s := objectStatus(name, info)
			if below {
				if name == last {
					continue
				}
				last = name
				s = dirStatus(name)
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (o objects) Mkdir(context.Context, string) error {
	return refuse(errs.Unsupported, "%s has no directories: they come and go with the objects in them", o.place)
}

func (o objects) Remove(ctx context.Context, p string) error {
	name := strings.TrimPrefix(p, "/")
	if name != "" {
		if err := o.store.Delete(ctx, store.Name(name)); err != nil {
			return err
		}
		name += "/"
	}
	for info, err := range o.store.List(ctx, name) {
		if err != nil {
			return err
		}
		if err := o.store.Delete(ctx, info.Name); err != nil {
			return err
		}
	}
	return nil
}
