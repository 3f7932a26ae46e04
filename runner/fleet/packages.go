package fleet

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/parcel"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

// A package goes to the store of jobs once, under the SHA-256 of its content, and from there to each machine once:
//
//	package://<sha256>/<name>       a program     packages/<sha256>     <home>/packages/<sha256>/<name>
//	package://<sha256>/<name>.tar   a folder      packages/<sha256>     <home>/packages/<sha256>/<name>.tar/...
const packageScheme = "package://"

// Shipped reports whether a job's package is in its fleet's store.
func Shipped(job scheduler.Job) bool { return strings.HasPrefix(job.Package, packageScheme) }

// maxPackage bounds a folder that goes with a job, in bytes.
const maxPackage = 512 << 20

// packages is where they lie in the store.
const packages store.Name = "packages"

// Ship puts a job's package where the fleet's machines find it.
func (f *Fleet) Ship(ctx context.Context, job scheduler.Job) (scheduler.Job, error) {
	path := strings.TrimPrefix(job.Package, "file://")
	if path == "" {
		return job, nil
	}
	file, name, err := pack(path)
	if err != nil {
		return job, err
	}
	defer file.Close() // only read
	sum, err := parcel.Send(ctx, f.store, packages, file)
	job.Package = packageScheme + sum + "/" + name
	return job, err
}

// pack opens a program, or an archive of a folder, which is gone when it is closed.
func pack(path string) (*os.File, string, error) {
	const op = "fleet.pack"
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", say.Errorf(errs.KindOf(err), "package %s cannot be read: %s", path, errs.Cause(err))
	}
	if !info.IsDir() {
		f, err := os.Open(path)
		if err != nil {
			return nil, "", errs.E(op, errs.Other, path, err)
		}
		return f, filepath.Base(path), nil
	}
	f, err := parcel.Spool(func(w io.Writer) error { return archive(w, path) })
	return f, filepath.Base(path) + ".tar", err
}

// archive writes the files of a folder. The same files give the same bytes, whenever they were written. What others
// remove meanwhile is left out: a folder may be one in which people, or other jobs, are at work.
func archive(to io.Writer, folder string) error {
	const op = "fleet.archive"
	out := tar.NewWriter(to)
	left := int64(maxPackage)
	add := func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if left -= info.Size(); left < 0 {
			return say.Errorf(errs.Invalid, "package %s has more than %d MiB; say package: FOLDER with what the job needs",
				folder, maxPackage>>20)
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		return parcel.Add(out, path, filepath.ToSlash(name), info)
	}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err = add(path, entry, err); errors.Is(err, fs.ErrNotExist) && path != folder {
			return nil
		}
		return err
	})
	if err != nil {
		return errs.E(op, errs.Other, folder, err)
	}
	return out.Close()
}

// Fetch returns the path of a job's package on this machine, below home, after fetching it if nobody has.
func (m *Member) Fetch(ctx context.Context, uri, home string) (string, error) {
	rest, ok := strings.CutPrefix(uri, packageScheme)
	if !ok {
		return uri, nil
	}
	sum, name, _ := strings.Cut(rest, "/")
	if !filepath.IsLocal(name) || strings.Contains(name, "/") {
		return "", errs.Errorf("fleet.Fetch", errs.Invalid, uri, "not a package")
	}
	take := func(in io.Reader, folder string) error {
		path := filepath.Join(folder, name)
		if strings.HasSuffix(name, ".tar") {
			return parcel.Unpack(in, path, maxPackage)
		}
		return parcel.Create(in, path, 0o700)
	}
	from := parcel.Source{Prefix: packages, Sum: sum}
	folder, err := parcel.Fetch(ctx, m.Store, from, filepath.Join(home, "packages"), take)
	if err != nil {
		return "", err
	}
	now := time.Now()
	_ = os.Chtimes(folder, now, now) // in use; should it fail, it is fetched once more some day
	return under(folder, name)
}

// under returns the path of what a folder holds, by the name that is asked for: the same bytes may go with two jobs
// under two names.
func under(folder, name string) (string, error) {
	path := filepath.Join(folder, name)
	if exists(path) {
		return path, nil
	}
	held, err := os.ReadDir(folder)
	if err == nil && len(held) > 0 {
		err = os.Symlink(held[0].Name(), path)
	}
	if !exists(path) { // nobody else has done it
		return "", errs.E("fleet.Fetch", errs.Other, path, err)
	}
	return path, nil
}
