// Package wire is the protocol between an executor and the process that runs a user's functions, its child. Go
// programs get the child's end from functions.Main; programs in other languages implement it from this page.
//
// # Transport
//
// The executor starts the program with RUNNER_CHILD=serve in its environment. The child reads frames from standard
// input and writes frames to standard output, and nothing else; standard error is the attempt's log. One process
// serves one role of one attempt, in one conversation:
//
//	executor ── H O  ── L|R|G ...  ── F ── L|R|G ...  ── E ──▶ child
//	child    ── H A  ── R|P|N|C|S ── R.. F ── R|P|N|C|S ── D (or X at any time) ──▶ executor
//
// The child exits with status 0 after D, with another after X; it ends too when its standard input does. Both ends may
// write before the other has read: the executor reads at all times, so a child may simply read, work and write.
//
// # Frames
//
// All numbers of fixed size are little endian; uvarint and varint are those of Protocol Buffers (7 bits a byte, lowest
// first; varint is zig-zag).
//
//	| type 1 B | length 4 B | payload: length bytes |
//
// The payload of R, P, N, L and G is at most 1 GiB, of all others 1 MiB. Senders of data aim at 256 KiB: a frame is
// only longer when one record alone is.
//
//	type        from      payload
//	H hello     both      "RUNNER", version 1 B
//	O open      executor  JSON: Open
//	A accepted  child     JSON: Accepted
//	L lines     executor  whole lines of text with their ends; the last line of a file may lack its end
//	R records   both      records, see below
//	G groups    executor  keys, each with its values, see below
//	F flush     executor  empty: put out all that follows from what came so far, then answer
//	F flushed   child     empty
//	P placed    child     likewise, each after the number of the reducer that gets it, a uvarint (see Open.Partitions)
//	N named     child     pairs of records: one whose key is the name of an output, and one that goes there
//	C counters  child     JSON: {group: {name: what to add}}
//	S status    child     text, one line
//	E end       executor  empty: there is no more; put out the rest, then answer
//	D done      child     JSON: Done
//	X failed    child     JSON: Failure
//
// The executor's hello has the highest version that it speaks, the child's hello has the version that both will use,
// which is at most that. This page describes version 1.
//
// # Records
//
// A record is a key and a value. A length of 0 means that there is none, which is not the same as an empty one in the
// output of a job (there is then no TAB either); else it is one more than the number of bytes.
//
//	| key length + 1: uvarint | key | value length + 1: uvarint | value |      repeated
//
//	"the" 1 (an int64)     04 74 68 65  02 02
//	"the", empty value     04 74 68 65  01
//
// If the Accepted frame says that values are int64, each value is one varint.
//
// # Groups
//
// The values of a key follow it, also in the next frames, until another key, F or E comes. Keys come in order, but the
// reducer may be asked to flush in between, and then begins with any key. A value is never absent.
//
//	| 00 | key length: uvarint | key |               a new key
//	| value length + 1: uvarint | value |            a value of that key
//
//	"the" with 1 and 2     00 03 74 68 65  02 02  02 04
//
// # Handlers
//
// A program that answers events is started with RUNNER_CHILD=handle, by a host that is no executor, and lives as long
// as events come: its conversation has no end but that of standard input. It is handed one event at a time, as two
// frames, and answers each with V or with X, after which it goes on. What it says before (S) is in the log of the
// invocation; so is what it prints on standard error while it has one. It may kill itself: whoever waits for an answer
// is told.
//
//	host    ── H  ── I V         ── I V        ──▶ handler
//	handler ── H        ── S V         ── S X ──▶ host
//
//	I invoke   host      JSON: Call
//	V value    both      the event, and the answer: any bytes, at most 1 GiB
//	S said     handler   a line of the log
//	X failed   handler   JSON: Failure; of the kind "invalid" if another attempt would change nothing
//
// # Describing
//
// With RUNNER_CHILD=describe the program prints one line of JSON on standard output, its last one, and exits with 0:
// functions.Package.
package wire

import (
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// Version is the version of the protocol that this package speaks.
const Version = 1

// EnvVar is the environment variable that tells a program that it is a child; the others are what it is set to.
const (
	EnvVar      = "RUNNER_CHILD"
	EnvServe    = "serve"
	EnvHandle   = "handle"
	EnvDescribe = "describe"
)

// Type is the type of a frame, a letter.
type Type byte

// The types of frames.
const (
	Hello    Type = 'H'
	Opening  Type = 'O'
	Accept   Type = 'A'
	Lines    Type = 'L'
	Records  Type = 'R'
	Groups   Type = 'G'
	Named    Type = 'N'
	Placed   Type = 'P'
	Flush    Type = 'F'
	Counters Type = 'C'
	Status   Type = 'S'
	End      Type = 'E'
	Finished Type = 'D'
	Failed   Type = 'X'
	Invoke   Type = 'I'
	Value    Type = 'V'
)

// Sizes in bytes.
const (
	FrameSize  = 256 << 10 // when a frame of data is sent
	MaxData    = 1 << 30   // the payload of a frame of data, hence of a record
	MaxControl = 1 << 20   // the payload of any other frame
	Spare      = 8         // capacity behind a payload that was read, so that keys can be read 8 bytes at a time
	headerSize = 5
)

// limit returns how long a payload may be; 0 and false for a type that there is not.
func (t Type) limit() (int, bool) {
	switch t {
	case Lines, Records, Groups, Named, Placed, Value:
		return MaxData, true
	case Hello, Opening, Accept, Flush, Counters, Status, End, Finished, Failed, Invoke:
		return MaxControl, true
	}
	return 0, false
}

// Role is what a child does for an attempt.
type Role string

// The roles.
const (
	Map     Role = "map"     // gets L or R
	Combine Role = "combine" // gets G; puts out records that go on to a reducer
	Reduce  Role = "reduce"  // gets G; puts out records of the job's output
)

// Open says what the child is for.
type Open struct {
	Role     Role              `json:"role"`
	Function string            `json:"function"` // which of the program's functions; the only one if empty
	Attempt  string            `json:"attempt"`  // as in "map-3.0"
	Params   map[string]string `json:"params,omitempty"`
	// Partitions is how many reducers there are, if a child in the role of map is to say which of them gets a record; 0:
	// it is not. Then it sends frames of type P instead of R.
	Partitions int `json:"partitions,omitempty"`
	// Combiner names the job's combiner as a specification does: "sum" is a built-in, "go:NAME" a function of the
	// program, empty means none. A child in the role of map may apply it to what it puts out.
	Combiner string `json:"combiner,omitempty"`
	// Files are the paths of the job's files by the names that the specification gives them.
	Files map[string]string `json:"files,omitempty"`
}

// Call says what the event after it belongs to.
type Call struct {
	ID       string    `json:"id"`                 // of the invocation
	Function string    `json:"function,omitempty"` // which of the program's functions; the only one if empty
	Attempt  int       `json:"attempt"`            // from 1
	Key      string    `json:"key,omitempty"`      // the caller's idempotency key, if it gave one
	Deadline time.Time `json:"deadline"`           // when the handler will be killed
}

// Accepted is the answer to Open.
type Accepted struct {
	Values string `json:"values"` // what values the child puts out: "bytes", "int64" or "text"
}

// Done says what the child has seen and done, so that nothing is lost unnoticed.
type Done struct {
	In  int64 `json:"in"`  // lines or records read, in the other roles values
	Out int64 `json:"out"` // records put out

	Named int64 `json:"named,omitempty"` // records put out to named outputs
}

// Failure is why a child gives up. It is an error.
type Failure struct {
	Message string `json:"message"`
	Where   string `json:"where,omitempty"`  // file:line in the user's code
	Record  int64  `json:"record,omitempty"` // which of the attempt's lines, records or keys, from 1; 0: none
	Kind    string `json:"kind,omitempty"`   // as package errs names it; "failed" if empty
	Key     string `json:"key,omitempty"`    // the beginning of the key, in quotes, in the roles that get keys
}

func (f *Failure) Error() string {
	text := f.Message
	if f.Key != "" {
		text = "key " + f.Key + ": " + text
	}
	if f.Where == "" {
		return text
	}
	return text + " (" + f.Where + ")"
}

// ErrKind returns the kind of the failure. A child cannot claim what only its executor can know.
func (f *Failure) ErrKind() errs.Kind {
	switch k := errs.ParseKind(f.Kind); k {
	case errs.Invalid, errs.NotFound, errs.Permission, errs.Unsupported, errs.Unavailable, errs.Exhausted, errs.Corrupt:
		return k
	}
	return errs.Failed
}
