package functions

import "github.com/seed3322913c/runner/infra/errs"

// Outputs is the ability of an Env to put records out beside the function's Emitter: each named output of a job
// (outputs: in the spec) has files and a format of its own, as with Hadoop's MultipleOutputs.
type Outputs interface {
	// EmitTo puts a record out to a named output, as Emitter.Emit does. It fails with errs.Invalid if the job has no
	// output of that name, and in combiners, which run any number of times.
	EmitTo(output string, key, value []byte) error
}

// EmitTo puts a record out to a named output of the job: see Outputs.
func EmitTo(env Env, output string, key, value []byte) error {
	o, ok := env.(Outputs)
	if !ok {
		return errs.Errorf("functions.EmitTo", errs.Invalid, nil, "there are no named outputs here, so no %q", output)
	}
	return o.EmitTo(output, key, value)
}

// To returns what puts typed records out to a named output of the job, to be made by Setup:
//
//	Setup: func(env functions.Env) error { bad = functions.To[string, int64](env, "bad"); return nil }
//
// Records are written as those that a reducer emits.
func To[K, V any](env Env, output string) func(key K, value V) error {
	s := newSink(KeyCodec[K](), ValueCodec[V](), true)
	s.begin(namedEmitter{env, output})
	return func(key K, value V) error {
		s.put(key, value)
		return s.err
	}
}

// namedEmitter is the Emitter of a named output.
type namedEmitter struct {
	env    Env
	output string
}

func (e namedEmitter) Emit(key, value []byte) error { return EmitTo(e.env, e.output, key, value) }

// LineEmitter is the ability of an Emitter that writes text to take many records at once, as it would write them: a run
// of whole lines, key TAB value each, with their ends.
type LineEmitter interface {
	Emitter
	EmitLines(lines []byte) error
}

// FileMapper is the ability of a Mapper to be told where its next records come from.
type FileMapper interface {
	Mapper
	// File is called before the first record of each piece of a file. It may put out records.
	File(at FilePiece, out Emitter) error
}

// FilePiece is a part of an input file.
type FilePiece struct {
	URI            string
	Offset, Length int64 // in bytes
}
