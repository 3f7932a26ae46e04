package invoke

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// handler is the host's end of a process that answers events, one at a time: see package wire. It is used by one
// goroutine at a time.
type handler struct {
	proc  *process.Process
	out   *bufio.Reader
	log   *logSwitch
	timer *time.Timer // ends it when it has been idle for too long
	frame []byte      // reused
	temp  string      // the folder for its temporary files
	late  bool        // it was killed for taking too long, even if its answer came at that moment
	fat   atomic.Bool // it was killed for its memory
}

// begin is how long a program may take until it speaks.
const begin = 30 * time.Second

// startHandler starts a program and waits for its hello.
func startHandler(ctx context.Context, cmd process.Command, memory int64) (*handler, error) {
	log := &logSwitch{}
	cmd.Stderr = log
	proc, err := process.Start(ctx, cmd)
	if err != nil {
		return nil, errs.Errorf("", errs.Failed, nil, "its handler cannot be started: %s", errs.Cause(err))
	}
	h := &handler{proc: proc, out: bufio.NewReader(proc.Stdout), log: log}
	err = h.within(begin, func() error {
		if _, err := proc.Stdin.Write(wire.HelloFrame(wire.Version)); err != nil {
			return err
		}
		_, err := wire.ReadHello(h.out)
		return err
	})
	if err == nil {
		go h.weigh(memory)
		return h, nil
	}
	h.end()
	switch {
	case ctx.Err() != nil:
		return nil, errs.E("invoke.start", errs.Canceled, nil, context.Cause(ctx))
	case errors.Is(err, errSilent):
		return nil, errs.Errorf("", errs.Failed, nil, "its handler did not begin to speak within %v, and was killed", begin)
	case errors.Is(err, errs.Corrupt) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errs.Errorf("", errs.Failed, nil, "its handler does not speak as one should: %s", errs.Cause(err))
	}
	return nil, errs.Errorf("", errs.Failed, nil, "its handler %s", h.death())
}

// weigh kills the process when it uses more memory than it may. It ends with the process.
func (h *handler) weigh(most int64) {
	const every = 200 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-h.proc.Gone:
			return
		case <-tick.C:
		}
		if h.proc.Memory() > most {
			h.fat.Store(true)
			h.proc.Kill()
		}
	}
}

// errSilent says that a handler took too long.
var errSilent = errors.New("silent")

// within does what talks with the process; when it takes longer, the process is killed, and the error is errSilent.
func (h *handler) within(limit time.Duration, talk func() error) error {
	timer := time.AfterFunc(limit, h.proc.Kill)
	err := talk()
	if h.late = !timer.Stop(); h.late && err != nil {
		return errSilent
	}
	return err
}

// call hands an event over and waits for the answer. alive says whether the handler can be given another one.
func (h *handler) call(call wire.Call, event []byte, limit time.Duration) (result []byte, alive bool, err error) {
	head, err := wire.JSONFrame(wire.Invoke, call)
	if err != nil {
		return nil, true, err
	}
	var failure *wire.Failure
	err = h.within(limit, func() (err error) {
		if _, err = h.proc.Stdin.Write(append(head, wire.Frame(wire.Value, event)...)); err == nil {
			result, failure, err = h.answer()
		}
		return err
	})
	if err != nil || h.late {
		h.end()
	}
	switch {
	case err == nil && failure != nil:
		return nil, !h.late, errs.E("", failure.ErrKind(), nil, errors.New(strings.TrimSpace(failure.Error())))
	case err == nil:
		return result, !h.late, nil
	}
	switch canceled := h.proc.Canceled(); {
	case canceled != nil:
		err = errs.E("invoke.call", errs.Canceled, nil, canceled)
	case h.fat.Load():
		err = errs.Errorf("", errs.Failed, nil, "its handler used more memory than the function may, and was killed")
	case errors.Is(err, errSilent):
		err = errs.Errorf("", errs.Failed, nil, "it took longer than its timeout of %v, and its handler was killed", limit)
	case errors.Is(err, errs.Exhausted), errors.Is(err, errs.Corrupt) && !errors.Is(err, io.ErrUnexpectedEOF):
		err = errs.Errorf("", errs.Failed, nil, "its handler does not answer as one should (%s), and was killed",
			errs.Cause(err))
	default:
		err = errs.Errorf("", errs.Failed, nil, "its handler %s", h.death())
	}
	return nil, false, err
}

// answer reads frames up to the answer.
func (h *handler) answer() (result []byte, failure *wire.Failure, err error) {
	for {
		kind, payload, err := wire.Read(h.out, h.frame)
		if err != nil {
			return nil, nil, err
		}
		if h.frame = payload; cap(h.frame) > 2*wire.MaxControl {
			h.frame = nil // one huge answer shall not cost memory for ever
		}
		switch kind {
		case wire.Status:
			h.log.line(payload)
		case wire.Failed:
			failure = new(wire.Failure)
			return nil, failure, wire.ParseJSON(payload, failure)
		case wire.Value:
			if len(payload) > MaxPayload {
				return nil, nil, errs.Errorf("", errs.Exhausted, nil, "a result of %d bytes, %d allowed", len(payload), MaxPayload)
			}
			return append([]byte{}, payload...), nil, nil
		default:
			return nil, nil, errs.Errorf("", errs.Corrupt, nil, "a frame of type %q", byte(kind))
		}
	}
}

// end ends the process: it is asked to, by the end of its input, and made to.
func (h *handler) end() {
	_ = h.proc.Stdin.Close() // a pipe has nothing left to write
	h.proc.Await(process.Grace)
	h.proc.Kill()
	<-h.proc.Gone
	_ = h.proc.Stdout.Close() // nobody reads any more
	_ = os.RemoveAll(h.temp)  // likewise; what stays goes with this process
	h.log.close()
}

// death says in one sentence how the process ended.
func (h *handler) death() string {
	return strings.Join(strings.Fields(errs.Cause(h.proc.Ended())), " ")
}

// logSwitch sends what a process says to the log of the invocation that it works on.
type logSwitch struct {
	mu   sync.Mutex
	to   io.WriteCloser // nil: what is said now belongs to no invocation
	size int64
}

// maxLog bounds the log of one attempt, in bytes.
const maxLog = 1 << 20

// point sends what comes from now on to another log, which it closes when that one has all.
func (l *logSwitch) point(to io.WriteCloser) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to != nil {
		_ = l.to.Close() // the log is the last resort: nowhere to tell that it is gone
	}
	l.to, l.size = to, 0
}

func (l *logSwitch) close() { l.point(nil) }

// line writes one line.
func (l *logSwitch) line(text []byte) {
	_, _ = l.Write(append(text[:len(text):len(text)], '\n')) // likewise
}

// Write never fails: what cannot be logged is lost.
func (l *logSwitch) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if room := maxLog - l.size; l.to != nil && room > 0 {
		n, _ := l.to.Write(text[:min(int64(len(text)), room)])
		l.size += int64(n)
	}
	return len(text), nil
}

// logFile is a file that is made when there is something to write.
type logFile struct {
	path string
	file *os.File
}

// Write appends to the file.
func (l *logFile) Write(text []byte) (int, error) {
	if l.file == nil {
		if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
			return 0, err
		}
		var err error
		if l.file, err = os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return 0, err
		}
	}
	return l.file.Write(text)
}

// Close closes the file, if there is one. What is written later opens it again.
func (l *logFile) Close() error {
	if l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	return file.Close()
}
