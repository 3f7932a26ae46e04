package functions

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// Handler answers events: `runner invoke` hands it one at a time, in a process that lives on between them. ctx ends
// when the function's timeout has passed, shortly before the process is killed. An error of kind errs.Invalid says that
// another attempt would change nothing; after any other the event is tried again, as the function's manifest says.
type Handler interface {
	Handle(ctx context.Context, event []byte) (result []byte, err error)
}

// Answer is a Handler written with types: events and results are JSON.
//
//	functions.Main(functions.Answer[Order, Receipt]{Handle: func(ctx context.Context, o Order) (Receipt, error) { ... }})
type Answer[In, Out any] struct {
	Name   string // unique in the binary; "main" if empty
	Doc    string // one line
	Handle func(ctx context.Context, event In) (Out, error)
}

// Raw returns the function over bytes.
func (a Answer[In, Out]) Raw() Raw {
	return Raw{Name: a.Name, Doc: a.Doc, Handler: typedHandler[In, Out]{a.Handle}}
}

type typedHandler[In, Out any] struct {
	handle func(context.Context, In) (Out, error)
}

func (t typedHandler[In, Out]) Handle(ctx context.Context, event []byte) ([]byte, error) {
	var in In
	if err := json.Unmarshal(event, &in); err != nil {
		return nil, errs.Errorf("", errs.Invalid, nil, "the event is not as the function wants it: %w", err)
	}
	out, err := t.handle(ctx, in)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// Invocation is what a Handler may know of its event, and where it says something.
type Invocation struct {
	wire.Call
	say func(line string)
}

// invocationKey is the key of the Invocation in a handler's context.
type invocationKey struct{}

// InvocationOf returns what the event of a handler's ctx belongs to; in another ctx it is the zero Invocation.
func InvocationOf(ctx context.Context) Invocation {
	in, _ := ctx.Value(invocationKey{}).(Invocation)
	return in
}

// Logf adds a line to the invocation's log. Lines of several goroutines do not mix.
func (i Invocation) Logf(format string, args ...any) {
	if i.say != nil {
		i.say(fmt.Sprintf(format, args...))
	}
}

// answer is the handler's end of package wire: one conversation, in one goroutine.
func answer(in io.Reader, out, log io.Writer, fns []Raw) error {
	s := &server{in: bufio.NewReader(in), out: &frames{to: out}, log: log}
	version, err := wire.ReadHello(s.in)
	if err != nil {
		return err
	}
	if err := s.send(wire.HelloFrame(min(version, wire.Version))); err != nil {
		return err
	}
	for {
		call, event, err := s.event()
		if errors.Is(err, io.EOF) {
			return nil // no more will come
		}
		if err != nil {
			return err
		}
		if err := s.send(s.reply(call, event, fns)); err != nil {
			return err
		}
	}
}

// event reads what the handler is to answer; io.EOF when there will be nothing any more.
func (s *server) event() (call wire.Call, event []byte, err error) {
	t, payload, err := wire.Read(s.in, nil)
	if err == nil && t != wire.Invoke {
		err = unexpected(t)
	}
	if err == nil {
		err = wire.ParseJSON(payload, &call)
	}
	if err != nil {
		return call, nil, err
	}
	if t, event, err = wire.Read(s.in, nil); err == nil && t != wire.Value {
		err = unexpected(t)
	}
	return call, event, err
}

// reply is the frame that answers an event.
func (s *server) reply(call wire.Call, event []byte, fns []Raw) []byte {
	var result []byte
	err := Protect(func() error {
		raw, err := find(fns, call.Function)
		if err != nil {
			return err
		}
		if raw.Handler == nil {
			return errs.Errorf("functions.Main", errs.Invalid, nil, "function %q handles no events", raw.name())
		}
		ctx := context.WithValue(context.Background(), invocationKey{}, Invocation{call, s.say})
		ctx, cancel := context.WithDeadline(ctx, call.Deadline)
		defer cancel()
		result, err = raw.Handler.Handle(ctx, event)
		return err
	})
	if err == nil && len(result) > wire.MaxData {
		err = errs.Errorf("functions.Main", errs.Invalid, nil, "a result of %d bytes; at most %d can be handed over",
			len(result), wire.MaxData)
	}
	if err == nil {
		return wire.Frame(wire.Value, result)
	}
	failure := wire.Failure{Message: plain(err), Kind: errs.KindOf(err).String()}
	if p, ok := errors.AsType[*Panic](err); ok {
		failure.Message, failure.Where = fmt.Sprintf("panic: %v", p.Value), p.Where
		s.say(string(p.Stack))
	}
	failure.Message = failure.Message[:min(len(failure.Message), wire.MaxControl/8)] // as JSON it may be longer
	frame, err := wire.JSONFrame(wire.Failed, failure)
	if err != nil { // texts always encode, and this one is short
		panic(err)
	}
	return frame
}

// plain is the text of an error without the operations and kinds in front, which mean nothing to who called.
func plain(err error) string {
	for {
		e, ok := err.(*errs.Error)
		if !ok || e.Err == nil || e.Subject != "" {
			return err.Error()
		}
		err = e.Err
	}
}

// say sends lines for the log of the invocation.
func (s *server) say(text string) {
	_ = s.send(wire.Frame(wire.Status, []byte(text[:min(len(text), wire.MaxControl)]))) // the answer fails, too
}

// frames lets several goroutines write whole frames.
type frames struct {
	mu sync.Mutex
	to io.Writer
}

func (f *frames) Write(frame []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.to.Write(frame)
}
