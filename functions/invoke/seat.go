package invoke

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// A host and a process that takes events (Work) speak over a connection as a host and a handler do over pipes:
//
//	host ──── I V ──────── S ──────── I V ────────▶ Work ──▶ handler
//	host ◀───────── S V ──────── S ───────── S X ── Work ◀── handler
//
// Frames of type S carry pieces of the log, not lines. An empty one asks whether anybody is there, every pulse, and is
// answered by another: who hears nothing for as long as silence takes the connection for lost, and with it the event,
// which another process gets.
const (
	pulse   = 2 * time.Second
	silence = 10 * time.Second
)

// line is one end of such a connection. Frames may be sent by several goroutines.
type line struct {
	net.Conn
	in *bufio.Reader
	mu sync.Mutex // held while frames are written
}

func newLine(conn net.Conn) *line {
	l := &line{Conn: conn}
	l.in = bufio.NewReader(l)
	return l
}

// Read reads what comes, unless nothing does for too long.
func (l *line) Read(b []byte) (int, error) {
	if err := l.Conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return l.Conn.Read(b)
}

// send writes frames that belong together. Whoever reads them too slowly is as good as gone.
func (l *line) send(frames []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(frames) > 0 {
		if err := l.Conn.SetWriteDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		n, err := l.Conn.Write(frames[:min(len(frames), wire.FrameSize)])
		if err != nil {
			return err
		}
		frames = frames[n:]
	}
	return nil
}

// seat is the host's end of a line.
type seat struct {
	*line
	index   int // of its process: the lowest are kept when there is less to do
	log     *logSwitch
	answers chan frame
	gone    chan struct{} // closed when the connection is
}

// frame is what a seat reads.
type frame struct {
	kind    wire.Type
	payload []byte
}

// read reads what the process says until the connection is gone.
func (s *seat) read() {
	defer close(s.gone) // when nothing is written to the log any more
	defer s.log.close()
	defer s.Close() // of a connection that is no good any more
	for {
		kind, payload, err := wire.Read(s.in, nil)
		switch {
		case err != nil || len(payload) > MaxPayload:
			return
		case kind == wire.Status && len(payload) == 0:
			if s.send(wire.Frame(wire.Status, nil)) != nil {
				return
			}
		case kind == wire.Status:
			_, _ = s.log.Write(payload) // never fails
		default:
			select {
			case s.answers <- frame{kind, payload}:
			default:
				return // nobody has asked
			}
		}
	}
}

// errLost says that a connection was lost before the answer came.
var errLost = errors.New("lost")

// call has an event answered. It fails with errLost if the process, or its machine, has gone meanwhile.
func (s *seat) call(ctx context.Context, call wire.Call, event []byte, limit time.Duration) ([]byte, error) {
	head, err := wire.JSONFrame(wire.Invoke, call)
	if err != nil {
		return nil, err
	}
	both := append(head, wire.Frame(wire.Value, event)...) // each write wakes the other end
	if err := s.send(both); err != nil {
		_ = s.Close() // likewise
		return nil, errLost
	}
	// The process sees to the limit itself, and may have to start a handler first.
	late := time.NewTimer(limit + begin + process.Grace + silence)
	defer late.Stop()
	select {
	case f := <-s.answers:
		return s.answer(f)
	case <-s.gone:
		select {
		case f := <-s.answers: // its last word, as of one that was told to end
			return s.answer(f)
		default:
			return nil, errLost
		}
	case <-late.C:
		_ = s.Close()
		return nil, errs.Errorf("", errs.Failed, nil, "it took longer than its timeout of %v", limit)
	case <-ctx.Done():
		_ = s.Close()
		return nil, errs.E("invoke.call", errs.Canceled, nil, context.Cause(ctx))
	}
}

// answer is what a frame says of an event.
func (s *seat) answer(f frame) ([]byte, error) {
	switch f.kind {
	case wire.Value:
		return f.payload, nil
	case wire.Failed:
		failure := new(wire.Failure)
		if err := wire.ParseJSON(f.payload, failure); err != nil {
			return nil, err
		}
		return nil, errs.E("", failure.ErrKind(), nil, errors.New(strings.TrimSpace(failure.Error())))
	}
	_ = s.Close()
	return nil, errs.Errorf("invoke.call", errs.Corrupt, nil, "a frame of type %q", byte(f.kind))
}
