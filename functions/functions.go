// Package functions is what people write: mappers, combiners and reducers, and how they are packed and tested.
//
// There are two ways to write a function. The typed way is a few lines with generics, and no reflection where records
// flow:
//
//	func main() {
//		functions.Main(functions.MapReduce[string, int64]{
//			Map: func(line []byte, emit func(string, int64)) error {
//				for _, w := range bytes.Fields(line) {
//					emit(string(w), 1)
//				}
//				return nil
//			},
//			Combine: functions.Sum[int64](), // without a Reduce, what it folds to is the result
//		})
//	}
//
// The raw way implements the interfaces of this file over byte slices, for those who count nanoseconds; the built-in
// functions (package builtin) are written so.
//
// Where a function runs is not its business: built-ins run inside the executor; a package's functions run in a child
// process of the executor (package child), which speaks the protocol of package wire over its standard input and
// output, so that a crash of user code is a failed attempt and nothing else. Package functionstest tests functions
// without any of that.
//
// The life of every instance is the same, wherever it runs; each step that a function does not implement is left out:
//
//	Setup(env)  →  Map or Reduce, any number of times, Flush in between  →  Cleanup(out)  →  Close()
//
// Close (io.Closer) alone is also called after an error. An engine passes the same Emitter to all calls, unless it
// called Flush (see Flusher) before it changed to another.
package functions

import (
	"fmt"
	"slices"
)

// Record is one input record. The bytes belong to the caller and are valid until the function returns.
type Record struct {
	Key   []byte // what the input format makes the key: for text the byte offset in decimal is not built, and Key is nil
	Value []byte // for text the line, without its end ("\n" or "\r\n")
}

// Emitter takes the records that a function puts out; it copies what it needs before it returns. A function that gets
// an error from it returns that error. It is used by one goroutine.
//
// In the records of a job's output, a nil key or a nil value means that there is none: text output then leaves out the
// TAB as well. Between map and reduce a nil key or value is an empty one.
type Emitter interface {
	Emit(key, value []byte) error
}

// Int64Emitter is the ability of an Emitter whose job's intermediate values are int64 (see ValueKind). It saves the
// encoding. If key is a view into a buffer with at least 8 more bytes of capacity behind the key, it is read faster.
type Int64Emitter interface {
	Emitter
	EmitInt64(key []byte, value int64) error
}

// Mapper turns one input record into any number of records. One instance serves one attempt and one goroutine.
type Mapper interface {
	Map(in Record, out Emitter) error
}

// BatchMapper is the ability of a Mapper over text to take many lines at once: lines is a run of whole lines with
// their ends (the last may lack it at the end of a file), in a buffer with 8 more bytes of capacity. It returns how
// many lines it saw.
type BatchMapper interface {
	Mapper
	MapBatch(lines []byte, out Emitter) (records int64, err error)
}

// Reducer turns a key and all of its values into any number of records. A Reducer that serves as a combiner puts out
// records of the same key, and may be applied any number of times, also never.
type Reducer interface {
	Reduce(key []byte, values Values, out Emitter) error
}

// Values streams the values of one key. The bytes are valid until the next call.
//
//	for values.Next() { use(values.Value()) }
//
// After Next returned false there are no more, or the reading failed: the engine notices which, a function need not
// ask.
type Values interface {
	Next() bool
	Value() []byte
}

// Int64Values is the ability of Values whose job's intermediate values are int64.
type Int64Values interface {
	Values
	Int64() int64
}

// Flusher is the ability of a function that works in the background, as one in another process does, to catch up:
// after Flush every record that follows from the calls so far was put out. Without it that is always so. Cleanup
// flushes too.
type Flusher interface {
	Flush(out Emitter) error
}

// Int64Folder is a combiner over int64 values that folds two into one, associatively and commutatively. Jobs with such
// a combiner take the fastest path: values live in hash tables and are never encoded.
type Int64Folder interface {
	FoldInt64(a, b int64) int64
}

// Int64FoldKind is the ability of an Int64Folder to say which of the well-known folds it is, so that no call is made.
type Int64FoldKind interface {
	Int64Folder
	Int64Fold() FoldKind
}

// ValueKind says what a job's intermediate values are.
type ValueKind uint8

// The kinds of values. An int64 in bytes is a zig-zag varint (encoding/binary.AppendVarint).
const (
	ValueBytes ValueKind = iota // opaque bytes
	ValueInt64                  // int64; functions that put it out or take it in use EmitInt64 and Int64
	ValueText                   // text, as streaming programs put it out; a decimal number where an int64 is needed
)

var valueText = [...]string{ValueBytes: "bytes", ValueInt64: "int64", ValueText: "text"}

// String returns the kind's name.
func (k ValueKind) String() string {
	if int(k) < len(valueText) {
		return valueText[k]
	}
	return fmt.Sprintf("value kind %d", uint8(k))
}

// ParseValueKind is the inverse of ValueKind.String; ok is false for an unknown name.
func ParseValueKind(text string) (kind ValueKind, ok bool) {
	i := slices.Index(valueText[:], text)
	return ValueKind(max(i, 0)), i >= 0
}

// ValueKindOf returns the kind of the values that a Mapper or Reducer emits: see Typed.
func ValueKindOf(function any) ValueKind {
	if t, ok := function.(Typed); ok {
		return t.ValueKind()
	}
	return ValueBytes
}

// Typed is the ability of a Mapper or Reducer to say what kind of values it emits; without it they are ValueBytes.
// Text output prints values of ValueInt64 in decimal, and all others as they are.
type Typed interface {
	ValueKind() ValueKind
}

// Setup is the ability of a function to be told about its attempt before the first record.
type Setup interface {
	Setup(env Env) error
}

// Cleanup is the ability of a function to put out records after the last one. It is called only if all went well.
type Cleanup interface {
	Cleanup(out Emitter) error
}

// Env is what a function may know and say. Its methods are for one goroutine.
type Env interface {
	// Param returns a parameter of the job (set: in the spec, --set on the command line), else the default that the
	// function declared; ok is false when there is neither.
	Param(name string) (value string, ok bool)
	// Count adds to a counter that people see with the job, under a group of the user's choice.
	Count(group, name string, delta int64)
	// Status replaces the one line that people see beside the attempt.
	Status(line string)
	// Logf adds a line to the attempt's log.
	Logf(format string, args ...any)
	// Attempt returns the attempt's id, as in "map-3.0".
	Attempt() string
}

// Ref names a function in a specification: exactly one field is set.
type Ref struct {
	Builtin string `json:"builtin,omitempty" yaml:"builtin,omitempty"` // a built-in's name
	Go      string `json:"go,omitempty" yaml:"go,omitempty"`           // a function's name in the job's package
	Exec    string `json:"exec,omitempty" yaml:"exec,omitempty"`       // a command line (streaming)
}

// IsZero reports whether the reference names nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

func (r Ref) String() string {
	switch {
	case r.Builtin != "":
		return r.Builtin
	case r.Go != "":
		return "go:" + r.Go
	case r.Exec != "":
		return "exec:" + r.Exec
	}
	return "none"
}
