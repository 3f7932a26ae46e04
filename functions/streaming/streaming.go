// Package streaming runs programs in any language as mappers, combiners and reducers, by Hadoop Streaming's protocol:
// records are lines of text on standard input and output.
//
//	            mapper                              reducer
//	stdin       value (text input)                  key TAB value, sorted by key:
//	            or key TAB value (other formats)    a line for each value
//	stdout      key TAB value                       key TAB value
//	stderr      reporter:counter:GROUP,NAME,AMOUNT
//	            reporter:status:TEXT
//	            anything else: the log
//	the file    key TAB value, for a named output of the job (functions.Outputs); the environment's variable
//	            mapreduce_multipleoutputs_NAME says the file, which is a pipe
//
// A line without TAB is a key without a value. For speed, and for keys and values with any bytes in them, both sides
// can be binary (see codec): stream.map.input and the like are rawbytes or typedbytes then. The separators, and how
// many fields the key has, are set by parameters with Hadoop's names (see layouts). Programs find the job's parameters
// and where they are in their environment.
//
// A program runs from its first record to Flush or Cleanup, which end its input and wait for it. So a combiner runs
// once for each of its passes. A mapper or reducer runs at least once, also over nothing. A program may end before it
// has read everything: status 0 says that it wants no more. Any other status is an error of kind Failed, with the last
// lines that the program printed.
//
//	caller ──▶ writer goroutine ──▶ stdin  ┌─────────┐
//	caller ◀── reader goroutine ◀── stdout │ program │ stderr ──▶ messages ──▶ Env, log
//	caller ◀── reader goroutine ◀── /dev/fd/3 and on │
//	                                       └─────────┘
//
// While the writer writes, the caller takes what the program puts out, so that neither waits for the other for ever.
package streaming

import (
	"context"
	"io"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/infra/errs"
)

// Options say what to run.
type Options struct {
	Command string    // a command line for the shell
	Dir     string    // where it runs
	Env     []string  // its environment
	Stderr  io.Writer // gets what it prints and what is no message, in one goroutine; nil: nobody does
	Params  functions.Params

	// Parts says that each line that a mapper puts out begins with the number of the reducer that gets it, and a TAB.
	Parts bool

	// Outputs are the named outputs that the program can write to, if the Env of its Setup is a functions.Outputs.
	Outputs []string

	// Values is the kind of the values that a combiner or reducer gets. The program sees numbers in decimal.
	Values functions.ValueKind
}

// Mapper is a mapper that is a program. It is used by one goroutine; the Env of Setup also by another.
type Mapper struct {
	*program
	ignoreKey bool
}

var (
	_ functions.BatchMapper = (*Mapper)(nil)
	_ functions.FileMapper  = (*Mapper)(nil)
	_ functions.Typed       = (*Mapper)(nil)
	_ functions.Setup       = (*Mapper)(nil)
	_ functions.Flusher     = (*Mapper)(nil)
	_ functions.Cleanup     = (*Mapper)(nil)
	_ io.Closer             = (*Mapper)(nil)
)

// NewMapper returns a mapper. The program lives no longer than ctx. Wrong parameters are errs.Invalid.
func NewMapper(ctx context.Context, o Options) (*Mapper, error) {
	l, err := parseLayouts("map", o.Params)
	if err != nil {
		return nil, err
	}
	if o.Parts && l.out.codec != text {
		return nil, errs.Errorf("streaming.Params", errs.Unsupported, nil,
			"the mapper says which reducer gets a record, and "+
				"puts out %s: it can do so in text alone", l.out.codec)
	}
	return &Mapper{newProgram(ctx, o, l), o.Params["stream.map.input.ignoreKey"] == "true"}, nil
}

// Map hands a record over.
func (m *Mapper) Map(in functions.Record, out functions.Emitter) error {
	key := in.Key
	if m.ignoreKey {
		key = nil
	}
	m.buf = m.layouts.in.value(m.layouts.in.key(m.buf, key), in.Value)
	return m.written(out)
}

// File begins another piece: a program learns from its environment which file it reads, so it ends and begins again.
func (m *Mapper) File(at functions.FilePiece, out functions.Emitter) error {
	if m.file != nil && m.file.URI != at.URI {
		if err := m.Flush(out); err != nil {
			return err
		}
	}
	m.file = &at
	return nil
}

// Cleanup waits for the program, and lets it see an empty input if it has seen none.
func (m *Mapper) Cleanup(out functions.Emitter) error { return m.finish(out) }

// Reducer is a reducer or combiner that is a program. It is used by one goroutine; the Env of Setup also by another.
type Reducer struct {
	*program
	combines bool
}

var (
	_ functions.Reducer = (*Reducer)(nil)
	_ functions.Typed   = (*Reducer)(nil)
	_ functions.Setup   = (*Reducer)(nil)
	_ functions.Flusher = (*Reducer)(nil)
	_ functions.Cleanup = (*Reducer)(nil)
	_ io.Closer         = (*Reducer)(nil)
)

// NewReducer returns a reducer. The program lives no longer than ctx. Wrong parameters are errs.Invalid.
func NewReducer(ctx context.Context, o Options) (*Reducer, error) {
	l, err := parseLayouts("reduce", o.Params)
	if err != nil {
		return nil, err
	}
	return &Reducer{program: newProgram(ctx, o, l)}, nil
}

// NewCombiner returns a combiner, which speaks as a mapper does in Hadoop: by the mapper's output separators.
func NewCombiner(ctx context.Context, o Options) (*Reducer, error) {
	l, err := parseLayouts("map", o.Params)
	if err != nil {
		return nil, err
	}
	l.in.sep, l.in.codec = l.out.sep, l.out.codec
	r := &Reducer{program: newProgram(ctx, o, l), combines: true}
	r.int64s = o.Values == functions.ValueInt64
	return r, nil
}

// Reduce hands a key and its values over, a line each.
func (r *Reducer) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	for values.Next() {
		r.buf = r.layouts.in.key(r.buf, key)
		if err := r.appendValue(values.Value()); err != nil {
			return err
		}
		if err := r.written(out); err != nil {
			return err
		}
	}
	return nil
}

// appendValue appends a value.
func (r *Reducer) appendValue(value []byte) error {
	if r.opts.Values != functions.ValueInt64 {
		r.buf = r.layouts.in.value(r.buf, value)
		return nil
	}
	n, err := functions.DecodeInt64(value)
	if err == nil {
		r.buf = r.layouts.in.number(r.buf, n)
	}
	return err
}

// Cleanup waits for the program. A reducer sees an empty input if it has seen none; a combiner of nothing need not run.
func (r *Reducer) Cleanup(out functions.Emitter) error {
	if r.combines {
		return r.Flush(out)
	}
	return r.finish(out)
}

// ValueKind says that programs put out text.
func (p *program) ValueKind() functions.ValueKind { return functions.ValueText }

// Setup says who takes the program's counters and status.
func (p *program) Setup(env functions.Env) error {
	p.env = env
	return nil
}

// shell returns the program and arguments that run a command line.
func shell(command string) []string { return []string{"/bin/sh", "-c", command} }

// newProgram returns a program that does not run yet.
func newProgram(ctx context.Context, o Options, l layouts) *program {
	p := &program{opts: o, layouts: l}
	p.start = func(env []string, stderr io.Writer) (*process.Process, error) {
		proc, err := process.Start(ctx, process.Command{
			Argv: shell(o.Command), Dir: o.Dir, Env: env, Stderr: stderr, Aside: l.reporter, Extra: len(o.Outputs),
		})
		if proc != nil {
			proc.Name = o.Command
		}
		return proc, err
	}
	return p
}
