package superstep

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// Phase is what a master waits for.
type Phase uint8

// The phases, in the order in which a master goes through them; Computing and Saving come back to Running.
const (
	Joining   Phase = iota // all workers to join
	Fetching               // one worker to hand over the master result to go on from
	Running                // results of this turn
	Computing              // its own program
	Saving                 // the checkpoint that must be durable before anything else happens
	Done                   // workers to leave: the end is in the ledger
	Ended                  // nothing
)

func (p Phase) String() string {
	return [...]string{"joining", "fetching", "running", "computing", "saving", "done", "ended"}[p]
}

// Master is the master's half of the protocol. It is used by one goroutine at a time. Its methods return what is to be
// done, in order.
type Master struct {
	cfg     Config
	epoch   uint64
	phase   Phase
	at      Point // the newest master result; while Fetching the one that is being fetched
	turn    uint64
	durable Point // the newest checkpoint that the ledger names
	saving  bool  // a checkpoint is being written in the background
	source  int   // while Fetching: who is asked
	members []member

	begun   time.Time // of the phase, or of the turn
	judged  time.Time // when Tick last looked at a turn that is late
	savedAt time.Time // when the last checkpoint was begun
}

// member is what the master knows of the worker with one index.
type member struct {
	attempt int    // the highest that has joined, none at first
	serial  uint64 // of its last join
	online  bool
	have    Point // what it has for certain
	held    Point

	// In this turn:
	got     bool // its result counts
	partial int  // the attempt of whose result some has been merged and some has not come, or none
	halt    bool
	fresh   bool // it joined during this turn, and may have had to load its data
	flagged bool // told to be a straggler
	took    time.Duration

	strikes int    // turns in a row in which it was a straggler
	behind  int    // iterations in a row that went on without it
	counted uint64 // the turn in which its last result counted
}

// none stands for the attempt of a member when there is none.
const none = -1

// Ledger is what survives all masters.
type Ledger struct {
	At    Point // the newest checkpoint that counts; zero for none
	Final bool  // it is the last one: the job is done
}

// Action is one of the types below.
type Action any

// The actions of a master.
type (
	// Fetch asks a worker for the master result and the master's state of this point; Fetched says that they have come.
	Fetch struct {
		From Member
		At   Point
	}
	// Restore puts the program where it was at this point: with what was fetched, else with the checkpoint.
	Restore struct{ At Point }
	// Begin forgets all results that have arrived and takes those of this position.
	Begin struct {
		Position
		Iteration int
	}
	// Tell sends an announce to one member.
	Tell struct{ Announce }
	// Compute runs the program over the results of this turn; Computed says that it is done.
	Compute struct {
		Iteration int
		Missing   []int // workers whose results are not there
		Halt      bool  // all whose results are there vote for the end
	}
	// Save writes a checkpoint of the newest master result; Saved says that the ledger names it. If Wait, nothing else
	// will be asked for in between.
	Save struct {
		At    Point
		Final bool
		Wait  bool
	}
	// Finish puts out what the job leaves behind: the final checkpoint is in the ledger.
	Finish struct{}
	// Dismiss tells a member to leave: the job is done.
	Dismiss struct{ To Member }
	// Reject ends the connection that a member spoke on: another has its place, or is to have it.
	Reject struct {
		To  Member
		Why string
	}
	// Straggles reports a straggler.
	Straggles struct {
		Index           int
		Elapsed, Median time.Duration
	}
	// Fail ends the master with an error.
	Fail struct{ Err error }
	// End ends the master: all is done.
	End struct{}
)

// NewMaster returns a master of this epoch, which is above those of all masters before it.
func NewMaster(cfg Config, epoch uint64, from Ledger) *Master {
	m := &Master{cfg: cfg, epoch: epoch, durable: from.At, members: make([]member, cfg.Workers)}
	if from.Final {
		m.at, m.phase = from.At, Done
	}
	for i := range m.members {
		m.members[i].attempt, m.members[i].partial = none, none
	}
	return m
}

// Start begins. It is called once, first.
func (m *Master) Start(now time.Time) []Action {
	m.begun, m.savedAt = now, now
	if m.phase == Done {
		return append([]Action{Restore{m.at}, Finish{}}, m.maybeEnd()...)
	}
	return nil
}

// Phase returns what the master waits for.
func (m *Master) Phase() Phase { return m.phase }

// Position returns the present position.
func (m *Master) Position() Position { return Position{m.epoch, m.turn} }

// At returns the newest master result.
func (m *Master) At() Point { return m.at }

// Join takes a worker's first words on a connection. The caller keeps one connection for each index: that of the last
// join that was not rejected.
func (m *Master) Join(now time.Time, j Join) []Action {
	if j.Epoch != m.epoch || j.From.Index < 0 || j.From.Index >= len(m.members) {
		return []Action{Reject{j.From, "not a worker of this master"}}
	}
	w := &m.members[j.From.Index]
	if j.From.Attempt < w.attempt {
		return []Action{Reject{j.From, fmt.Sprintf("attempt %d has its place", w.attempt)}}
	}
	if j.From.Attempt == w.attempt && j.Serial <= w.serial {
		return []Action{Reject{j.From, "it has joined again since"}}
	}
	torn := w.partial != none && w.partial != j.From.Attempt
	if j.From.Attempt > w.attempt {
		w.strikes, w.fresh, w.counted = 0, true, 0
	}
	w.attempt, w.serial, w.online, w.have, w.held = j.From.Attempt, j.Serial, true, j.Have, j.Held
	switch m.phase {
	case Joining, Fetching: // if it was asked already, the answer may be lost
		return m.choose(now)
	case Running:
		if torn { // half of the old process's result is merged: it can't be completed by another's
			return m.again(now)
		}
		return []Action{m.tell(j.From.Index)}
	case Done:
		return []Action{Dismiss{j.From}}
	}
	return nil // whoever joins while we compute or save is told what to do afterwards
}

// Lost says that the connection of a member is gone.
func (m *Master) Lost(now time.Time, who Member) []Action {
	w := m.member(who)
	if w == nil {
		return nil
	}
	w.online = false
	switch {
	case m.phase == Fetching:
		m.phase, m.begun = Joining, now
	case m.phase == Done:
		return m.maybeEnd()
	}
	return nil
}

// member returns the state of a member, if this is the attempt that counts.
func (m *Master) member(who Member) *member {
	if who.Index < 0 || who.Index >= len(m.members) || m.members[who.Index].attempt != who.Attempt {
		return nil
	}
	return &m.members[who.Index]
}

// choose picks what to go on from, once all have joined: the newest of the durable checkpoint and of what workers hold
// with the master's own state.
func (m *Master) choose(now time.Time) []Action {
	best, source := m.durable, -1
	m.phase = Joining
	for i, w := range m.members {
		if !w.online {
			return nil
		}
		if w.held.Newer(best) {
			best, source = w.held, i
		}
	}
	m.at = best
	if source < 0 {
		return m.resume(now)
	}
	m.phase, m.source = Fetching, source
	return []Action{Fetch{Member{source, m.members[source].attempt}, best}}
}

// Fetched says that a member has handed over what Fetch asked it for.
func (m *Master) Fetched(now time.Time, from Member, at Point) []Action {
	if m.phase != Fetching || from.Index != m.source || m.member(from) == nil || at != m.at {
		return nil
	}
	return m.resume(now)
}

func (m *Master) resume(now time.Time) []Action {
	var out []Action
	if m.at != (Point{}) {
		out = append(out, Restore{m.at})
	}
	return append(out, m.again(now)...)
}

// again begins a new turn from the same master result.
func (m *Master) again(now time.Time) []Action {
	m.phase, m.begun, m.judged = Running, now, now
	m.turn++
	out := []Action{Begin{m.Position(), m.at.Iteration + 1}}
	for i := range m.members {
		w := &m.members[i]
		w.got, w.partial, w.halt, w.flagged, w.took = false, none, false, false, 0
		if w.online {
			out = append(out, m.tell(i))
		}
	}
	return out
}

// Again begins the turn again, if results are waited for: something that was sent on a way of the caller's own may not
// have arrived.
func (m *Master) Again(now time.Time) []Action {
	if m.phase != Running {
		return nil
	}
	return m.again(now)
}

func (m *Master) tell(index int) Action {
	w := m.members[index]
	return Tell{Announce{m.Position(), Member{index, w.attempt}, m.at, w.have != m.at, m.lenient(), w.counted}}
}

// Partial says that a member's result has begun to arrive, and reports whether it is wanted; only then may it be merged
// with others. From now on the turn waits for the rest of it, or is begun again.
func (m *Master) Partial(r Result) bool {
	w := m.member(r.From)
	if w == nil || m.phase != Running || r.Position != m.Position() || w.got || r.Older && !m.lenient() {
		return false
	}
	w.partial = w.attempt
	return true
}

// Result says that a member's result is there, whole.
func (m *Master) Result(now time.Time, r Result) []Action {
	w := m.member(r.From)
	if w == nil || m.phase != Running || r.Position != m.Position() || w.got || r.Older && !m.lenient() {
		return nil
	}
	w.got, w.partial, w.halt, w.took = true, none, r.Halt, now.Sub(m.begun)
	if !r.Older {
		w.have = m.at
	}
	if m.missing() == nil {
		return m.compute()
	}
	if m.lenient() {
		return m.giveUp(now)
	}
	return nil
}

// lenient reports whether this iteration may go on without workers that are behind: the first one, in which the master
// gets to know its workers, and the last one may not.
func (m *Master) lenient() bool {
	return m.cfg.Staleness > 0 && m.at.Iteration > 0 && m.at.Iteration+1 < m.cfg.Total
}

func (m *Master) missing() (out []int) {
	for i, w := range m.members {
		if !w.got {
			out = append(out, i)
		}
	}
	return out
}

func (m *Master) compute() []Action {
	m.phase = Computing
	halt := true
	for i := range m.members {
		w := &m.members[i]
		halt = halt && (w.halt || !w.got)
		w.fresh = false
		if w.behind++; w.got {
			w.behind, w.counted = 0, m.turn
		}
		if !w.flagged {
			w.strikes = 0
		}
	}
	return []Action{Compute{m.at.Iteration + 1, m.missing(), halt}}
}

// Computed says that the program has made the next master result; with halt the job ends with it.
func (m *Master) Computed(now time.Time, halt bool) []Action {
	m.at = Point{m.at.Iteration + 1, m.epoch}
	if halt || m.at.Iteration >= m.cfg.Total {
		return m.save(now, true)
	}
	if m.cfg.Durable {
		return m.save(now, false)
	}
	out := m.again(now)
	if !m.saving && now.Sub(m.savedAt) >= m.cfg.SaveEvery {
		m.saving, m.savedAt = true, now
		out = append(out, Save{At: m.at})
	}
	return out
}

func (m *Master) save(now time.Time, final bool) []Action {
	m.phase, m.begun = Saving, now
	return []Action{Save{At: m.at, Final: final, Wait: true}}
}

// Saved says that the ledger names the checkpoint of this point.
func (m *Master) Saved(now time.Time, s Save) []Action {
	if s.At.Newer(m.durable) {
		m.durable = s.At
	}
	switch {
	case !s.Wait:
		m.saving = false
	case m.phase == Saving && s.Final:
		m.phase, m.begun = Done, now
		out := []Action{Finish{}}
		for i, w := range m.members {
			if w.online {
				out = append(out, Dismiss{Member{i, w.attempt}})
			}
		}
		return append(out, m.maybeEnd()...)
	case m.phase == Saving:
		return m.again(now)
	}
	return nil
}

// maybeEnd ends the master when nobody is left to be told.
func (m *Master) maybeEnd() []Action {
	for _, w := range m.members {
		if w.online {
			return nil
		}
	}
	m.phase = Ended
	return []Action{End{}}
}

// absent describes the workers that have not joined.
func (m *Master) absent() error {
	var names []string
	for i, w := range m.members {
		switch {
		case w.online:
		case w.attempt == none:
			names = append(names, fmt.Sprintf("worker %d", i))
		default:
			names = append(names, fmt.Sprintf("worker %d (attempt %d was here and is gone)", i, w.attempt))
		}
	}
	return errs.Errorf("guagua.Register", errs.Unavailable, nil,
		"after %v %d of %d workers have not joined: %s: is there room for all workers and the master at once?",
		m.cfg.Register, len(names), len(m.members), strings.Join(names, ", "))
}

// durations returns the durations of the results that are there, sorted.
func (m *Master) durations() []time.Duration {
	var out []time.Duration
	for _, w := range m.members {
		if w.got {
			out = append(out, w.took)
		}
	}
	slices.Sort(out)
	return out
}
