// Package superstep is the protocol of an iterative job as two state machines, one for the master and one for a worker.
// They read no clock, own no connection and hold no data: events go in, actions come out. So every interleaving of
// crashes, stale masters, resets and reordered messages can be tried in a test, on the very code that runs.
//
// Four ideas carry it.
//
// A Point names a master result: its iteration and the epoch of the master that computed it. The point is what a worker
// says it has, what a checkpoint holds, what a successor chooses to go on from.
//
// A Position orders everything that masters say: by epoch, then by turn, a number that the master counts up. An
// Announce carries a position and a point: adopt this master result, compute the next worker result from it, send it
// under this position. A worker obeys the highest position it has seen; the master counts only results under its
// present position, one for each worker. So whatever is late, doubled or meant for another iteration has no effect.
//
// Nothing that was sent is known to have arrived. A worker keeps its result until it obeys an announce of another
// point; after any trouble it joins again and says what it has, and the master answers with an announce.
//
// A job may allow workers to be some iterations behind. Then the master goes on without them, and announces that older
// results will do: a worker that has been overtaken sends the result that it has under the newest position, and then
// waits for the next announce like the others. An announce says when a result of its receiver counted last, so that
// none counts twice. Who would fall too far behind is waited for.
//
// The end is a checkpoint marked final in the ledger. Only then are workers told to leave; and a master that finds the
// mark when it starts waits for nobody.
//
//	worker                    master (epoch 5)
//	  │ ── Join have (3, e4) ──▶ │   all have joined: go on from the newest of what they have and the checkpoint
//	  │ ◀── Announce 5.1 (3,e4) ─│   this worker has it: no content
//	  │ ── Result 5.1 ─────────▶ │   all have sent, or enough: compute master result 4
//	  │ ◀── Announce 5.2 (4,e5) ─│   with content
//	  │         ...              │   the last one: final checkpoint, then
//	  │ ◀── Leave ────────────── │
package superstep

import (
	"cmp"
	"fmt"
)

// Point names a master result. The zero Point is the beginning: no result yet.
type Point struct {
	Iteration int
	Epoch     uint64 // of the master that computed it
}

// Newer reports whether p is to be preferred over q: the later iteration, then the later epoch.
func (p Point) Newer(q Point) bool {
	return cmp.Or(cmp.Compare(p.Iteration, q.Iteration), cmp.Compare(p.Epoch, q.Epoch)) > 0
}

func (p Point) String() string { return fmt.Sprintf("%d@%d", p.Iteration, p.Epoch) }

// Position is a place in the order of everything that masters say. The zero Position is before all others.
type Position struct {
	Epoch uint64 // the master's
	Turn  uint64 // counted up by the master, from 1
}

// Before reports whether p comes before q.
func (p Position) Before(q Position) bool {
	return cmp.Or(cmp.Compare(p.Epoch, q.Epoch), cmp.Compare(p.Turn, q.Turn)) < 0
}

func (p Position) String() string { return fmt.Sprintf("%d.%d", p.Epoch, p.Turn) }

// Member is one process that works for a job: the worker's index, and which attempt at it this is.
type Member struct {
	Index   int
	Attempt int
}

func (m Member) String() string { return fmt.Sprintf("worker %d.%d", m.Index, m.Attempt) }

// Join is what a worker says first on every connection.
type Join struct {
	Epoch  uint64 // of the master it speaks to
	From   Member
	Serial uint64 // counts the joins of this process, so that a late one does not replace a newer one
	Have   Point  // the master result it would compute from
	Held   Point  // the newest master result that it holds together with the master's own state; zero for none
}

// Announce is a master's order: adopt At, compute the next result from it, and send that under Position.
type Announce struct {
	Position
	To      Member
	At      Point
	Content bool   // the master result comes with it; otherwise the worker has said that it has it
	Older   bool   // a result that was computed from an older master result, and has not counted, will do
	Counted uint64 // the turn in which the worker's last result counted, 0 if none has under this epoch
}

// Result is a worker's result, as far as the protocol is concerned.
type Result struct {
	Position // of the announce that asked for it
	From     Member
	Halt     bool // the worker votes for the end
	Older    bool // it was computed from an older master result than the announce's
}
