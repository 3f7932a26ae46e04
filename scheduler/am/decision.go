package am

import (
	"fmt"

	"github.com/seed3322913c/runner/scheduler"
)

// decision is something that the machine wants done. Decisions are carried out in their order; none of them waits.
type decision interface{ fmt.Stringer }

type (
	// write appends a record to the ledger; machine.recorded follows when it is durable.
	write struct{ record record }
	// order tells an executor something.
	order struct {
		executor string
		verb     verb
		attempt  scheduler.AttemptID
		payload  []byte
	}
	// ask asks the engine; the machine method named after what follows.
	ask struct {
		what    question
		stage   string              // of a cut
		attempt scheduler.AttemptID // of a payload
	}
	// answer acknowledges the report of an attempt.
	answer struct {
		attempt scheduler.AttemptID
		taken   bool
	}
	// scale says how many executors the job wants.
	scale struct{ count int }
	// wake asks for machine.tick at a time.
	wake struct{ at int64 }
	// giveUp ends this application master, not the job.
	giveUp struct{ cause error }
	// over says that the job has reached its final state.
	over struct{}
)

type verb string

const (
	orderStart verb = "start"
	orderKill  verb = "kill"
	orderLeave verb = "leave"
)

type question string

const (
	askPlan    question = "plan"
	askCut     question = "cut"
	askPayload question = "payload"
	askCommit  question = "commit"
)

func (d write) String() string {
	b, err := d.record.encode()
	if err != nil {
		return err.Error()
	}
	return "write " + string(b)
}

func (d order) String() string {
	switch d.verb {
	case orderStart:
		return fmt.Sprintf("order %s: start %s %q", d.executor, d.attempt, d.payload)
	case orderKill:
		return fmt.Sprintf("order %s: kill %s", d.executor, d.attempt)
	}
	return fmt.Sprintf("order %s: %s", d.executor, d.verb)
}

func (d ask) String() string {
	switch d.what {
	case askCut:
		return "ask cut of " + d.stage
	case askPayload:
		return fmt.Sprintf("ask payload of %s", d.attempt)
	}
	return "ask " + string(d.what)
}

func (d answer) String() string { return fmt.Sprintf("answer %s: taken %t", d.attempt, d.taken) }
func (d scale) String() string  { return fmt.Sprintf("scale to %d", d.count) }
func (d wake) String() string   { return fmt.Sprintf("wake at %d", d.at) }
func (d giveUp) String() string { return "give up: " + d.cause.Error() }
func (d over) String() string   { return "over" }
