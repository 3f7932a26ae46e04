package commit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/scheduler"
)

// files commits to a folder of this machine, out/words say:
//
//	out/.words.runner-7k2f-wordcount/              hidden, until it is renamed
//	    .reduce-0.0.part-r-00000                   an attempt's part
//	    .reduce-0.1.part-r-00000                   another attempt's
//
// Commit takes these steps, and each may be the last one before a crash:
//
//	settle    rename the parts of the attempts that count to their names, remove all others
//	success   write _SUCCESS
//	publish   rename the folder to out/words; with --overwrite exchange the two
//	clean     remove what was there before
//
// Every file and folder is on the disk before the step that relies on it.
type files struct {
	job    scheduler.JobID
	uri    string
	output string // the folder
	hidden string // where it is made
	old    string // where an overwritten output waits for its end, if the file system cannot exchange two folders
	over   bool

	before func(step string) error // called before each change of Commit, for tests of crashes; never nil
	swap   func(a, b string) error // exchange, but for tests
}

func newFiles(job scheduler.Job, path string) (*files, error) {
	output := filepath.Clean(path)
	dir, base := filepath.Split(output)
	if !filepath.IsAbs(output) || base == "" {
		return nil, errs.Errorf("commit.New", errs.Invalid, nil,
			"output %s is not the absolute path of a folder to be made", path)
	}
	hidden := filepath.Join(dir, "."+base+".runner-"+string(job.ID))
	return &files{
		job: job.ID, uri: job.Output, output: output, hidden: hidden, old: hidden + ".old", over: job.Overwrite,
		before: func(string) error { return nil }, swap: exchange,
	}, nil
}

// state of an output folder.
type state int

const (
	absent  state = iota
	foreign       // it is not this job's
	ours          // this job has committed
)

// look tells who wrote the folder dir. Owner is nil if there is no manifest in it.
func (f *files) look(dir string) (s state, owner *proof.Manifest, err error) {
	_, err = os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR): // which writable will say more about
		return absent, nil, nil
	case err != nil:
		return absent, nil, err
	}
	m, err := readManifest(filepath.Join(dir, proof.Success))
	switch {
	case err != nil:
		return foreign, nil, nil // whatever it is, it is no output of ours
	case m.Job == f.job:
		return ours, &m, nil
	}
	return foreign, &m, nil
}

func readManifest(name string) (proof.Manifest, error) {
	file, err := os.Open(name)
	if err != nil {
		return proof.Manifest{}, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, proof.MaxManifest))
	if err != nil {
		return proof.Manifest{}, err
	}
	return proof.Decode(b)
}

// Check implements Committer.
func (f *files) Check(context.Context) error {
	const op = "commit.Check"
	s, owner, err := f.look(f.output)
	switch {
	case err != nil:
		return errs.Errorf(op, errs.KindOf(err), nil, "output %s cannot be looked at: %v", f.output, err)
	case s == ours:
		return nil
	case s == foreign && !f.over:
		return exists(f.uri, owner)
	case s == foreign:
		if err := f.replaceable(owner); err != nil {
			return err
		}
	}
	return f.writable()
}

// writable checks the nearest folder above the output that exists.
func (f *files) writable() error {
	const op = "commit.Check"
	for dir := filepath.Dir(f.output); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err == nil && !info.IsDir(), errors.Is(err, unix.ENOTDIR):
			return errs.Errorf(op, errs.Invalid, nil, "output %s cannot be made: %s is a file", f.output, dir)
		case err == nil:
			err = unix.Access(dir, unix.W_OK|unix.X_OK)
		}
		if err != nil {
			return errs.Errorf(op, errs.KindOf(err), nil, "output %s cannot be made: %s: %v", f.output, dir, err)
		}
		return nil
	}
}

// replaceable fails unless the existing output has nothing in it but what jobs write: to overwrite somebody's home
// would be too high a price for a typing error.
func (f *files) replaceable(owner *proof.Manifest) error {
	const op = "commit.Check"
	entries, err := os.ReadDir(f.output)
	if errors.Is(err, unix.ENOTDIR) {
		return errs.Errorf(op, errs.Exist, nil, "%s is a file, which no job overwrites; choose another output", f.output)
	}
	if err != nil {
		return errs.Errorf(op, errs.KindOf(err), nil, "output %s cannot be looked at: %v", f.output, err)
	}
	for _, e := range entries {
		if e.IsDir() && !writtenFolder(e.Name(), owner) || !e.IsDir() && !written(e.Name(), owner) {
			return strange(f.uri, e.Name())
		}
	}
	return nil
}

func (f *files) attemptFile(attempt scheduler.AttemptID, name string) string {
	return filepath.Join(f.hidden, fmt.Sprintf(".%s.%s", attempt, flat(name)))
}

// Create implements Committer.
func (f *files) Create(_ context.Context, attempt scheduler.AttemptID, name string) (Writer, error) {
	if err := os.MkdirAll(f.hidden, 0o777); err != nil {
		return nil, errs.E("commit.Create", errs.Other, f.output, err)
	}
	file, err := os.Create(f.attemptFile(attempt, name)) // another run of the same attempt never got far enough to count
	if err != nil {
		return nil, errs.E("commit.Create", errs.Other, f.output, err)
	}
	return &fileWriter{file: file, part: Part{Attempt: attempt, Name: name}}, nil
}

// Commit implements Committer.
func (f *files) Commit(_ context.Context, parts []Part, m proof.Manifest) (proof.Manifest, error) {
	const op = "commit.Commit"
	s, owner, err := f.look(f.output)
	switch {
	case err != nil:
		return m, errs.E(op, errs.Other, f.output, err)
	case s == ours:
		m = *owner
	case s == foreign && !f.over:
		return m, exists(f.uri, owner)
	case s == foreign:
		err = f.replaceable(owner)
	}
	if s != ours && err == nil {
		err = f.publish(parts, m, s == foreign)
	}
	if err == nil {
		err = f.clean()
	}
	if err != nil {
		return m, errs.E(op, errs.Other, f.output, err)
	}
	return m, nil
}

// publish makes the hidden folder complete and gives it its name.
func (f *files) publish(parts []Part, m proof.Manifest, replace bool) error {
	success, err := m.Encode()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.hidden, 0o777); err != nil { // a job without tasks has written nothing
		return err
	}
	if err := f.settle(parts); err != nil {
		return err
	}
	if err := f.before("success"); err != nil {
		return err
	}
	if err := writeDurable(filepath.Join(f.hidden, proof.Success), success); err != nil {
		return err
	}
	if err := syncDir(f.hidden); err != nil {
		return err
	}
	if err := f.rename(replace); err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.output))
}

// settle leaves exactly the given parts in the hidden folder, under their names.
func (f *files) settle(parts []Part) error {
	keep := make(map[string]bool, len(parts))
	for _, p := range parts {
		if err := f.before("settle " + p.Name); err != nil {
			return err
		}
		final := filepath.Join(f.hidden, p.Name)
		if err := os.MkdirAll(filepath.Dir(final), 0o777); err != nil {
			return err
		}
		err := os.Rename(f.attemptFile(p.Attempt, p.Name), final)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		info, err := os.Lstat(final) // it may have its name since an earlier try
		if err != nil {
			return err
		}
		if info.Size() != p.Bytes {
			return errs.Errorf("commit.Commit", errs.Corrupt, final, "%d bytes, but %s wrote %d",
				info.Size(), p.Attempt, p.Bytes)
		}
		top, _, _ := strings.Cut(p.Name, "/")
		keep[top] = true
		for dir := filepath.Dir(final); dir != f.hidden; dir = filepath.Dir(dir) {
			if err := syncDir(dir); err != nil {
				return err
			}
		}
	}
	entries, err := os.ReadDir(f.hidden)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if keep[e.Name()] {
			continue
		}
		if err := f.before("drop " + e.Name()); err != nil {
			return err
		}
		if err := os.Remove(filepath.Join(f.hidden, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// rename gives the hidden folder the output's name, without ever replacing what it does not know of.
func (f *files) rename(replace bool) error {
	if err := f.before("publish"); err != nil {
		return err
	}
	if !replace {
		err := renameNew(f.hidden, f.output)
		if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
			return exists(f.uri, nil)
		}
		return err
	}
	err := f.swap(f.hidden, f.output)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	// Between these two renames there is no output; a crash there is mended by the next Commit or Abort.
	if err := os.Rename(f.output, f.old); err != nil {
		return err
	}
	if err := f.before("publish after moving the old"); err != nil {
		return err
	}
	return renameNew(f.hidden, f.output)
}

// clean removes what is left beside a published output.
func (f *files) clean() error {
	if err := f.before("clean"); err != nil {
		return err
	}
	if err := os.RemoveAll(f.hidden); err != nil { // an exchanged old output, too
		return err
	}
	return os.RemoveAll(f.old)
}

// Abort implements Committer.
func (f *files) Abort(context.Context) error {
	const op = "commit.Abort"
	s, _, err := f.look(f.output)
	if err == nil && s == absent {
		err = os.Rename(f.old, f.output) // the commit was interrupted between its two renames
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = f.clean()
	}
	if err != nil {
		return errs.E(op, errs.Other, f.output, err)
	}
	return nil
}

// fileWriter writes one part.
type fileWriter struct {
	file *os.File // nil once committed or aborted
	part Part
}

func (w *fileWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.part.Bytes += int64(n)
	w.part.CRC32C = w.part.CRC32C.Update(p[:n])
	if err != nil {
		return n, errs.E("commit.Write", errs.Other, nil, err)
	}
	return n, nil
}

// Commit implements Writer.
func (w *fileWriter) Commit(context.Context) (Part, error) {
	name := w.file.Name()
	err := w.file.Sync()
	if err2 := w.file.Close(); err == nil {
		err = err2
	}
	w.file = nil
	if err == nil {
		err = syncDir(filepath.Dir(name))
	}
	if err != nil {
		return Part{}, errs.E("commit.Write", errs.Other, nil, err)
	}
	return w.part, nil
}

// Abort implements Writer.
func (w *fileWriter) Abort(context.Context) error {
	if w.file == nil {
		return nil
	}
	name := w.file.Name()
	err := errors.Join(w.file.Close(), os.Remove(name))
	w.file = nil
	if errors.Is(err, fs.ErrNotExist) { // the job was aborted meanwhile
		return nil
	}
	return err
}

// writeDurable writes a file whose name nobody reads yet.
func writeDurable(name string, data []byte) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncDir makes the names in a folder durable.
func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
