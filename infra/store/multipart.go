package store

import (
	"context"
	"iter"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// Multipart is the ability of a Store to let one process write the bytes of an object and another one publish it,
// later and perhaps on another machine. Tasks upload, a ledger keeps Upload and Parts (both are plain data), and
// whoever commits the job completes; until then nothing is visible. Package upload makes an io.Writer of it.
//
// An Upload holds storage until it is completed or aborted, so whoever writes beneath a prefix ends what Uploads finds
// there. All methods may be called by many goroutines at once.
type Multipart interface {
	// BeginUpload starts an upload of an object called name.
	BeginUpload(ctx context.Context, name Name) (Upload, error)

	// UploadPart stores one part. Parts are numbered from 1 and may arrive in any order and again (the last one
	// stays). All but the last of an object have at least MinPart bytes; an object of no bytes has one part of no
	// bytes.
	UploadPart(ctx context.Context, u Upload, number int, data []byte) (Part, error)

	// CompleteUpload publishes the parts, which are in order and without gaps, as one object; like Writer.Commit it is
	// all or nothing and knows IfAbsent. Completing what was completed before is success, in whatever process the
	// first call was, and changes nothing. An upload that was aborted fails with errs.NotFound, and so does a
	// completed one whose object was replaced or deleted since, if the store can tell.
	CompleteUpload(ctx context.Context, u Upload, parts []Part, opts ...CreateOption) error

	// AbortUpload drops an upload and its parts; that it is not there, or was completed, is success.
	AbortUpload(ctx context.Context, u Upload) error

	// Uploads yields the uploads that were neither completed nor aborted and whose names begin with prefix, with an
	// empty Token, in no particular order. It ends after the first error.
	Uploads(ctx context.Context, prefix string) iter.Seq2[Upload, error]
}

// Limits of an upload (S3's).
const (
	MinPart  = 5 << 20 // bytes of every part but the last, at least
	MaxPart  = 5 << 30 // bytes of a part
	MaxParts = 10_000  // parts of an object
)

// Upload is an object in the making.
type Upload struct {
	Name  Name      `json:"name"`
	ID    string    `json:"id"`              // the store's id of it, opaque
	Token string    `json:"token,omitempty"` // goes with the object, so that CompleteUpload knows its own work again
	Begun time.Time `json:"begun,omitzero"`  // when, by the store's clock if it says
}

// Part is a stored part of an upload.
type Part struct {
	Number int    `json:"number"`
	Size   int64  `json:"size"`
	CRC32C uint32 `json:"crc32c"` // of its bytes
	ETag   string `json:"etag"`   // the store's mark of it, opaque
}

// CheckParts returns the size of the object that parts make, or an error of kind Invalid if they are none or too many,
// out of order, with a gap, or too small.
func CheckParts(u Upload, parts []Part) (int64, error) {
	const op = "store.CompleteUpload"
	if len(parts) == 0 || len(parts) > MaxParts {
		return 0, errs.Errorf(op, errs.Invalid, u.Name, "%d parts, 1 to %d allowed", len(parts), MaxParts)
	}
	var size int64
	for i, p := range parts {
		if p.Number != i+1 {
			return 0, errs.Errorf(op, errs.Invalid, u.Name, "part %d in place %d", p.Number, i+1)
		}
		if p.Size < MinPart && i+1 < len(parts) {
			return 0, errs.Errorf(op, errs.Invalid, u.Name, "part %d has %d bytes, %d needed", p.Number, p.Size, MinPart)
		}
		size += p.Size
	}
	return size, nil
}

// Wrapper is a Store that passes calls on to another one.
type Wrapper interface {
	Store
	Unwrap() Store
}

// MultipartOf returns st's ability to take uploads, if it has it. A wrapper has the methods in any case, and the
// ability if the store that it wraps has it, so ask here rather than by an assertion.
func MultipartOf(st Store) (Multipart, bool) {
	if w, ok := st.(Wrapper); ok {
		if _, ok := MultipartOf(w.Unwrap()); !ok {
			return nil, false
		}
	}
	m, ok := st.(Multipart)
	return m, ok
}
