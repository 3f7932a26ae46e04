package cache

import (
	"archive/tar"
	"archive/zip"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/seed3322913c/runner/infra/errs"
)

// unpacker reads an archive and hands over what is in it.
type unpacker func(file *os.File, to *target) error

// format is a kind of archive, known by how its name ends.
type format struct {
	ending string
	unpack unpacker
}

func formats() []format {
	return []format{
		{".tar", func(f *os.File, to *target) error { return unpackTar(f, to) }},
		{".tar.gz", unpackTarGzip}, {".tgz", unpackTarGzip}, {".zip", unpackZip}, {".jar", unpackZip},
	}
}

func endings() (all []string) {
	for _, f := range formats() {
		all = append(all, f.ending)
	}
	return all
}

// unpackerOf returns what reads archives of that name, or nil.
func unpackerOf(name string) unpacker {
	i := slices.IndexFunc(formats(), func(f format) bool { return strings.HasSuffix(name, f.ending) })
	if i < 0 {
		return nil
	}
	return formats()[i].unpack
}

// unpack unpacks a copy of the archive called name into the empty folder dir. Nothing in it gets out of that folder,
// neither while it is unpacked nor later by way of its links.
func (n *Node) unpack(ctx context.Context, copied, name, dir string) (listing, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() // files are closed one by one
	file, err := os.Open(copied)
	if err != nil {
		return nil, err
	}
	defer file.Close() // nothing was written
	to := &target{ended: ctx.Err, root: root, left: n.opts.MaxBytes, entries: n.opts.MaxEntries, sums: listing{}}
	if err := unpackerOf(name)(file, to); err != nil {
		if errs.KindOf(err) == errs.Other {
			err = errs.Errorf("cache.Unpack", errs.Invalid, nil, "it cannot be unpacked: %w", err)
		}
		return nil, err
	}
	return to.sums, to.checkLinks()
}

// target is the folder that an archive is unpacked to, for the time that this takes.
type target struct {
	ended   func() error // why it is not wanted any more
	root    *os.Root     // nothing outside of it can be reached, whatever names and links say
	left    int64        // bytes that may still come
	entries int          // that may still come
	links   []string
	sums    listing
}

// refuse says why an archive may not be unpacked.
func refuse(format string, args ...any) error {
	return errs.Errorf("cache.Unpack", errs.Invalid, nil, "it cannot be unpacked: "+format, args...)
}

// enter makes room for one entry, whose name it returns in its plain form, and for the folders above it.
func (t *target) enter(name string) (string, error) {
	if err := t.ended(); err != nil {
		return "", errs.E("cache.Unpack", errs.Canceled, nil, err)
	}
	if t.entries--; t.entries < 0 {
		return "", refuse("it has too many files")
	}
	plain := filepath.Clean(filepath.FromSlash(name))
	if name == "" || !filepath.IsLocal(plain) || strings.ContainsRune(name, 0) {
		return "", refuse("%q in it leads out of its folder", name)
	}
	return plain, t.root.MkdirAll(filepath.Dir(plain), 0o755)
}

func (t *target) folder(name string) error {
	plain, err := t.enter(name)
	if err != nil {
		return err
	}
	return t.root.MkdirAll(plain, 0o755)
}

// file writes one file, of which nobody needs to write more. Of two of one name the later one stays.
func (t *target) file(name string, mode fs.FileMode, in io.Reader) error {
	plain, err := t.enter(name)
	if err != nil {
		return err
	}
	if err := t.root.Remove(plain); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := t.root.OpenFile(plain, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444|mode.Perm()&0o111)
	if err != nil {
		return err
	}
	s := summed{to: out, hash: sha256.New()}
	_, err = io.Copy(&s, io.LimitReader(in, t.left+1)) // one more tells a longer one
	if t.left -= s.size; err == nil && t.left < 0 {
		err = refuse("what is in it is too much")
	}
	t.sums[plain] = s.text()
	return errors.Join(err, out.Close())
}

// link makes a symbolic link, wherever it leads: see checkLinks.
func (t *target) link(name, to string) error {
	plain, err := t.enter(name)
	if err != nil {
		return err
	}
	t.links = append(t.links, plain)
	return t.root.Symlink(to, plain)
}

// checkLinks fails if a link leads out of the folder, also by way of others: the root does not follow such a one. One
// that leads to nothing does no harm.
func (t *target) checkLinks() error {
	for _, link := range t.links {
		if _, err := t.root.Stat(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return refuse("the link %s in it leads out of its folder, or nowhere", link)
		}
	}
	return nil
}

func unpackTarGzip(f *os.File, to *target) error {
	in, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	defer in.Close() // nothing was written
	return unpackTar(in, to)
}

func unpackTar(in io.Reader, to *target) error {
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeReg:
			err = to.file(h.Name, h.FileInfo().Mode(), r)
		case tar.TypeDir:
			err = to.folder(h.Name)
		case tar.TypeSymlink:
			err = to.link(h.Name, h.Linkname)
		case tar.TypeLink:
			err = to.again(h.Name, h.Linkname)
		case tar.TypeXGlobalHeader: // says nothing about files
		default:
			err = refuse("%q in it is neither file, folder nor link", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

// again gives a file another name.
func (t *target) again(name, old string) error {
	plain, err := t.enter(name)
	if err != nil {
		return err
	}
	sum, ok := t.sums[filepath.Clean(filepath.FromSlash(old))]
	if !ok {
		return refuse("%q in it is a link to %q, which is no file before it", name, old)
	}
	t.sums[plain] = sum
	return t.root.Link(filepath.Clean(filepath.FromSlash(old)), plain)
}

func unpackZip(f *os.File, to *target) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r, err := zip.NewReader(f, info.Size())
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // names are looked at one by one
		return err
	}
	for _, entry := range r.File {
		if err := unpackEntry(entry, to); err != nil {
			return err
		}
	}
	return nil
}

// maxLink bounds the target of a link, in bytes.
const maxLink = 4096

func unpackEntry(entry *zip.File, to *target) error {
	if entry.Mode().IsDir() {
		return to.folder(entry.Name)
	}
	in, err := entry.Open()
	if err != nil {
		return err
	}
	defer in.Close() // nothing was written
	switch mode := entry.Mode(); {
	case mode.IsRegular():
		return to.file(entry.Name, mode, in)
	case mode.Type() == fs.ModeSymlink:
		text, err := io.ReadAll(io.LimitReader(in, maxLink))
		if err != nil {
			return err
		}
		return to.link(entry.Name, string(text))
	}
	return refuse("%q in it is neither file, folder nor link", entry.Name)
}
