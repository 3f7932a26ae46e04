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

// PartEmitter is the ability of an Emitter to be told where the next record goes, by functions that partition their
// records themselves.
type PartEmitter interface {
	Emitter
	// Part says which reducer gets the next record, from 0.
	Part(reducer int)
}

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

// Files is the ability of an Env to find the files that the job names (files: and archives: in the spec). In a job
// every Env has it.
type Files interface {
	Env
	// File returns the path of a file, or of the folder with what is in an archive, by the name that the spec gives it.
	// It may be read and not changed. ok is false if the job has none of that name.
	File(name string) (path string, ok bool)
}

// File returns the path of one of the job's files: see Files. That the job has none of that name is an error of kind
// Invalid.
func File(env Env, name string) (string, error) {
	if e, able := env.(Files); able {
		if path, ok := e.File(name); ok {
			return path, nil
		}
	}
	return "", errs.Errorf("functions.File", errs.Invalid, nil,
		"the job has no file %s; name it, as in files: [PATH#%[1]s]",
		name)
}
