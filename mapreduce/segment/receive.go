package segment

import (
	"bytes"
	"hash/crc32"
	"io"
	"os"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/arena"
)

// ReceiveOptions tune a Receiver.
type ReceiveOptions struct {
	Budget *arena.Budget // the copy is kept in memory if this has room
	Dir    string        // else in a file here
}

// Receiver makes a Range of bytes that arrive from elsewhere. It is used by one goroutine.
//
//	rc, err := segment.NewReceiver(index.Cut(lo, hi), opts)
//	defer rc.Abort()                            // no effect once finished
//	for { io.Copy(rc, body from Span's offset + rc.Received()) }   // again and again until all is there
//	r, err := rc.Finish()
type Receiver struct {
	want   Index
	opts   ReceiveOptions
	length int64
	mem    []byte   // length bytes, or
	file   *os.File // a file
	done   int64    // bytes taken
	at     int      // the part that is being received
	begin  int64    // where it begins
	sum    uint32   // of what is there of it
}

// NewReceiver prepares for the span of want, a cut index.
func NewReceiver(want Index, opts ReceiveOptions) (*Receiver, error) {
	rc := &Receiver{want: want, opts: opts}
	_, rc.length = want.Span()
	var err error
	if rc.mem, err = opts.Budget.Alloc(int(rc.length)); err != nil {
		if rc.file, err = os.CreateTemp(opts.Dir, "fetch-*"); err != nil {
			return nil, errs.E("segment.NewReceiver", errs.Other, nil, err)
		}
	}
	rc.skipEmpty()
	return rc, nil
}

// Write takes the next bytes. Each partition's checksum is compared as soon as its last byte is there: errs.Corrupt
// means that the source is not what its index says, or was altered on its way; more bytes than expected likewise. A
// full disk is errs.Exhausted.
func (rc *Receiver) Write(p []byte) (int, error) {
	const op = "segment.Receive"
	taken := 0
	for len(p) > 0 {
		if rc.at == len(rc.want.Parts) {
			return taken, errs.Errorf(op, errs.Corrupt, nil, "more than %d bytes", rc.length)
		}
		part := rc.want.Parts[rc.at]
		piece := p[:min(int64(len(p)), rc.begin+part.Stored-rc.done)]
		if rc.file == nil {
			copy(rc.mem[rc.done:], piece)
		} else if _, err := rc.file.WriteAt(piece, rc.done); err != nil {
			return taken, errs.E(op, errs.Other, nil, err)
		}
		rc.sum = crc32.Update(rc.sum, castagnoli, piece)
		rc.done += int64(len(piece))
		taken += len(piece)
		p = p[len(piece):]
		if rc.done == rc.begin+part.Stored {
			if rc.sum != part.Sum {
				return taken, errs.Errorf(op, errs.Corrupt, partName(rc.want.First+rc.at), "checksum differs")
			}
			rc.at++
			rc.skipEmpty()
		}
	}
	return taken, nil
}

// Receive copies the range to where into says, and closes it. Every checksum is compared, so that what is damaged is
// errs.Corrupt now and not while it is used.
func (r *Range) Receive(into ReceiveOptions) (*Range, error) {
	defer r.Close() // it was only read
	rc, err := NewReceiver(r.index, into)
	if err != nil {
		return nil, err
	}
	defer rc.Abort() // no effect once finished
	offset, length := r.index.Span()
	if _, err := io.Copy(rc, io.NewSectionReader(r.src, offset-r.base, length)); err != nil {
		return nil, errs.E("segment.Receive", errs.Other, nil, err)
	}
	return rc.Finish()
}

// skipEmpty begins the next part that has bytes.
func (rc *Receiver) skipEmpty() {
	for rc.at < len(rc.want.Parts) && rc.want.Parts[rc.at].Stored == 0 {
		rc.at++
	}
	rc.begin, rc.sum = rc.done, 0
}

// Received returns how many bytes have been taken: after a broken connection go on from there.
func (rc *Receiver) Received() int64 { return rc.done }

// Rewind drops what came since the last partition that was whole, after errs.Corrupt; Received tells where to go on.
func (rc *Receiver) Rewind() { rc.done, rc.sum = rc.begin, 0 }

// Finish returns the Range. It fails with errs.Corrupt if bytes are missing.
func (rc *Receiver) Finish() (*Range, error) {
	if rc.done != rc.length {
		return nil, errs.Errorf("segment.Receive", errs.Corrupt, nil, "%d bytes of %d", rc.done, rc.length)
	}
	offset, _ := rc.want.Span()
	r := &Range{index: rc.want, base: offset}
	if rc.file != nil {
		r.src, r.free = rc.file, removeFile(rc.file)
	} else {
		budget, mem := rc.opts.Budget, rc.mem
		r.mem, r.src = mem, bytes.NewReader(mem)
		r.free = func() error { budget.Free(mem); return nil }
	}
	rc.file, rc.mem = nil, nil
	return r, nil
}

// Abort frees what was received. After Finish it does nothing.
func (rc *Receiver) Abort() {
	if rc.file != nil {
		_ = removeFile(rc.file)() // in a scratch directory, which goes with the attempt
	}
	rc.opts.Budget.Free(rc.mem)
	rc.file, rc.mem = nil, nil
}
