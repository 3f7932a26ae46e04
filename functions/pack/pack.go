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
package pack

import (
	"archive/tar"
	"context"
	"errors"
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
	"github.com/seed3322913c/runner/infra/parcel"
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
		return parcel.Add(out, file, filepath.ToSlash(name), info)
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

// prefix is where packages lie in the store.
const prefix store.Name = "function-packages"

// upload archives a folder into the store, and returns the archive's sum.
func upload(ctx context.Context, st store.Store, folder string, m Manifest) (string, error) {
	f, err := parcel.Spool(func(w io.Writer) error { return Archive(w, folder, m) })
	if err != nil {
		return "", err
	}
	defer f.Close() // only read
	return parcel.Send(ctx, st, prefix, f)
}

// Fetch returns the folder of a package on this machine, below into, after unpacking it there if nobody has.
func Fetch(ctx context.Context, st store.Store, sum, into string) (string, error) {
	return parcel.Fetch(ctx, st, parcel.Source{Prefix: prefix, Sum: sum}, into, func(in io.Reader, folder string) error {
		return parcel.Unpack(in, folder, MaxPackage)
	})
}

// SecretVariables are the names of the variables that the manifest's references mean.
func (m Manifest) SecretVariables() (names []string) {
	for _, ref := range m.Secrets {
		if name, ok := strings.CutPrefix(ref, "env:"); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
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
