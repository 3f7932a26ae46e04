package fleet

import (
	"context"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// LogFiles shows the logs of a job on all machines as the files of one folder, named FILE@MACHINE.log.
func (f *Fleet) LogFiles(id scheduler.JobID) fs.FS { return logFiles{f, id} }

type logFiles struct {
	fleet *Fleet
	job   scheduler.JobID
}

// logPatience is how long the machines have for one look at their logs.
const logPatience = 20 * time.Second

const logSuffix = ".log"

// ReadDir implements fs.ReadDirFS for the folder itself.
func (l logFiles) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	ctx, cancel := context.WithTimeout(context.Background(), logPatience)
	defer cancel()
	logs, err := l.fleet.Logs(ctx, l.job)
	if err != nil {
		return nil, err
	}
	files, err := logs.list(ctx)
	if err != nil {
		return nil, err
	}
	var entries []fs.DirEntry
	for _, file := range files {
		entries = append(entries, fs.FileInfoToDirEntry(&remoteLog{name: flat(file.machine, file.Name), size: file.Size}))
	}
	return entries, nil
}

// flat is the name of a machine's log among those of all.
func flat(machine, file string) string {
	return strings.TrimSuffix(file, logSuffix) + "@" + machine + logSuffix
}

// Open implements fs.FS.
func (l logFiles) Open(name string) (fs.File, error) {
	before, machine, ok := strings.Cut(strings.TrimSuffix(name, logSuffix), "@")
	if !ok || path.Base(before) != before {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	logs, err := l.fleet.Logs(ctx, l.job)
	var body io.ReadCloser
	if err == nil {
		body, err = logs.Open(ctx, machine+"/"+before+logSuffix, 0)
	}
	if err != nil {
		cancel()
		if kind := errs.KindOf(err); kind == errs.NotFound || kind == errs.Permission {
			err = fs.ErrNotExist
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	again := func(from int64) (io.ReadCloser, error) { return logs.Open(ctx, machine+"/"+before+logSuffix, from) }
	return &remoteLog{ReadCloser: body, name: name, again: again, end: cancel}, nil
}

// remoteLog is a file on another machine, which is read once, from its beginning or from where it was sought.
type remoteLog struct {
	io.ReadCloser
	name  string
	size  int64
	again func(from int64) (io.ReadCloser, error)
	end   func()
}

// Seek implements io.Seeker as far as readers need it: from the beginning of the file.
func (r *remoteLog) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart {
		return 0, errs.Errorf("fleet.Seek", errs.Unsupported, r.name, "only from the beginning")
	}
	if offset == 0 {
		return 0, nil
	}
	body, err := r.again(offset)
	if err != nil {
		return 0, err
	}
	_ = r.ReadCloser.Close() // only read
	r.ReadCloser = body
	return offset, nil
}

// Close implements fs.File.
func (r *remoteLog) Close() error {
	defer r.end()
	return r.ReadCloser.Close()
}

// Stat implements fs.File; the rest is fs.FileInfo.
func (r *remoteLog) Stat() (fs.FileInfo, error) { return r, nil }
func (r *remoteLog) Name() string               { return r.name }
func (r *remoteLog) Size() int64                { return r.size }
func (r *remoteLog) Mode() fs.FileMode          { return 0o400 }
func (r *remoteLog) ModTime() time.Time         { return time.Time{} }
func (r *remoteLog) IsDir() bool                { return false }
func (r *remoteLog) Sys() any                   { return nil }
