package child

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// queue is how many frames wait in each direction.
const queue = 4

// session is a conversation with a child. Mapper and Reducer are made of it.
type session struct {
	proc    *process.Process
	workers sync.WaitGroup // the two goroutines
	closed  chan struct{}  // closed by Close
	send    chan []byte    // frames to the writer, until Close
	written chan []byte    // frames to be used again
	recv    chan frame     // frames from the reader, which closes it after its last
	handled chan []byte    // payloads to be used again
	end     error          // why the reader ended; readable when recv is closed

	values    functions.ValueKind // what the child puts out
	env       functions.Env       // nil before Setup
	batch     wire.Batch
	kind      wire.Type // what is in the batch
	handed    int64     // lines, records or values handed over
	delivered int64     // records that came back
	named     int64     // and went to named outputs
	done      bool      // the child said so, and its counts are ours
	err       error     // the first error: the answer to all further calls
}

// frame is a frame that was read.
type frame struct {
	kind    wire.Type
	payload []byte
	version byte // of a hello
}

func newSession(ctx context.Context, cmd Command, role wire.Role, task Task) (*session, error) {
	proc, err := start(ctx, cmd, wire.EnvServe)
	if err != nil {
		return nil, err
	}
	s := &session{
		proc: proc, closed: make(chan struct{}),
		send: make(chan []byte, queue), written: make(chan []byte, queue),
		recv: make(chan frame, queue), handled: make(chan []byte, queue),
	}
	s.batch.Reset(nil)
	s.workers.Go(s.write)
	s.workers.Go(s.read)
	if err := s.open(role, task); err != nil {
		_ = s.Close() // err says more
		return nil, err
	}
	return s, nil
}

// write is the writer goroutine. It ends with Close. That the child does not listen is no news: the reader learns what
// became of it.
func (s *session) write() {
	var err error
	for f := range s.send {
		if err == nil {
			_, err = s.proc.Stdin.Write(f)
		}
		recycle(s.written, f)
	}
	_ = s.proc.Stdin.Close() // a pipe has nothing left to write
}

// read is the reader goroutine. It ends with the child's output, or with Close.
func (s *session) read() {
	defer close(s.recv)
	in := bufio.NewReader(s.proc.Stdout)
	f := frame{kind: wire.Hello}
	f.version, s.end = wire.ReadHello(in)
	for s.end == nil {
		select {
		case s.recv <- f:
			f.kind, f.payload, s.end = wire.Read(in, reuse(s.handled))
		case <-s.closed:
			return
		}
	}
}

// recycle keeps a buffer for later, unless there are enough or it is huge.
func recycle(to chan<- []byte, buf []byte) {
	if cap(buf) > 2*wire.MaxControl {
		return
	}
	select {
	case to <- buf:
	default:
	}
}

// reuse returns a buffer that was recycled, or nil.
func reuse(from <-chan []byte) []byte {
	select {
	case buf := <-from:
		return buf
	default:
		return nil
	}
}

// open does the beginning of the conversation.
func (s *session) open(role wire.Role, task Task) error {
	o := wire.Open{Role: role, Function: task.Function, Attempt: task.Attempt, Params: task.Params, Files: task.Files}
	o.Partitions = task.Partitions
	if !task.Combiner.IsZero() {
		o.Combiner = task.Combiner.String()
	}
	opening, err := wire.JSONFrame(wire.Opening, o)
	if err != nil {
		return err
	}
	for _, f := range [][]byte{wire.HelloFrame(wire.Version), opening} {
		if err := s.hand(f, nil); err != nil {
			return err
		}
	}
	accept, err := s.await(wire.Accept, nil)
	if err != nil {
		return err
	}
	var a wire.Accepted
	if err := wire.ParseJSON(accept, &a); err != nil {
		return s.fail(err)
	}
	var ok bool
	if s.values, ok = functions.ParseValueKind(a.Values); !ok {
		return s.fail(errs.Errorf("", errs.Failed, nil, "values of kind %q", a.Values))
	}
	return nil
}

// ValueKind says what the child puts out.
func (s *session) ValueKind() functions.ValueKind { return s.values }

// Setup says who takes the child's counters and status. The user's own set-up is called in the child.
func (s *session) Setup(env functions.Env) error {
	s.env = env
	return s.err
}

// Flush waits until all that follows from the calls so far was put out.
func (s *session) Flush(out functions.Emitter) error {
	_, err := s.ask(wire.Flush, wire.Flush, out)
	return err
}

// Cleanup ends the conversation: the rest is put out, and both ends compare their counts.
func (s *session) Cleanup(out functions.Emitter) error {
	last, err := s.ask(wire.End, wire.Finished, out)
	if err != nil {
		return err
	}
	var d wire.Done
	if err := wire.ParseJSON(last, &d); err != nil {
		return s.fail(err)
	}
	if d != (wire.Done{In: s.handed, Out: s.delivered, Named: s.named}) {
		return s.fail(errs.Errorf("", errs.Failed, nil, "it counted %d in and %d out, but %d went in and %d came out",
			d.In, d.Out+d.Named, s.handed, s.delivered+s.named))
	}
	s.done = true
	return nil
}

// Close ends the child and all that it started, and frees everything. It may be called again.
func (s *session) Close() error {
	select {
	case <-s.closed:
		return nil
	default:
	}
	close(s.closed)
	close(s.send)
	if s.done {
		s.proc.Await(process.Grace)
	}
	s.proc.Kill()
	<-s.proc.Gone
	err := s.proc.Stdout.Close() // somebody else may have the other end
	s.workers.Wait()
	return err
}

// ask sends what is in the batch and a request, and returns the payload of the answer.
func (s *session) ask(request, answer wire.Type, out functions.Emitter) ([]byte, error) {
	if err := s.sendBatch(out); err != nil {
		return nil, err
	}
	if err := s.hand(wire.Frame(request, nil), out); err != nil {
		return nil, err
	}
	return s.await(answer, out)
}

// room sends the batch if it holds something else, or if n more bytes make it too long.
func (s *session) room(kind wire.Type, n int, out functions.Emitter) error {
	if s.err == nil && (s.batch.Empty() || s.kind == kind && s.batch.Fits(n)) {
		s.kind = kind
		return nil
	}
	err := s.sendBatch(out)
	s.kind = kind
	return err
}

func (s *session) sendBatch(out functions.Emitter) error {
	if s.err != nil {
		return s.err
	}
	if s.batch.Empty() {
		return nil
	}
	f, err := s.batch.Frame(s.kind)
	if err != nil {
		return s.fail(err)
	}
	s.batch.Reset(reuse(s.written))
	if err := s.hand(f, out); err != nil {
		return err
	}
	return s.drain(out)
}

// hand gives a frame to the writer, and delivers what comes before the writer has it. What comes afterwards may be the
// answer, so it is left for await.
func (s *session) hand(f []byte, out functions.Emitter) error {
	for s.err == nil {
		select {
		case s.send <- f:
			return nil
		case got, ok := <-s.recv:
			s.deliver(got, ok, out)
		case <-s.proc.Gone:
			got, ok := s.receive()
			s.deliver(got, ok, out)
		}
	}
	return s.err
}

// drain delivers what is there.
func (s *session) drain(out functions.Emitter) error {
	for s.err == nil {
		select {
		case got, ok := <-s.recv:
			s.deliver(got, ok, out)
		default:
			return nil
		}
	}
	return s.err
}

// await delivers what comes until there is a frame of the wanted kind, and returns its payload.
func (s *session) await(want wire.Type, out functions.Emitter) ([]byte, error) {
	for s.err == nil {
		got, ok := s.receive()
		if ok && got.kind == want {
			return got.payload, nil
		}
		s.deliver(got, ok, out)
	}
	return nil, s.err
}

// receive waits for a frame. A child that is gone says no more than what is in the pipe, whoever else may still hold
// the other end of it.
func (s *session) receive() (f frame, ok bool) {
	select {
	case f, ok = <-s.recv:
	case <-s.proc.Gone:
		_ = s.proc.Stdout.SetReadDeadline(time.Now().Add(process.Grace)) // a pipe can
		f, ok = <-s.recv
	}
	return f, ok
}

// deliver handles a frame, or the end of them if ok is false. Its error is s.err.
func (s *session) deliver(f frame, ok bool, out functions.Emitter) {
	if !ok {
		s.lost()
		return
	}
	switch {
	case f.kind == wire.Hello:
		if f.version > wire.Version {
			_ = s.fail(errs.Errorf("", errs.Unsupported, nil, "it speaks version %d of the protocol, not %d",
				f.version, wire.Version))
		}
	case (f.kind == wire.Records || f.kind == wire.Placed) && out != nil:
		if err := s.emit(f, out); err != nil && s.err == nil {
			s.err = err // of the Emitter: told as it is
		}
	case f.kind == wire.Named && s.env != nil:
		if err := s.emitNamed(f.payload); err != nil && s.err == nil {
			s.err = err
		}
	case f.kind == wire.Counters:
		s.count(f.payload)
	case f.kind == wire.Status:
		if s.env != nil {
			s.env.Status(string(bytes.ToValidUTF8(f.payload, []byte("?"))))
		}
	case f.kind == wire.Failed:
		failure := &wire.Failure{}
		if err := wire.ParseJSON(f.payload, failure); err != nil {
			_ = s.fail(err)
			return
		}
		_ = s.fail(errs.E("", failure.ErrKind(), nil, failure))
	default:
		_ = s.fail(errs.Errorf("", errs.Failed, nil, "a frame of type %q has no place here", byte(f.kind)))
	}
	recycle(s.handled, f.payload)
}

// emit puts out the records of a frame.
func (s *session) emit(f frame, out functions.Emitter) error {
	payload, ints := f.payload, functions.Int64Out(out)
	parts, knows := out.(functions.PartEmitter)
	if placed := f.kind == wire.Placed; placed != knows {
		return s.fail(errs.Errorf("", errs.Failed, nil, "a frame of type %q has no place here", byte(f.kind)))
	}
	for len(payload) > 0 {
		if knows {
			reducer, rest, err := wire.CutPart(payload)
			if err != nil {
				return s.fail(err)
			}
			parts.Part(reducer)
			payload = rest
		}
		key, value, rest, err := wire.CutRecord(payload)
		if err != nil {
			return s.fail(err)
		}
		payload = rest
		s.delivered++
		if s.values != functions.ValueInt64 {
			if err := out.Emit(key, value); err != nil {
				return err
			}
			continue
		}
		v, err := functions.DecodeInt64(value)
		if err != nil {
			return s.fail(err)
		}
		if err := ints.EmitInt64(key, v); err != nil {
			return err
		}
	}
	return nil
}

// emitNamed puts out the records of a frame to the outputs that they name.
func (s *session) emitNamed(payload []byte) error {
	for len(payload) > 0 {
		output, _, rest, err := wire.CutRecord(payload)
		if err != nil {
			return s.fail(err)
		}
		key, value, rest, err := wire.CutRecord(rest)
		if err != nil {
			return s.fail(err)
		}
		payload = rest
		s.named++
		if err := functions.EmitTo(s.env, string(output), key, value); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) count(payload []byte) {
	var news map[string]map[string]int64
	if err := wire.ParseJSON(payload, &news); err != nil {
		_ = s.fail(err)
		return
	}
	if s.env == nil {
		return
	}
	for group, names := range news {
		for name, delta := range names {
			s.env.Count(group, name, delta)
		}
	}
}

// lost finds out why there is no more to read.
func (s *session) lost() {
	switch err := s.end; {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, os.ErrDeadlineExceeded):
	default:
		_ = s.fail(errs.Errorf("", errs.Failed, nil, "%w; does its main function begin with functions.Main?", err))
		return
	}
	s.proc.Await(process.Grace)
	s.proc.Kill()
	<-s.proc.Gone
	_ = s.fail(s.proc.Ended())
}

// fail keeps the first error. An ended context explains everything else.
func (s *session) fail(err error) error {
	if s.err == nil {
		if cause := s.proc.Canceled(); cause != nil {
			err = errs.E("", errs.Canceled, nil, cause)
		}
		kind := errs.Other
		if k := errs.KindOf(err); k == errs.Other || k == errs.Corrupt {
			kind = errs.Failed
		}
		s.err = errs.E("child.Run", kind, s.proc.Name, err)
	}
	return s.err
}
