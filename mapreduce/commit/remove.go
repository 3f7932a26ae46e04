package commit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/scheduler"
)

// Remove removes the output that a job has published, and reports whether there was one: the parts first and the
// manifest last, so that what a crash leaves is known as that job's, and can be removed again. What else lies there
// stays. An output that is not this job's stays too, and the error is of kind Exist.
func Remove(ctx context.Context, resolve store.Resolve, output string, owner scheduler.JobID) (found bool, err error) {
	const op = "commit.Remove"
	st, name, err := resolve(ctx, strings.TrimRight(output, "/"))
	if err != nil {
		return false, err
	}
	text, err := store.Get(ctx, st, name.Join(proof.Success), proof.MaxManifest)
	if errs.KindOf(err) == errs.NotFound {
		return false, removeFolders(output, nil)
	}
	if err != nil {
		return false, errs.E(op, errs.Other, output, err)
	}
	m, err := proof.Decode(text)
	if err != nil || m.Job != owner {
		return true, errs.Errorf(op, errs.Exist, nil, "%s is not what job %s has written, so it stays", output, owner)
	}
	for _, p := range m.Parts {
		if err := st.Delete(ctx, name.Join(p.Name)); err != nil {
			return true, errs.E(op, errs.Other, output, err)
		}
	}
	if err := st.Delete(ctx, name.Join(proof.Success)); err != nil {
		return true, errs.E(op, errs.Other, output, err)
	}
	return true, removeFolders(output, m.Parts)
}

// removeFolders removes the folders that held parts, if nothing is left in them. Only file systems have any.
func removeFolders(output string, parts []proof.Part) error {
	root, ok := strings.CutPrefix(output, "file://")
	if !ok {
		return nil
	}
	folders := []string{filepath.Clean(root)}
	for _, p := range parts {
		for dir := filepath.Dir(p.Name); dir != "."; dir = filepath.Dir(dir) {
			folders = append(folders, filepath.Join(root, dir))
		}
	}
	slices.Sort(folders) // a folder comes before those in it
	for _, dir := range slices.Backward(slices.Compact(folders)) {
		err := os.Remove(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
			return errs.E("commit.Remove", errs.Other, dir, err)
		}
	}
	return nil
}
