// Package parcel sends files to machines. A store keeps a parcel once, under the SHA-256 of its bytes, and each machine
// fetches it once, for all who need it there:
//
//	Spool ──▶ Send ──▶ <prefix>/<sha256> ──Fetch──▶ <into>/<sha256>/...
//	                                                <into>/.part-XXXX/...     not finished
//
// What is in a parcel is the caller's to say. Add and Unpack are for those that are folders: a tar without times and
// owners, so that the same files have the same sum.
package parcel

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

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Spool returns a file with what write has written, at its beginning. It has no name and is gone when it is closed, or
// when the process is killed.
func Spool(write func(io.Writer) error) (*os.File, error) {
	const op = "parcel.Spool"
	f, err := os.CreateTemp("", "runner-parcel-")
	if err != nil {
		return nil, errs.E(op, errs.Other, nil, err)
	}
	err = os.Remove(f.Name())
	if err == nil {
		err = write(f)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Send keeps what from has below prefix, unless it is there, and returns its sum. It reads from twice.
func Send(ctx context.Context, st store.Store, prefix store.Name, from io.ReadSeeker) (sum string, err error) {
	const op = "parcel.Send"
	hash := sha256.New()
	if _, err := io.Copy(hash, from); err != nil {
		return "", errs.E(op, errs.Other, prefix, err)
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return "", errs.E(op, errs.Other, prefix, err)
	}
	sum = hex.EncodeToString(hash.Sum(nil))
	name := prefix.Join(sum)
	if _, err := st.Stat(ctx, name); errs.KindOf(err) != errs.NotFound {
		return sum, err
	}
	w, err := st.Create(ctx, name)
	if err != nil {
		return "", err
	}
	defer w.Abort(context.WithoutCancel(ctx)) // no effect once committed
	if _, err := io.Copy(w, from); err != nil {
		return "", errs.E(op, errs.Other, name, err)
	}
	return sum, w.Commit(ctx)
}

// Source says which parcel is meant.
type Source struct {
	Prefix store.Name // as it was sent
	Sum    string
}

// Fetch returns the folder of a parcel, <into>/<sum>. If nobody has fetched it, take reads the parcel from in and
// writes into a folder that becomes this one when all is there and the sum is right; else the error is errs.Corrupt.
// Many may fetch one parcel at once.
func Fetch(ctx context.Context, st store.Store, from Source, into string,
	take func(in io.Reader, folder string) error) (
	string, error) {
	const op = "parcel.Fetch"
	if len(from.Sum) != 2*sha256.Size || strings.Trim(from.Sum, "0123456789abcdef") != "" {
		return "", errs.Errorf(op, errs.Invalid, from.Sum, "not the sum of a parcel")
	}
	folder := filepath.Join(into, from.Sum)
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	if err := os.MkdirAll(into, 0o700); err != nil {
		return "", errs.E(op, errs.Other, from.Sum, err)
	}
	part, err := os.MkdirTemp(into, ".part-")
	if err != nil {
		return "", errs.E(op, errs.Other, from.Sum, err)
	}
	defer os.RemoveAll(part) // nothing, once it was renamed
	if err := from.read(ctx, st, func(in io.Reader) error { return take(in, part) }); err != nil {
		return "", err
	}
	if err := os.Rename(part, folder); err != nil {
		if _, there := os.Stat(folder); there != nil { // nobody else was quicker
			return "", errs.E(op, errs.Other, from.Sum, err)
		}
	}
	return folder, nil
}

// read lets take read a parcel, and checks that it was what was sent.
func (s Source) read(ctx context.Context, st store.Store, take func(io.Reader) error) error {
	const op = "parcel.Fetch"
	r, err := st.Open(ctx, s.Prefix.Join(s.Sum), store.Range{})
	if err != nil {
		return err
	}
	defer r.Close() // only read
	hash := sha256.New()
	in := io.TeeReader(r, hash)
	err = take(in)
	if err == nil {
		_, err = io.Copy(io.Discard, in) // a tar has an end that is not read
	}
	if err != nil {
		return errs.E(op, errs.Other, s.Sum, err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != s.Sum {
		return errs.Errorf(op, errs.Corrupt, s.Sum, "the checksum is %s", got)
	}
	return nil
}

// Add adds a file to a tar, under a name with slashes. If the file is gone, it fails with fs.ErrNotExist and adds
// nothing. What is appended to the file meanwhile is left out.
func Add(out *tar.Writer, file, name string, info fs.FileInfo) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() // only read
	h := &tar.Header{Name: name, Size: info.Size(), Mode: int64(info.Mode().Perm() &^ 0o022)}
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.CopyN(out, f, h.Size)
	return err
}

// block is what a file takes of a disk at least, an empty one included.
const block = 4 << 10

// Unpack writes the files of a tar, at most so many bytes in whole blocks of 4 KiB, into a folder: so the number of files
// is bounded, too. What is no file, or leads out of the folder, is an error.
func Unpack(from io.Reader, folder string, most int64) error {
	for in := tar.NewReader(from); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if most -= max(block, (h.Size+block-1)/block*block); most < 0 || !filepath.IsLocal(h.Name) || h.Typeflag != tar.TypeReg {
			return fmt.Errorf("%q has no place in a package", h.Name)
		}
		file := filepath.Join(folder, h.Name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := Create(in, file, fs.FileMode(h.Mode).Perm()); err != nil {
			return err
		}
	}
}

// Create writes a file that is not there yet.
func Create(from io.Reader, file string, mode fs.FileMode) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
