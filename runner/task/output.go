package task

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/commit"
)

// maxFiles bounds the files that one task puts out, since their names travel with the attempt's result.
const maxFiles = 1000

// collect writes what the command has left as parts that nobody sees before the job's commit.
func (w *work) collect(ctx context.Context) ([]commit.Part, error) {
	parts := []commit.Part{}
	out, err := committer(ctx, w.Job, w.resolve)
	if err != nil || out == nil {
		return parts, err
	}
	err = filepath.WalkDir(w.output(), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return errs.E("task.Collect", errs.Other, w.ID, err)
		case entry.IsDir():
			return nil
		}
		name, err := w.name(path, entry)
		if err != nil {
			return err
		}
		if len(parts) == maxFiles {
			return wrong("more than %d files in $RUNNER_OUTPUT; put them in an archive", maxFiles)
		}
		part, err := w.put(ctx, out, path, name)
		parts = append(parts, part)
		return err
	})
	return parts, err
}

// wrong is what to tell about an output that cannot be published.
func wrong(format string, args ...any) error {
	return errs.Errorf("", errs.Failed, nil, format, args...)
}

// name is what a file is called in the job's output.
func (w *work) name(path string, entry fs.DirEntry) (string, error) {
	rel, err := filepath.Rel(w.output(), path)
	if err != nil {
		return "", errs.E("task.Collect", errs.Internal, path, err)
	}
	name := folder(w.ID.Task) + filepath.ToSlash(rel)
	switch err := store.Name(name).Check(); {
	case err != nil:
		return "", wrong("a name in $RUNNER_OUTPUT is not one that every store takes: %v", err)
	case !entry.Type().IsRegular():
		return "", wrong("%s in $RUNNER_OUTPUT is no regular file", rel)
	}
	return name, nil
}

// put writes one part.
func (w *work) put(ctx context.Context, out commit.Committer, path, name string) (commit.Part, error) {
	const op = "task.Collect"
	in, err := os.Open(path)
	if err != nil {
		return commit.Part{}, errs.E(op, errs.Other, name, err)
	}
	defer in.Close() // only read
	to, err := out.Create(ctx, w.ID, name)
	if err != nil {
		return commit.Part{}, err
	}
	defer to.Abort(context.WithoutCancel(ctx)) // no effect once committed
	if _, err := io.Copy(to, in); err != nil {
		return commit.Part{}, errs.E(op, errs.Other, name, err)
	}
	return to.Commit(ctx)
}
