package functions

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/nearest"
)

// serve is the child's end of package wire: one conversation, in one goroutine. It has told the executor about the
// error that it returns, unless it is the executor that is gone.
func serve(in io.Reader, out, log io.Writer, fns []Raw) error {
	s := &server{in: bufio.NewReader(in), out: out, log: log, news: counters{}}
	s.batch.Reset(nil)
	s.named.Reset(nil)
	err := Protect(func() error { return s.converse(fns) })
	if err == nil {
		return nil
	}
	failure := &wire.Failure{Message: err.Error(), Record: s.record, Kind: errs.KindOf(err).String()}
	if s.key != nil {
		failure.Key = fmt.Sprintf("%.80q", s.key)
	}
	var p *Panic
	if errors.As(err, &p) {
		failure.Message, failure.Where = fmt.Sprintf("panic: %v", p.Value), p.Where
		fmt.Fprintf(log, "%s\n", p.Stack) // the log is the last resort: nowhere to tell that it is gone
	}
	_ = s.sendJSON(wire.Failed, failure) // if the executor is gone there is nobody to tell
	return err
}

type counters map[string]map[string]int64

// server is the state of a conversation.
type server struct {
	in  *bufio.Reader
	out io.Writer
	log io.Writer

	params   Params
	files    map[string]string // paths by name
	attempt  string
	key      []byte                        // that the user's function is at, if it gets keys
	frame    []byte                        // the payload that was read last; reused
	unread   wire.Type                     // of that frame, if it is to be read again
	batch    wire.Batch                    // records to be sent
	place    func(key []byte) (int, error) // which reducer gets a key; nil: not said
	named    wire.Batch                    // records to be sent to named outputs
	done     wire.Done
	record   int64 // the line, record or key that the user's function is at, from 1
	news     counters
	status   string    // to be sent, if not empty
	reported time.Time // when counters and status were sent last
}

// body is a function in its role.
type body interface {
	take(t wire.Type, payload []byte) error // handles a frame of data
	flush() error                           // puts out what follows from the data so far
	end() error                             // flushes and ends
	close() error                           // releases what the function holds
}

func (s *server) converse(fns []Raw) error {
	b, err := s.open(fns)
	if err != nil {
		return err
	}
	err = s.work(b)
	if closeErr := b.close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return s.sendJSON(wire.Finished, s.done)
}

// work does what the executor says until it says that this is the end.
func (s *server) work(b body) error {
	for {
		t, payload, err := s.read()
		if err != nil {
			return err
		}
		switch t {
		case wire.Lines, wire.Records, wire.Groups:
			if err = b.take(t, payload); err == nil {
				err = s.report()
			}
		case wire.Flush:
			if err = s.catchUp(b.flush); err == nil {
				err = s.send(wire.Frame(wire.Flush, nil))
			}
		case wire.End:
			return s.catchUp(b.end)
		default:
			err = unexpected(t)
		}
		if err != nil {
			return err
		}
	}
}

func unexpected(t wire.Type) error {
	return errs.Errorf("functions.Main", errs.Corrupt, nil, "a frame of type %q has no place here", byte(t))
}

// catchUp puts out what a body still has, and sends all of it.
func (s *server) catchUp(rest func() error) error {
	if err := rest(); err != nil {
		return err
	}
	if err := s.sendBatch(); err != nil {
		return err
	}
	if err := s.sendNamed(); err != nil {
		return err
	}
	return s.report()
}

// open does the beginning of the conversation, up to the user's Setup.
func (s *server) open(fns []Raw) (body, error) {
	version, err := wire.ReadHello(s.in)
	if err != nil {
		return nil, err
	}
	if err := s.send(wire.HelloFrame(min(version, wire.Version))); err != nil {
		return nil, err
	}
	t, opening, err := s.read()
	if err != nil {
		return nil, err
	}
	if t != wire.Opening {
		return nil, unexpected(t)
	}
	var o wire.Open
	if err := wire.ParseJSON(opening, &o); err != nil {
		return nil, err
	}
	raw, err := find(fns, o.Function)
	if err != nil {
		return nil, err
	}
	s.attempt, s.files = o.Attempt, o.Files
	if s.params, err = Params(o.Params).Complete(raw.Params); err != nil {
		return nil, err
	}
	return s.newBody(raw, o)
}

func find(fns []Raw, name string) (Raw, error) {
	var names []string
	for _, f := range fns {
		if f.name() == name || name == "" && len(fns) == 1 {
			return f, nil
		}
		names = append(names, f.name())
	}
	return Raw{}, errs.Errorf("functions.Main", errs.Invalid, nil, "there is no function %q%s",
		name, nearest.Hint(name, names))
}

func (s *server) newBody(raw Raw, o wire.Open) (body, error) {
	if raw.Handler != nil {
		return nil, errs.Errorf("functions.Main", errs.Invalid, nil, "function %q handles events; it cannot %s", raw.name(),
			o.Role)
	}
	reducer := raw.Reducer
	switch o.Role {
	case wire.Map:
		if o.Partitions > 0 {
			if err := s.partition(raw, o.Partitions); err != nil {
				return nil, err
			}
		}
		return s.newMapBody(raw, o.Combiner)
	case wire.Combine:
		reducer = raw.Combiner
	case wire.Reduce:
	default:
		return nil, errs.Errorf("functions.Main", errs.Unsupported, nil, "role %q is unknown", o.Role)
	}
	if reducer == nil {
		return nil, errs.Errorf("functions.Main", errs.Invalid, nil, "function %q cannot %s", raw.name(), o.Role)
	}
	return s.newGroupBody(reducer())
}

// accept tells the executor what the function puts out, and the function about the attempt.
func (s *server) accept(function any) error {
	if err := s.sendJSON(wire.Accept, wire.Accepted{Values: ValueKindOf(function).String()}); err != nil {
		return err
	}
	if f, ok := function.(Setup); ok {
		return f.Setup(env{s})
	}
	return nil
}

// read reads a frame, valid until the next one. That there is none, before the end, means that the executor is gone.
func (s *server) read() (wire.Type, []byte, error) {
	if t := s.unread; t != 0 {
		s.unread = 0
		return t, s.frame, nil
	}
	if cap(s.frame) > 2*wire.MaxControl {
		s.frame = nil // one huge record shall not cost memory for ever
	}
	t, payload, err := wire.Read(s.in, s.frame)
	if errors.Is(err, io.EOF) {
		err = errs.Errorf("functions.Main", errs.Canceled, nil, "the executor is gone")
	}
	s.frame = payload
	return t, payload, err
}

func (s *server) send(frame []byte) error {
	_, err := s.out.Write(frame)
	return err
}

func (s *server) sendJSON(t wire.Type, v any) error {
	frame, err := wire.JSONFrame(t, v)
	if err != nil {
		return err
	}
	return s.send(frame)
}

func (s *server) sendBatch() error {
	if s.place != nil {
		return s.sendRecords(wire.Placed, &s.batch)
	}
	return s.sendRecords(wire.Records, &s.batch)
}

func (s *server) sendNamed() error { return s.sendRecords(wire.Named, &s.named) }

func (s *server) sendRecords(t wire.Type, b *wire.Batch) error {
	if b.Empty() {
		return nil
	}
	frame, err := b.Frame(t)
	if err != nil {
		return err
	}
	err = s.send(frame)
	if cap(frame) > 2*wire.MaxControl {
		frame = nil
	}
	b.Reset(frame)
	return err
}

// Emit and EmitInt64 make the server the Emitter of the user's function.
func (s *server) Emit(key, value []byte) error {
	if err := s.room(key, len(key)+len(value)); err != nil {
		return err
	}
	s.batch.Record(key, value)
	return nil
}

func (s *server) EmitInt64(key []byte, value int64) error {
	if err := s.room(key, len(key)); err != nil {
		return err
	}
	s.batch.Int64Record(key, value)
	return nil
}

// room sends the batch if a record of n bytes makes it too long, and says where the record goes.
func (s *server) room(key []byte, n int) error {
	s.done.Out++
	if !s.batch.Fits(n) {
		if err := s.sendBatch(); err != nil {
			return err
		}
	}
	if s.place == nil {
		return nil
	}
	reducer, err := s.place(key)
	if err != nil {
		return err
	}
	s.batch.Part(reducer)
	return nil
}

// partition lets the function say which of so many reducers gets a key.
func (s *server) partition(raw Raw, reducers int) error {
	if raw.Partition == nil {
		return errs.Errorf("functions.Main", errs.Invalid, nil, "function %q has no Partition", raw.name())
	}
	s.place = func(key []byte) (int, error) {
		n := raw.Partition(key, reducers)
		if n < 0 || n >= reducers {
			return 0, errs.Errorf("functions.Main", errs.Failed, nil, "Partition gives %.40q to reducer %d of %d", key, n,
				reducers)
		}
		return n, nil
	}
	return nil
}

// report sends counters and status, if there is news.
func (s *server) report() error {
	if len(s.news) > 0 {
		if err := s.sendJSON(wire.Counters, s.news); err != nil {
			return err
		}
		clear(s.news)
	}
	if s.status != "" {
		if err := s.send(wire.Frame(wire.Status, []byte(s.status))); err != nil {
			return err
		}
		s.status = ""
	}
	s.reported = time.Now()
	return nil
}

// env is what a user's function sees of the server.
type env struct{ s *server }

func (e env) Attempt() string { return e.s.attempt }

func (e env) Param(name string) (string, bool) {
	value, ok := e.s.params[name]
	return value, ok
}

// EmitTo implements Outputs.
func (e env) EmitTo(output string, key, value []byte) error {
	b := &e.s.named
	if !b.Fits(len(output) + len(key) + len(value)) {
		if err := e.s.sendNamed(); err != nil {
			return err
		}
	}
	e.s.done.Named++
	b.Record([]byte(output), nil)
	b.Record(key, value)
	return nil
}

// File implements Files.
func (e env) File(name string) (string, bool) {
	path, ok := e.s.files[name]
	return path, ok
}

func (e env) Count(group, name string, delta int64) {
	g := e.s.news[group]
	if g == nil {
		g = map[string]int64{}
		e.s.news[group] = g
	}
	g[name] += delta
}

// Status is sent at once, but not more often than people can read. That the executor is gone shows soon enough.
func (e env) Status(line string) {
	const maxStatus, pause = 1000, 200 * time.Millisecond
	e.s.status = line[:min(len(line), maxStatus)]
	if time.Since(e.s.reported) > pause {
		_ = e.s.report() // the next frame of records fails too
	}
}

func (e env) Logf(format string, args ...any) {
	fmt.Fprintf(e.s.log, format+"\n", args...) // the log is the last resort: nowhere to tell that it is gone
}
