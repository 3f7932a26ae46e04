// Package store is the contract for objects: names in, bytes out, and nothing visible before Commit.
//
// A Store holds immutable objects under slash-separated names. Object storage, a directory and a map in memory all
// look the same through it; whatever must outlive a machine goes through it. There is no rename, because object
// stores have none, and no update in place.
//
//	w, err := st.Create(ctx, "log/0000000042", store.IfAbsent())
//	if err != nil { return err }
//	defer w.Abort(ctx)             // harmless after Commit
//	if _, err := w.Write(data); err != nil { return err }
//	return w.Commit(ctx)           // now everybody sees all of it; before, nobody sees any
//
// Drivers live in the folders file, mem and s3; the wrappers retry, limit, cache, fault and metrics take a Store and
// return one. Every one of them passes the suite in storetest. Reads and lists are strongly consistent: what was
// committed before a call began is seen by it.
//
// A store may be able to do more than the seam asks. Such an ability is a small interface of its own: a Reader knows
// what it reads, a Multipart lets one process write an object and another publish it.
package store

import (
	"context"
	"io"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed3322913c/runner/infra/errs"
)

// Store is the seam. All methods may be called by many goroutines at once. Errors carry a kind: NotFound, Exist,
// Permission, Exhausted, Corrupt, Invalid (a malformed name), or Unavailable, which alone is worth another try.
type Store interface {
	// Create starts a new object. Nothing is visible, and an existing object of that name stays readable, until the
	// Writer's Commit. With IfAbsent the Commit (or Create itself, when it already knows) fails with errs.Exist if
	// there is an object of that name; of many who try at once exactly one succeeds, in whatever processes they are.
	// ctx bounds the writing too: when it ends, writes may fail.
	//
	// A driver may have no room for an object "a/b" beside an object "a", as directories have none; creating the
	// second of them then fails with errs.Invalid, and the first stays as it was.
	Create(ctx context.Context, name Name, opts ...CreateOption) (Writer, error)

	// Open reads an object, or the part of it that r names; a range that begins at or beyond the end reads nothing. An
	// absent object fails with errs.NotFound, here or at the first Read. The reader sees one version of the object: if
	// it is replaced meanwhile, the old bytes or an error of kind Unavailable or NotFound, never a mixture. ctx bounds
	// the reading too: when it ends, reads may fail. What is returned is a Reader in every driver and wrapper here.
	Open(ctx context.Context, name Name, r Range) (io.ReadCloser, error)

	// Stat describes an object, or fails with errs.NotFound.
	Stat(ctx context.Context, name Name) (Info, error)

	// List yields the objects whose names begin with prefix (a plain string prefix, "" for all), in byte order of
	// their names. It ends after the first error. What is created or deleted while it runs may or may not be seen.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]

	// Delete removes an object, durably as Commit makes one; that it was not there is success.
	Delete(ctx context.Context, name Name) error
}

// Writer collects the bytes of one object. It is used by one goroutine.
type Writer interface {
	io.Writer

	// Commit makes the object visible as a whole and durable: when it returned nil, the object survives a crash of
	// this process and of its machine. After an error the object may or may not exist if the error is Unavailable;
	// for every other kind it does not. After Unavailable Commit may be called again: if the first call had its
	// effect and only the answer was lost, the second succeeds, with IfAbsent too. After success it does nothing.
	Commit(ctx context.Context) error

	// Abort drops what was written. After Commit, and the second time, it does nothing. It works with an ended ctx.
	Abort(ctx context.Context) error
}

// Reader is the ability of a reader from Open to say what it reads.
type Reader interface {
	io.ReadCloser

	// Info describes the object, the whole of it whatever range is read, in the version that is read.
	Info() (Info, error)
}

// Name is an object's name: components separated by single slashes, none of them empty, "." or "..", valid UTF-8
// without NUL, at most MaxName bytes. It never begins or ends with a slash.
type Name string

// MaxName is the longest name, in bytes (S3's limit for a key).
const MaxName = 1024

// Check returns an error of kind Invalid if n is not well formed.
func (n Name) Check() error {
	const op = "store.Name"
	s := string(n)
	switch {
	case s == "":
		return errs.Errorf(op, errs.Invalid, nil, "empty name")
	case len(s) > MaxName:
		return errs.Errorf(op, errs.Invalid, s[:40]+"...", "%d bytes, %d allowed", len(s), MaxName)
	case !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0:
		return errs.Errorf(op, errs.Invalid, strings.ToValidUTF8(s, "?"), "not UTF-8, or a NUL byte in it")
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part == "." || part == ".." {
			return errs.Errorf(op, errs.Invalid, s, "component %q", part)
		}
	}
	return nil
}

// Join returns the name of elem below n. Either may have any number of components; n may be empty.
func (n Name) Join(elem string) Name {
	if n == "" {
		return Name(elem)
	}
	return n + "/" + Name(elem)
}

// Range is a part of an object, in bytes. The zero Range is the whole object.
type Range struct {
	Offset int64 // the first byte, 0 or more
	Length int64 // how many bytes at most; 0 means up to the end
}

// Check returns an error of kind Invalid if r has a negative field.
func (r Range) Check(name Name) error {
	if r.Offset < 0 || r.Length < 0 {
		return errs.Errorf("store.Range", errs.Invalid, name, "offset %d, length %d", r.Offset, r.Length)
	}
	return nil
}

// Bounds returns where r begins and ends in an object of size bytes: 0 <= begin <= end <= size.
func (r Range) Bounds(size int64) (begin, end int64) {
	begin = min(r.Offset, size)
	if r.Length == 0 || r.Length > size-begin {
		return begin, size
	}
	return begin, begin + r.Length
}

// Info describes an object.
type Info struct {
	Name     Name
	Size     int64
	Modified time.Time // resolution and clock are the driver's; for people and for Version-less comparisons only
	Version  string    // differs whenever the bytes differ (an ETag, or size and time); opaque
}

// CreateOption changes one Create.
type CreateOption func(*CreateOptions)

// CreateOptions is what CreateOptions add up to; drivers and wrappers read it with Collect.
type CreateOptions struct {
	IfAbsent bool
}

// IfAbsent makes a Create succeed only if there is no object of that name when it commits.
func IfAbsent() CreateOption { return func(o *CreateOptions) { o.IfAbsent = true } }

// Collect applies opts to the defaults.
func Collect(opts []CreateOption) CreateOptions {
	var o CreateOptions
	for _, f := range opts {
		f(&o)
	}
	return o
}

// Resolve finds the store and the name that an absolute URI (file:///a/b, s3://bucket/key) means. It is wired once, at
// the top of the program; a scheme that is not wired fails with errs.Unsupported.
type Resolve func(ctx context.Context, uri string) (Store, Name, error)

// Put creates an object from bytes in one go.
func Put(ctx context.Context, st Store, name Name, data []byte, opts ...CreateOption) error {
	w, err := st.Create(ctx, name, opts...)
	if err != nil {
		return err
	}
	defer w.Abort(ctx) // no effect once committed
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Commit(ctx)
}

// Get reads a whole object of at most limit bytes; a longer one fails with errs.Exhausted.
func Get(ctx context.Context, st Store, name Name, limit int64) ([]byte, error) {
	r, err := st.Open(ctx, name, Range{}) // the whole, since of that alone every driver knows the checksum
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, max(limit, limit+1))) // one more tells a longer one; it may overflow
	if err != nil {
		return nil, errs.E("store.Get", errs.Other, name, err)
	}
	if int64(len(data)) > limit {
		return nil, errs.Errorf("store.Get", errs.Exhausted, name, "longer than %d bytes", limit)
	}
	return data, nil
}
