package fleet

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
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

func packageName(sum string) store.Name { return store.Name("packages").Join(sum) }

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
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return job, errs.E("fleet.Ship", errs.Other, path, err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return job, errs.E("fleet.Ship", errs.Other, path, err)
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	job.Package = packageScheme + digest + "/" + name
	return job, f.upload(ctx, packageName(digest), file)
}

// upload writes an object that is named by its content, unless it is there.
func (f *Fleet) upload(ctx context.Context, name store.Name, from io.Reader) error {
	if _, err := f.store.Stat(ctx, name); errs.KindOf(err) != errs.NotFound {
		return err
	}
	w, err := f.store.Create(ctx, name)
	if err != nil {
		return err
	}
	defer w.Abort(context.WithoutCancel(ctx)) // no effect once committed
	if _, err := io.Copy(w, from); err != nil {
		return errs.E("fleet.Ship", errs.Other, name, err)
	}
	return w.Commit(ctx)
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
	f, err := os.CreateTemp("", "runner-package-")
	if err != nil {
		return nil, "", errs.E(op, errs.Other, path, err)
	}
	if err := errors.Join(os.Remove(f.Name()), archive(f, path)); err != nil {
		f.Close()
		return nil, "", err
	}
	_, err = f.Seek(0, io.SeekStart)
	return f, filepath.Base(path) + ".tar", err
}

// archive writes the files of a folder. The same files give the same bytes, whenever they were written.
func archive(to io.Writer, folder string) error {
	const op = "fleet.archive"
	out := tar.NewWriter(to)
	left := int64(maxPackage)
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
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
		h := &tar.Header{Name: filepath.ToSlash(name), Size: info.Size(), Mode: int64(info.Mode().Perm())}
		return errors.Join(out.WriteHeader(h), copyFile(out, path))
	})
	if err != nil {
		return errs.E(op, errs.Other, folder, err)
	}
	return out.Close()
}

func copyFile(to io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // only read
	_, err = io.Copy(to, f)
	return err
}

// Fetch returns the path of a job's package on this machine, below home, after fetching it if nobody has.
func (m *Member) Fetch(ctx context.Context, uri, home string) (string, error) {
	const op = "fleet.Fetch"
	rest, ok := strings.CutPrefix(uri, packageScheme)
	if !ok {
		return uri, nil
	}
	sum, name, _ := strings.Cut(rest, "/")
	if len(sum) != 2*sha256.Size || !filepath.IsLocal(name) || strings.Contains(name, "/") {
		return "", errs.Errorf(op, errs.Invalid, uri, "not a package")
	}
	folder := filepath.Join(home, "packages", sum)
	path := filepath.Join(folder, name)
	if exists(path) {
		now := time.Now()
		_ = os.Chtimes(folder, now, now) // in use; should it fail, it is fetched once more some day
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o700); err != nil {
		return "", errs.E(op, errs.Other, uri, err)
	}
	part, err := os.MkdirTemp(filepath.Dir(folder), ".part-")
	if err != nil {
		return "", errs.E(op, errs.Other, uri, err)
	}
	defer os.RemoveAll(part) // nothing, when it was renamed
	if err := m.download(ctx, sum, filepath.Join(part, name)); err != nil {
		return "", err
	}
	if err := os.Rename(part, folder); err != nil && !exists(path) { // another container was quicker
		return "", errs.E(op, errs.Other, uri, err)
	}
	return path, nil
}

// download writes a program, or the files of an archive, and checks that they are what was shipped.
func (m *Member) download(ctx context.Context, sum, path string) error {
	const op = "fleet.Fetch"
	r, err := m.Store.Open(ctx, packageName(sum), store.Range{})
	if err != nil {
		return err
	}
	defer r.Close() // only read
	hash := sha256.New()
	in := io.TeeReader(r, hash)
	if strings.HasSuffix(path, ".tar") {
		err = unpack(in, path)
	} else {
		err = create(in, path, 0o700)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, in) // an archive has an end that is not read
	}
	if err != nil {
		return errs.E(op, errs.Other, sum, err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != sum {
		return errs.Errorf(op, errs.Corrupt, sum, "the checksum is %s", got)
	}
	return nil
}

func create(from io.Reader, path string, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

func unpack(from io.Reader, folder string) error {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	for in := tar.NewReader(from); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !filepath.IsLocal(h.Name) {
			return fmt.Errorf("%s leads out of the archive", h.Name)
		}
		path := filepath.Join(folder, h.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := create(in, path, fs.FileMode(h.Mode).Perm()); err != nil {
			return err
		}
	}
}
