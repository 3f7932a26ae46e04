// Package invoke answers events with functions: it keeps what was asked for, hands it to handlers, tries again what
// fails, and remembers the answers.
//
//	caller ──Invoke──▶ Host ──▶ pool of a version ──▶ handler (a process, one event at a time)
//	                    │  ◀── result, failure, death, silence ──┘
//	                    ▼
//	            invocations/journal/...            what was accepted, and what became of it (package journal)
//	            invocations/payloads/<id>/event    events and results that are too long for the journal
//	            invocations/logs/<id>              of a fleet: what was said, likewise, or after the answer
//
// The handlers of a machine are children of its host. On a fleet they are elsewhere, each with a Worker that has come to
// the host and takes one event after the other; a Crew sees to it that there are as many as there are events for. An
// event whose worker is lost is handed to another one.
//
//	Host ──▶ crew of a version ◀──connection── Worker ──▶ handler          on any machine
//
// An invocation is accepted when it is in the journal, and its result is stored once: the first to be written is the
// answer to every retry with the same key. A handler may run twice for it; its result is not there twice.
//
//	accepted ──▶ QUEUED ──succeeded──▶ SUCCEEDED
//	             ▲ │ ▲ └──dead──▶ DEAD ──redriven──┐
//	             │ └─failed: again later           │
//	             └─────────────────────────────────┘
//
// Whoever asks for an id and goes (async) gets it when the invocation is accepted. Whoever waits for the answer needs
// no promise before: a first attempt that succeeds at once is accepted and answered by one entry of the journal; one
// that takes longer, or fails, is accepted then. That an attempt runs is in no journal: after a crash of the host it is
// run again.
//
// What the ledger keeps is bounded (see the Keep constants). Its clock is that of its records, so that every replay
// forgets the same.
package invoke

import (
	"time"

	"github.com/seed3322913c/runner/infra/store"
)

// ID names an invocation: 16 letters and digits of chance.
type ID string

// State is where an invocation stands.
type State string

// The states of an invocation.
const (
	Queued    State = "QUEUED"    // waits for a handler, is being worked on, or waits for its next attempt
	Succeeded State = "SUCCEEDED" // the result is stored; final
	Dead      State = "DEAD"      // all attempts failed; final unless somebody redrives it
)

// Final reports whether an invocation stays as it is by itself.
func (s State) Final() bool { return s == Succeeded || s == Dead }

// Payload is an event or a result: the bytes themselves, or the object that has them.
type Payload struct {
	Inline []byte     `json:"inline,omitempty"`
	Object store.Name `json:"object,omitempty"`
	Size   int64      `json:"size"`
}

// Sizes in bytes.
const (
	MaxInline   = 64 << 10 // what is longer goes by reference
	MaxPayload  = 64 << 20 // of an event or a result
	MaxKey      = 200      // of an idempotency key
	maxError    = 4 << 10  // of an error's text that is kept
	maxShortLog = 1 << 10  // of a log that is kept in the journal
)

// Invocation is one event and what became of it. Nobody changes one that others can see.
type Invocation struct {
	ID        ID            `json:"id"`
	Function  string        `json:"function"`
	Version   int           `json:"version"`
	Key       string        `json:"key,omitempty"` // the caller's idempotency key
	State     State         `json:"state"`
	Event     Payload       `json:"event"`
	Result    Payload       `json:"result,omitzero"`
	Log       []byte        `json:"log,omitempty"` // what was said, unless that is on a disk alone or in LogObject
	Attempts  int           `json:"attempts"`      // that have ended
	Accepted  time.Time     `json:"accepted"`
	NotBefore time.Time     `json:"not_before,omitzero"` // of the next attempt
	Ended     time.Time     `json:"ended,omitzero"`
	Took      time.Duration `json:"took,omitempty"`  // of the last attempt, in nanoseconds
	Error     string        `json:"error,omitempty"` // of the last attempt, if it failed
	Kind      string        `json:"kind,omitempty"`  // of that error
}

// What the ledger keeps of invocations that are over; what goes first is the oldest. While an invocation is kept, its
// key answers retries.
const (
	KeepFor   = 24 * time.Hour
	KeepMost  = 10_000   // succeeded
	KeepBytes = 64 << 20 // of their events, results and logs in the ledger
	KeepDead  = 10_000   // dead letters, however old
)
