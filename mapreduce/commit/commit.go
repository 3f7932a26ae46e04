// Package commit publishes the output of a job: all of it or nothing, also when it is killed at any moment.
//
// Task attempts write parts that nobody sees. The application master then commits exactly the parts of the attempts
// whose results it took, and _SUCCESS last; what other attempts wrote goes. How that is done is the affair of the
// output's scheme; New chooses:
//
//	file://    a hidden folder beside the output, renamed to it at the end
//	hdfs://    the same in a gateway's namespace, by one transaction (webhdfs:// too)
//	others     uploads that tasks begin and the commit completes, in stores with that ability (store.Multipart)
//
// Committing again for the same job is success, in whatever process and wherever the first time was interrupted.
package commit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"

	"github.com/seed3322913c/runner/hdfsgw/client"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/scheduler"
)

// Committer publishes one job's output. All methods may be called by many goroutines at once, and by the processes of
// many attempts.
type Committer interface {
	// Check fails if the job could not write its output: errs.Exist if something is there that it may not replace,
	// Permission, Invalid. It creates nothing. The output of this very job, committed before, is no error.
	Check(ctx context.Context) error

	// Create starts the part called name on behalf of an attempt. A name may lie in the folder proof.Bad.
	Create(ctx context.Context, attempt scheduler.AttemptID, name string) (Writer, error)

	// Commit publishes parts, and the manifest as _SUCCESS. It returns the manifest that is published, which is that of
	// the first call if this is not the first. It fails with errs.Exist, and publishes nothing, if another job's output
	// is there that it may not replace; with errs.NotFound if a part is gone.
	Commit(ctx context.Context, parts []Part, m proof.Manifest) (proof.Manifest, error)

	// Abort removes all that was not published. It may be called at any time, and again.
	Abort(ctx context.Context) error
}

// Writer takes the bytes of one part. It is used by one goroutine.
type Writer interface {
	io.Writer

	// Commit makes the part durable, but not visible, and describes it.
	Commit(ctx context.Context) (Part, error)

	// Abort drops the part. After Commit it does nothing.
	Abort(ctx context.Context) error
}

// Part is a written part: data that travels with the attempt's result to whoever commits.
type Part struct {
	Attempt scheduler.AttemptID `json:"attempt"`
	Name    string              `json:"name"`
	Bytes   int64               `json:"bytes"`
	CRC32C  proof.Sum           `json:"crc32c"`
	Upload  json.RawMessage     `json:"upload,omitempty"` // what the committer has to remember, opaque
}

// New returns the committer of a job's output. It fails with errs.Unsupported, in one sentence, for a place where there
// is none.
func New(ctx context.Context, job scheduler.Job, resolve store.Resolve) (Committer, error) {
	const op = "commit.New"
	scheme, rest, ok := strings.Cut(job.Output, "://")
	switch {
	case !ok:
		return nil, errs.Errorf(op, errs.Invalid, nil,
			"output %q has no scheme; write it as file:///path or s3://bucket/key", job.Output)
	case scheme == "file":
		return newFiles(job, rest)
	}
	st, name, err := resolve(ctx, strings.TrimRight(job.Output, "/"))
	if err != nil {
		return nil, err
	}
	hdfs, isHDFS := st.(*client.Store)
	mp, ok := store.MultipartOf(st)
	if !ok && !isHDFS {
		return nil, errs.Errorf(op, errs.Unsupported, nil,
			"jobs cannot write to %s://; write to file://, hdfs:// or s3://", scheme)
	}
	if err := name.Check(); err != nil {
		return nil, errs.Errorf(op, errs.Invalid, nil, "output %s names no folder to be made", job.Output)
	}
	if isHDFS {
		return newNames(job, hdfs, name), nil
	}
	return &objects{job: job.ID, uri: job.Output, st: st, mp: mp, name: name, over: job.Overwrite}, nil
}

// flat is a part's name without folders, for the places where attempts write. Different names stay different, and none
// is too long for a file.
func flat(name string) string {
	if !strings.Contains(name, "/") {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "+" + hex.EncodeToString(sum[:])
}

// exists is the error for an output that is there already. Owner is the manifest found in it, nil if there is none.
func exists(output string, owner *proof.Manifest) error {
	who := ""
	if owner != nil {
		who = ", written by job " + string(owner.Job) + " on " + owner.Finished.Format("2006-01-02")
	}
	return errs.Errorf("commit.Check", errs.Exist, nil, "%s exists already%s; choose another or say --overwrite",
		strings.TrimPrefix(output, "file://"), who)
}
