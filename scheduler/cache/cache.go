// Package cache gives every task of a job the files that it names: Hadoop's distributed cache.
//
// When a job is submitted, Stage takes the sum of each file, and copies those of this machine to the job's own objects,
// since other machines cannot reach them and people may change them. On each node the first attempt that needs them
// fetches them, once for all executors of the job there:
//
//	<node>/<job>/cache/
//	    lock            held (flock) by the one process that fetches or looks after something
//	    0.file          the first file, whose sum is what it was when the job was submitted
//	    1.file          an archive
//	    1.tree/         what was in it
//	    1.list          JSON: the sums of what was in it, written last
//	    .new-XXXX       not finished
//
// A copy is compared with its sum by every process before it first uses it, and again when its size or time has
// changed; one that is damaged is fetched anew.
package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler"
)

// Folder is the name of the cache's folder, beside those of a job's attempts.
const Folder = "cache"

// Check fails, in one sentence, if the files of a job cannot be had: names that cannot be or are taken, files that are
// not there, archives that nobody can unpack. It creates nothing. Those of which made reports true are still to be made
// by other jobs.
func Check(ctx context.Context, resolve store.Resolve, job scheduler.Job, made func(uri string) bool) error {
	const op = "cache.Check"
	taken := map[string]bool{}
	for _, f := range job.Files {
		switch {
		case f.Name == "" || f.Name == "." || f.Name == ".." || len(f.Name) > 255 || strings.ContainsAny(f.Name, "/\x00"):
			return errs.Errorf(op, errs.Invalid, nil, "tasks cannot find %s as %q; write %[1]s#NAME", f.URI, f.Name)
		case taken[f.Name]:
			return errs.Errorf(op, errs.Invalid, nil, "two files are called %s; write %s#NAME to call this one otherwise",
				f.Name, f.URI)
		case f.Archive && unpackerOf(f.URI) == nil:
			return errs.Errorf(op, errs.Unsupported, nil, "%s is no archive that can be unpacked; that are %s",
				f.URI, strings.Join(endings(), ", "))
		}
		taken[f.Name] = true
		if made(f.URI) {
			continue
		}
		st, name, err := resolve(ctx, f.URI)
		if err != nil {
			return err
		}
		if _, err := st.Stat(ctx, name); err != nil {
			return errs.Errorf(op, errs.KindOf(err), nil, "the file %s cannot be read: %s", f.URI, errs.Cause(err))
		}
	}
	return nil
}

// Objects is where the staged files of a job are, in the system's own store.
func Objects(job scheduler.JobID) store.Name {
	return store.Name("jobs").Join(string(job)).Join("files")
}

// Stage notes size and sum of each of the job's files, and copies those of this machine to the job's objects in st. It
// returns the job with them. Files that were staged for the job already, perhaps on another machine, stay as they are.
func Stage(
	ctx context.Context, resolve store.Resolve, st store.Store, job scheduler.Job,
) (scheduler.Job, error) {
	staged := make([]scheduler.File, len(job.Files))
	for i, f := range job.Files {
		own := string(Objects(job.ID).Join(fmt.Sprint(i)))
		if f.SHA256 != "" && (f.Object == own || f.Object == "" && !strings.HasPrefix(f.URI, "file://")) {
			staged[i] = f
			continue
		}
		f.Object = ""
		if strings.HasPrefix(f.URI, "file://") {
			f.Object = own
		}
		if err := stage(ctx, resolve, st, &f); err != nil {
			return job, errs.E("cache.Stage", errs.Other, f.URI, err)
		}
		staged[i] = f
	}
	job.Files = staged
	return job, nil
}

func stage(ctx context.Context, resolve store.Resolve, st store.Store, f *scheduler.File) error {
	from, name, err := resolve(ctx, f.URI)
	if err != nil {
		return err
	}
	in, err := from.Open(ctx, name, store.Range{})
	if err != nil {
		return err
	}
	defer in.Close() // nothing was written
	sum := summed{to: io.Discard, hash: sha256.New()}
	if f.Object == "" {
		_, err = io.Copy(&sum, in)
	} else {
		err = copyTo(ctx, st, store.Name(f.Object), &sum, in)
	}
	f.Size, f.SHA256 = sum.size, sum.text()
	return err
}

func copyTo(ctx context.Context, st store.Store, name store.Name, through *summed, in io.Reader) error {
	w, err := st.Create(ctx, name)
	if err != nil {
		return err
	}
	defer w.Abort(ctx) // no effect once committed
	through.to = w
	if _, err := io.Copy(through, in); err != nil {
		return err
	}
	return w.Commit(ctx)
}

// summed is a writer that takes the sum of what goes through it.
type summed struct {
	to   io.Writer
	hash hash.Hash
	size int64
}

func (s *summed) Write(p []byte) (int, error) {
	n, err := s.to.Write(p)
	s.size += int64(n)
	s.hash.Write(p[:n]) // never fails
	return n, err
}

func (s *summed) text() string { return hex.EncodeToString(s.hash.Sum(nil)) }

// Drop removes what Stage has copied for a job.
func Drop(ctx context.Context, st store.Store, job scheduler.JobID) error {
	for info, err := range st.List(ctx, string(Objects(job))+"/") {
		if err == nil {
			err = st.Delete(ctx, info.Name)
		}
		if err != nil {
			return errs.E("cache.Drop", errs.Other, job, err)
		}
	}
	return nil
}

// FileOf reads one item of a specification: a URI, and after # the name under which tasks find it, else that of the
// file.
func FileOf(text string, uri func(string) (string, error)) (scheduler.File, error) {
	name := ""
	if i := strings.LastIndexByte(text, '#'); i >= 0 {
		text, name = text[:i], text[i+1:]
	}
	at, err := uri(text)
	if err != nil {
		return scheduler.File{}, err
	}
	if name == "" {
		name = path.Base(at)
	}
	return scheduler.File{Name: name, URI: at}, nil
}
