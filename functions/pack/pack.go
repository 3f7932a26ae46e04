// Package pack makes packages of functions and keeps them: a folder with a manifest becomes an archive that is named by
// its content, and each push a version that never changes. An alias says which version is meant when nobody says one.
//
//	folder ──Build──▶ files ──Archive──▶ function-packages/<sha256>                 a tar; the same files, the same bytes
//	                                     functions/<name>/versions/00000003.json    Version; created if absent
//	                                     functions/<name>/aliases/live.json         Alias; replaced
//
// Where a function runs, Fetch unpacks the archive once for all who need it there:
//
//	<folder>/<sha256>/          the files
//	<folder>/.part-XXXX/        not finished
package pack

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// MaxPackage bounds the files of a package, in bytes.
const MaxPackage = 512 << 20

// ReadFolder returns the manifest of a folder.
func ReadFolder(folder string) (Manifest, error) {
	file := filepath.Join(folder, ManifestFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, errs.Errorf("", errs.Invalid, nil,
			"there is no %s; `runner fn init NAME` makes a folder with one", file)
	}
	if err != nil {
		return Manifest{}, errs.Errorf("", errs.Invalid, nil, "%s cannot be read: %s", file, errs.Cause(err))
	}
	return Parse(file, text)
}

// Build runs the manifest's build command in the folder, if it has one. What it says goes to log.
func Build(ctx context.Context, folder string, m Manifest, log io.Writer) error {
	if m.Build == "" {
		return nil
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", m.Build)
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, log, log
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return errs.E("pack.Build", errs.Canceled, folder, context.Cause(ctx))
		}
		return errs.Errorf("", errs.Invalid, nil, "building %s failed: `%s`: %s", m.Name, m.Build, err)
	}
	return nil
}

// Archive writes the files of a function's folder as a tar, sorted and without times and owners. Names that begin with
// a dot are left out. What the manifest says of files must match something.
func Archive(to io.Writer, folder string, m Manifest) error {
	out := tar.NewWriter(to)
	left := int64(MaxPackage)
	used := map[string]bool{}
	err := filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || file == folder {
			return err
		}
		if strings.HasPrefix(entry.Name(), ".") {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(folder, file)
		if err != nil || entry.IsDir() || !m.wants(filepath.ToSlash(name), used) {
			return err
		}
		info, err := os.Stat(file) // a link to a file is the file
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		if left -= info.Size(); left < 0 {
			return errs.Errorf("", errs.Invalid, nil, "the package of %s has more than %d MiB; say in files what it needs",
				m.Name, MaxPackage>>20)
		}
		h := &tar.Header{Name: filepath.ToSlash(name), Size: info.Size(), Mode: int64(info.Mode().Perm() &^ 0o022)}
		return errors.Join(out.WriteHeader(h), copyFile(out, file))
	})
	if err != nil {
		return errs.E("pack.Archive", errs.Other, folder, err)
	}
	for _, pattern := range m.Files {
		if !used[pattern] {
			return errs.Errorf("", errs.Invalid, nil, "%s: files has %q, and there is no such file", ManifestFile, pattern)
		}
	}
	return out.Close()
}

// wants reports whether a file belongs to the package, and notes which patterns were of use: the name of a file, of a
// folder above it, or a glob.
func (m Manifest) wants(name string, used map[string]bool) bool {
	if len(m.Files) == 0 || name == ManifestFile {
		return true
	}
	wanted := false
	for _, pattern := range m.Files {
		clean := path.Clean(pattern)
		if ok, _ := path.Match(clean, name); ok || strings.HasPrefix(name, clean+"/") { // a bad pattern matches nothing
			used[pattern], wanted = true, true
		}
	}
	return wanted
}

func copyFile(to io.Writer, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() // only read
	_, err = io.Copy(to, f)
	return err
}

// objectName is where a package lies in the store.
func objectName(sum string) store.Name { return store.Name("function-packages").Join(sum) }

// upload archives a folder into the store, and returns the archive's sum.
func upload(ctx context.Context, st store.Store, folder string, m Manifest) (string, error) {
	const op = "pack.Push"
	f, err := os.CreateTemp("", "runner-package-")
	if err != nil {
		return "", errs.E(op, errs.Other, m.Name, err)
	}
	defer f.Close()                             // it is gone, and so is what was written
	if err := os.Remove(f.Name()); err != nil { // no name, no rest if we are killed
		return "", errs.E(op, errs.Other, m.Name, err)
	}
	hash := sha256.New()
	if err := Archive(io.MultiWriter(f, hash), folder, m); err != nil {
		return "", err
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	if _, err := st.Stat(ctx, objectName(sum)); errs.KindOf(err) != errs.NotFound {
		return sum, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", errs.E(op, errs.Other, m.Name, err)
	}
	w, err := st.Create(ctx, objectName(sum))
	if err != nil {
		return "", err
	}
	defer w.Abort(context.WithoutCancel(ctx)) // no effect once committed
	if _, err := io.Copy(w, f); err != nil {
		return "", errs.E(op, errs.Other, m.Name, err)
	}
	return sum, w.Commit(ctx)
}

// Fetch returns the folder of a package on this machine, below into, after unpacking it there if nobody has.
func Fetch(ctx context.Context, st store.Store, sum, into string) (string, error) {
	const op = "pack.Fetch"
	if len(sum) != 2*sha256.Size || strings.Trim(sum, "0123456789abcdef") != "" {
		return "", errs.Errorf(op, errs.Invalid, sum, "not the sum of a package")
	}
	folder := filepath.Join(into, sum)
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	if err := os.MkdirAll(into, 0o700); err != nil {
		return "", errs.E(op, errs.Other, sum, err)
	}
	part, err := os.MkdirTemp(into, ".part-")
	if err != nil {
		return "", errs.E(op, errs.Other, sum, err)
	}
	defer os.RemoveAll(part) // nothing, once it was renamed
	if err := download(ctx, st, sum, part); err != nil {
		return "", err
	}
	if err := os.Rename(part, folder); err != nil {
		if _, there := os.Stat(folder); there != nil { // nobody else was quicker
			return "", errs.E(op, errs.Other, sum, err)
		}
	}
	return folder, nil
}

// download unpacks an archive, and checks that it is what was pushed.
func download(ctx context.Context, st store.Store, sum, folder string) error {
	const op = "pack.Fetch"
	r, err := st.Open(ctx, objectName(sum), store.Range{})
	if err != nil {
		return err
	}
	defer r.Close() // only read
	hash := sha256.New()
	in := io.TeeReader(r, hash)
	err = unpack(in, folder)
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

func unpack(from io.Reader, folder string) error {
	left := int64(MaxPackage)
	for in := tar.NewReader(from); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if left -= h.Size; left < 0 || !filepath.IsLocal(h.Name) || h.Typeflag != tar.TypeReg {
			return fmt.Errorf("%q has no place in a package", h.Name)
		}
		file := filepath.Join(folder, h.Name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := create(in, file, fs.FileMode(h.Mode).Perm()); err != nil {
			return err
		}
	}
}

func create(from io.Reader, file string, mode fs.FileMode) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// ResolveSecrets looks up what the manifest's references mean on this machine.
func (m Manifest) ResolveSecrets(lookup func(string) (string, bool)) (map[string]string, error) {
	values := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(m.Secrets)) {
		how, where, _ := strings.Cut(m.Secrets[name], ":")
		switch how {
		case "env":
			value, ok := lookup(where)
			if !ok {
				return nil, errs.Errorf("", errs.Invalid, nil, "%s wants the secret %s, and $%s is not set where its handlers run",
					m.Name, name, where)
			}
			values[name] = value
		case "file":
			text, err := os.ReadFile(where)
			if err != nil {
				return nil, errs.Errorf("", errs.Invalid, nil, "%s wants the secret %s, and %s cannot be read where its "+
					"handlers run: %s", m.Name, name, where, errs.Cause(err))
			}
			values[name] = strings.TrimRight(string(text), "\n")
		}
	}
	return values, nil
}
