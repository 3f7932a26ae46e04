// Package upload makes a store.Writer of a store.Multipart: bytes stream in, parts go out several at a time, and
// memory stays bounded however large the object becomes.
//
//	Write ──▶ part buffer ──full──▶ goroutine: UploadPart ──▶ list of parts ──▶ Commit: CompleteUpload
//	            ▲                        │                                  └──▶ Finish: handed to another process
//	            └───── room and buffer ──┘
//
// An object that fits into one part is never uploaded in parts by Commit: Options.Small writes it in one go.
package upload

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// DefaultPartSize is the size of the first parts, in bytes, where nothing else is said.
const DefaultPartSize = 16 << 20

// Options change how a Writer works.
type Options struct {
	// PartSize is the size of the first parts in bytes, store.MinPart or more; 0 means DefaultPartSize. Later parts
	// are larger, see PartSize.
	PartSize int64

	// Memory bounds the bytes of parts that are held at a time, those that are being sent included; 0 means four parts
	// of PartSize. A single part may be larger: then it is alone.
	Memory int64

	// Small makes the writer of an object that has only these bytes, at most PartSize of them; they don't change any
	// more. It is only committed and aborted. Where it is nil, such an object is an upload of one part.
	Small func(ctx context.Context, data []byte) (store.Writer, error)
}

// growth is how many parts have the same size.
const growth = 1000

// PartSize returns the size of the part of that number, from 1, if the first ones have size first. It grows with the
// square of the thousands, so that store.MaxParts parts of 16 MiB and more hold 6 TB, while an object of up to 16 GB
// has parts of 16 MiB.
func PartSize(first int64, number int) int64 {
	k := int64(1 + (number-1)/growth)
	return min(first*k*k, store.MaxPart)
}

// Writer is a store.Writer over a store.Multipart.
type Writer struct {
	m      store.Multipart
	name   store.Name
	opts   Options
	create []store.CreateOption

	begin func() (store.Upload, error)  // with the context of New, as are the next two
	room  func(n int64) error           // waits until n more bytes may be held
	send  func(number int, data []byte) // uploads a part in the background and then gives its room back
	group *errgroup.Group               // what runs in the background
	stop  context.CancelFunc            // ends it
	free  sync.Pool                     // of buffers, as *[]byte
	small store.Writer                  // from Options.Small, once Commit has decided for it

	upload store.Upload // begun once ID is set
	buf    []byte       // the part that is being filled
	size   int64        // how large it will be
	sent   int          // parts given to send
	state  state
	err    error // set once nothing can be written or committed any more

	mu struct {
		sync.Mutex
		parts []store.Part
	}
}

// state is how far a Writer has come. It never goes back.
type state uint8

const (
	writing  state = iota
	finished       // all parts are stored
	ended          // committed, handed over or aborted
)

// New returns a writer of an object called name. Its uploads end with ctx. create is for CompleteUpload.
func New(
	ctx context.Context, m store.Multipart, name store.Name, opts Options, create ...store.CreateOption,
) *Writer {
	opts.PartSize = cmp.Or(opts.PartSize, DefaultPartSize)
	opts.Memory = cmp.Or(opts.Memory, 4*opts.PartSize)
	w := &Writer{m: m, name: name, opts: opts, create: create}
	ctx, w.stop = context.WithCancel(ctx)
	w.group, ctx = errgroup.WithContext(ctx)
	held := semaphore.NewWeighted(opts.Memory)

	w.begin = func() (store.Upload, error) { return m.BeginUpload(ctx, name) }
	w.room = func(n int64) error {
		if held.Acquire(ctx, min(n, opts.Memory)) != nil {
			return context.Cause(ctx) // the part that failed, if one did
		}
		return nil
	}
	w.send = func(number int, data []byte) {
		room := min(w.size, opts.Memory)
		w.group.Go(func() error {
			part, err := m.UploadPart(ctx, w.upload, number, data)
			if err != nil {
				return err
			}
			w.mu.Lock()
			w.mu.parts = append(w.mu.parts, part)
			w.mu.Unlock()
			w.free.Put(&data)
			held.Release(room)
			return nil
		})
	}
	return w
}

// Write implements io.Writer. Once it has failed, the object can't be committed any more.
func (w *Writer) Write(p []byte) (int, error) {
	const op = "upload.Write"
	if w.err == nil && w.state != writing {
		w.err = errs.Errorf(op, errs.Invalid, w.name, "the writer is finished")
	}
	n := 0
	for n < len(p) && w.err == nil {
		if int64(len(w.buf)) == w.size {
			if w.err = w.nextPart(); w.err != nil {
				w.err = errs.E(op, errs.Other, w.name, w.err)
				break
			}
		}
		k := min(len(p)-n, int(w.size)-len(w.buf))
		w.buf = append(w.buf, p[n:n+k]...)
		n += k
	}
	return n, w.err
}

// nextPart sends the part that is full, if there is one, and gets room for another.
func (w *Writer) nextPart() error {
	if w.size > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.size = PartSize(w.opts.PartSize, w.sent+1)
	if err := w.room(w.size); err != nil {
		return err
	}
	if w.sent > 0 { // the first one grows as it is filled, since most objects are small
		if b, ok := w.free.Get().(*[]byte); ok && int64(cap(*b)) >= w.size {
			w.buf = (*b)[:0]
		} else {
			w.buf = make([]byte, 0, w.size)
		}
	}
	return nil
}

// flush sends what is in the buffer.
func (w *Writer) flush() (err error) {
	if w.upload.ID == "" {
		if w.upload, err = w.begin(); err != nil {
			return err
		}
	}
	w.sent++
	if w.sent > store.MaxParts {
		return errs.Errorf("upload.Write", errs.Exhausted, w.name, "more than %d parts", store.MaxParts)
	}
	w.send(w.sent, w.buf)
	w.buf = nil
	return nil
}

// Finish stores what was written and returns what CompleteUpload needs, for another process to publish it. After that
// the upload is not this writer's any more: Abort does nothing.
func (w *Writer) Finish(ctx context.Context) (store.Upload, []store.Part, error) {
	if w.state == ended {
		return store.Upload{}, nil, errs.Errorf("upload.Finish", errs.Invalid, w.name, "the writer is finished")
	}
	if err := w.finish(ctx); err != nil {
		return store.Upload{}, nil, err
	}
	w.end()
	return w.upload, w.mu.parts, nil
}

// finish sends the rest and waits until all parts are stored.
func (w *Writer) finish(ctx context.Context) error {
	if w.state != writing || w.err != nil {
		return w.err
	}
	defer context.AfterFunc(ctx, w.stop)()
	if len(w.buf) > 0 || w.sent == 0 {
		w.err = w.flush()
	}
	if w.err == nil {
		w.err = w.group.Wait()
	}
	if w.err != nil {
		w.err = errs.E("upload.Finish", errs.Other, w.name, w.err)
		return w.err
	}
	slices.SortFunc(w.mu.parts, func(a, b store.Part) int { return cmp.Compare(a.Number, b.Number) })
	w.state = finished
	return nil
}

// Commit implements store.Writer.
func (w *Writer) Commit(ctx context.Context) error {
	if w.err != nil || w.state == ended {
		return w.err
	}
	if err := ctx.Err(); err != nil {
		return errs.E("upload.Commit", errs.Canceled, w.name, err)
	}
	if w.sent == 0 && w.opts.Small != nil {
		return w.commitSmall(ctx)
	}
	if err := w.finish(ctx); err != nil {
		return err
	}
	if err := w.m.CompleteUpload(ctx, w.upload, w.mu.parts, w.create...); err != nil {
		return err
	}
	w.end()
	return nil
}

func (w *Writer) end() {
	w.state, w.buf = ended, nil
	w.stop()
}

func (w *Writer) commitSmall(ctx context.Context) (err error) {
	if w.small == nil {
		if w.small, err = w.opts.Small(ctx, w.buf); err != nil {
			return err
		}
	}
	if err := w.small.Commit(ctx); err != nil {
		return err
	}
	w.end()
	return nil
}

// Abort implements store.Writer. It waits for what runs in the background.
func (w *Writer) Abort(ctx context.Context) error {
	if w.state == ended {
		return nil
	}
	w.err = errs.Errorf("upload.Writer", errs.Invalid, w.name, "the writer is aborted")
	w.end()
	w.group.Wait() // its parts are not wanted, whether they arrived or not
	ctx = context.WithoutCancel(ctx)
	var smallErr, uploadErr error
	if w.small != nil {
		smallErr = w.small.Abort(ctx)
	}
	if w.upload.ID != "" {
		uploadErr = w.m.AbortUpload(ctx, w.upload)
	}
	return errors.Join(smallErr, uploadErr)
}
