package process

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// pipeSize is what a pipe holds at most, in bytes.
const pipeSize = 1 << 20

// Output is the caller's end of a pipe that a program writes to. It is read by one goroutine.
//
// The end of the program is not always that of its output: somebody whom it has started may hold the other end. So who
// knows that it has ended sets a deadline. That bounds the waiting for more, not how long the reader takes for what is
// there: what was in the pipe by the deadline can be read at any time after it.
type Output struct {
	pipe *os.File
	late bool // the deadline has passed
	left int  // bytes that may still be read then: what comes later is an orphan's
}

func newOutput(pipe *os.File) *Output { return &Output{pipe: pipe, left: pipeSize} }

// SetReadDeadline says until when Read waits for more; then, and when nothing is left, it fails with
// os.ErrDeadlineExceeded. It may be called while somebody reads.
func (o *Output) SetReadDeadline(at time.Time) error { return o.pipe.SetReadDeadline(at) }

// Close ends the reading.
func (o *Output) Close() error { return o.pipe.Close() }

// Read implements io.Reader.
func (o *Output) Read(b []byte) (int, error) {
	if !o.late {
		n, err := o.pipe.Read(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		o.late = true
	}
	return o.rest(b[:min(len(b), o.left)])
}

// rest reads what is there without waiting.
func (o *Output) rest(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	raw, err := o.pipe.SyscallConn()
	if err == nil {
		err = o.pipe.SetReadDeadline(time.Time{}) // or nothing could be read
	}
	var failure error
	if err == nil {
		err = raw.Read(func(fd uintptr) bool {
			for n, failure = syscall.Read(int(fd), b); failure == syscall.EINTR; {
				n, failure = syscall.Read(int(fd), b)
			}
			return true // whatever came of it
		})
	}
	switch {
	case err != nil:
		return 0, err
	case failure == syscall.EAGAIN:
		return 0, os.ErrDeadlineExceeded
	case failure != nil:
		return 0, os.NewSyscallError("read", failure)
	case n == 0:
		return 0, io.EOF
	}
	o.left -= n
	return n, nil
}
