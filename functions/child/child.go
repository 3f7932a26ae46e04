// Package child is the executor's end of package wire: it starts a program with user functions and makes it a Mapper
// or Reducer like any other.
//
//	m, err := child.NewMapper(ctx, child.Command{Argv: []string{"./wc"}, Stderr: log}, child.Task{Attempt: "map-3.0"})
//	if err != nil { return err }
//	defer m.Close()                              // also after an error
//	m.Setup(env); m.MapBatch(lines, out); ...; m.Cleanup(out)
//
// A child works in the background: what it puts out arrives at the Emitter of a later call, in the goroutine of the
// caller, at the latest in Flush or Cleanup. An Emitter that a call was given is used until Flush or Cleanup returned.
//
//	caller ──▶ batch ──▶ queue ──▶ writer goroutine ──▶ stdin  ┌───────┐
//	caller ◀── Emit  ◀── queue ◀── reader goroutine ◀── stdout │ child │ stderr ──▶ log, last lines
//	                                                           └───────┘
//
// The caller never waits for one queue only, so that neither end can block the other for ever.
//
// # Life and death
//
// The child leads a process group of its own. The group is killed when the context ends, when Close finds it alive,
// and when the child itself has ended; on Linux the kernel kills the child when its parent dies, however that came. A
// child that fails, crashes, says what is not in the protocol or loses count is an error of kind Failed, with a
// *wire.Failure in the chain if the child could explain itself, else with its exit status and the last lines of its
// log. An ended context is Canceled.
package child

import (
	"bytes"
	"context"
	"io"
	"os"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/functions/wire"
)

// Command says how to start a program.
type Command = process.Command

// start starts the program in the given mode.
func start(ctx context.Context, command Command, mode string) (*process.Process, error) {
	env := command.Env
	if env == nil {
		env = os.Environ()
	}
	command.Env = append(env[:len(env):len(env)], wire.EnvVar+"="+mode)
	return process.Start(ctx, command)
}

// Task says what the child is for.
type Task struct {
	Function string // which of the program's functions; the only one if empty
	Attempt  string
	Params   functions.Params
	Combiner functions.Ref     // the job's combiner, in the hope that the mapper applies it to what it puts out
	Files    map[string]string // paths of the job's files by their names

	// Partitions is how many reducers there are, if the mapper is to tell its Emitter which of them gets a record; then
	// that is a functions.PartEmitter.
	Partitions int
}

// Mapper is a mapper in another process: a functions.BatchMapper, Typed, Setup, Flusher and Cleanup, and an io.Closer.
// It is used by one goroutine.
type Mapper struct{ *session }

var (
	_ functions.BatchMapper = (*Mapper)(nil)
	_ functions.Typed       = (*Mapper)(nil)
	_ functions.Setup       = (*Mapper)(nil)
	_ functions.Flusher     = (*Mapper)(nil)
	_ functions.Cleanup     = (*Mapper)(nil)
	_ io.Closer             = (*Mapper)(nil)
)

// NewMapper starts a mapper. It returns when the child has agreed, and before the user's own set-up.
func NewMapper(ctx context.Context, cmd Command, task Task) (*Mapper, error) {
	s, err := newSession(ctx, cmd, wire.Map, task)
	if err != nil {
		return nil, err
	}
	return &Mapper{s}, nil
}

// Map hands a record over.
func (m *Mapper) Map(in functions.Record, out functions.Emitter) error {
	if err := m.room(wire.Records, len(in.Key)+len(in.Value), out); err != nil {
		return err
	}
	m.batch.Record(in.Key, in.Value)
	m.handed++
	return nil
}

// MapBatch hands lines over.
func (m *Mapper) MapBatch(lines []byte, out functions.Emitter) (records int64, err error) {
	for len(lines) > 0 {
		n := cutLines(lines, wire.FrameSize)
		if err := m.room(wire.Lines, n, out); err != nil {
			return records, err
		}
		m.batch.Lines(lines[:n])
		count := functions.CountLines(lines[:n])
		records, m.handed = records+count, m.handed+count
		if lines[n-1] != '\n' { // the last line of a file: what follows is not its end
			if err := m.sendBatch(out); err != nil {
				return records, err
			}
		}
		lines = lines[n:]
	}
	return records, nil
}

// cutLines returns the length of as many whole lines as fit size bytes, or of the first if that alone is longer.
func cutLines(lines []byte, size int) int {
	if len(lines) <= size {
		return len(lines)
	}
	if i := bytes.LastIndexByte(lines[:size], '\n'); i >= 0 {
		return i + 1
	}
	if i := bytes.IndexByte(lines[size:], '\n'); i >= 0 {
		return size + i + 1
	}
	return len(lines)
}

// Reducer is a reducer or combiner in another process: a functions.Reducer, Typed, Setup, Flusher and Cleanup, and an
// io.Closer. It is used by one goroutine.
type Reducer struct{ *session }

var (
	_ functions.Reducer = (*Reducer)(nil)
	_ functions.Typed   = (*Reducer)(nil)
	_ functions.Setup   = (*Reducer)(nil)
	_ functions.Flusher = (*Reducer)(nil)
	_ functions.Cleanup = (*Reducer)(nil)
	_ io.Closer         = (*Reducer)(nil)
)

// NewReducer starts a reducer. It returns when the child has agreed, and before the user's own set-up.
func NewReducer(ctx context.Context, cmd Command, task Task) (*Reducer, error) {
	s, err := newSession(ctx, cmd, wire.Reduce, task)
	if err != nil {
		return nil, err
	}
	return &Reducer{s}, nil
}

// NewCombiner starts a combiner, as NewReducer does a reducer.
func NewCombiner(ctx context.Context, cmd Command, task Task) (*Reducer, error) {
	s, err := newSession(ctx, cmd, wire.Combine, task)
	if err != nil {
		return nil, err
	}
	return &Reducer{s}, nil
}

// Reduce hands a key and its values over, a few at a time. They are all read, also if the child does not want them.
func (r *Reducer) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	if err := r.room(wire.Groups, len(key), out); err != nil {
		return err
	}
	r.batch.Key(key)
	for values.Next() {
		value := values.Value()
		if err := r.room(wire.Groups, len(value), out); err != nil {
			return err
		}
		r.batch.Value(value)
		r.handed++
	}
	return nil
}
