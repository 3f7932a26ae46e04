package invoke

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/errs"
)

// op is what a record says.
type op string

const (
	opAccepted  op = "accepted"
	opFailed    op = "failed"
	opSucceeded op = "succeeded"
	opDead      op = "dead"
	opRedriven  op = "redriven"
)

// record is one change, as it is in the journal. Which fields count depends on Op.
type record struct {
	Op       op            `json:"op"`
	ID       ID            `json:"id"`
	At       time.Time     `json:"at"`
	Function string        `json:"function,omitempty"` // accepted
	Version  int           `json:"version,omitempty"`  // accepted, redriven
	Key      string        `json:"key,omitempty"`      // accepted
	Event    *Payload      `json:"event,omitempty"`    // accepted
	Result   *Payload      `json:"result,omitempty"`   // succeeded
	Log      []byte        `json:"log,omitempty"`      // succeeded: what was said, if that is short
	Took     time.Duration `json:"took,omitempty"`     // failed, succeeded, dead
	Again    time.Time     `json:"again,omitzero"`     // failed
	Error    string        `json:"error,omitempty"`    // failed, dead
	Kind     string        `json:"kind,omitempty"`     // failed, dead
}

func (r record) encode() []byte {
	text, err := json.Marshal(r)
	if err != nil { // plain fields always encode
		panic(err)
	}
	return text
}

// outcome is what an attempt came to: a result, or an error.
type outcome struct {
	result Payload
	err    error
	took   time.Duration
}

// after decides what follows from an attempt that ended at now. It is a pure function.
func after(inv Invocation, o outcome, r pack.Retries, now time.Time) record {
	rec := record{ID: inv.ID, At: now, Took: o.took}
	if o.err == nil {
		rec.Op, rec.Result = opSucceeded, &o.result
		return rec
	}
	kind := errs.KindOf(o.err)
	rec.Error, rec.Kind = textOf(o.err), kind.String()
	if attempt := inv.Attempts + 1; kind == errs.Invalid || attempt >= r.Attempts {
		rec.Op = opDead
	} else {
		rec.Op, rec.Again = opFailed, now.Add(r.Wait(attempt))
	}
	return rec
}

// textOf is what is kept of an error.
func textOf(err error) string {
	text := err.Error()
	if e, ok := err.(*errs.Error); ok && e.Op == "" && e.Err != nil {
		text = e.Err.Error()
	}
	return text[:min(len(text), maxError)]
}

// Ledger is the state that the journal builds: a pure function of its records. It may be read at any time.
type Ledger struct {
	mu      sync.RWMutex
	byID    map[ID]*Invocation
	byKey   map[string]ID
	ended   []ID // that succeeded, the oldest first
	dead    []ID // likewise
	bytes   int64
	dropped []Invocation // whose objects and logs may be removed
}

// keyOf is unique for a function and a key: no name has a slash.
func keyOf(function, key string) string { return function + "/" + key }

// Restore implements journal.State.
func (l *Ledger) Restore(snapshot io.Reader) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byID, l.byKey = map[ID]*Invocation{}, map[string]ID{}
	l.ended, l.dead, l.bytes, l.dropped = nil, nil, 0, nil
	if snapshot == nil {
		return nil
	}
	var all []*Invocation
	if err := json.NewDecoder(snapshot).Decode(&all); err != nil {
		return errs.E("invoke.Restore", errs.Corrupt, nil, err)
	}
	for _, inv := range all {
		l.put(inv)
		l.file(inv)
	}
	return nil
}

// put makes an invocation known.
func (l *Ledger) put(inv *Invocation) {
	l.byID[inv.ID] = inv
	if inv.Key != "" {
		l.byKey[keyOf(inv.Function, inv.Key)] = inv.ID
	}
}

// file adds an invocation that is over to those that are.
func (l *Ledger) file(inv *Invocation) {
	switch inv.State {
	case Succeeded:
		l.ended = append(l.ended, inv.ID)
		l.bytes += inlineBytes(inv)
	case Dead:
		l.dead = append(l.dead, inv.ID)
	}
}

func inlineBytes(inv *Invocation) int64 {
	return int64(len(inv.Event.Inline) + len(inv.Result.Inline) + len(inv.Log))
}

// Apply implements journal.State. A record that says nothing new, since another was first, changes nothing.
func (l *Ledger) Apply(text []byte) error {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return errs.E("invoke.Apply", errs.Corrupt, nil, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old, known := l.byID[r.ID]
	switch {
	case r.Op == opAccepted && r.Event == nil, r.Op == opSucceeded && r.Result == nil:
		return errs.Errorf("invoke.Apply", errs.Corrupt, r.ID, "%s without a payload", r.Op)
	case r.Op == opAccepted && !known:
		l.put(&Invocation{
			ID: r.ID, Function: r.Function, Version: r.Version, Key: r.Key, State: Queued, Event: *r.Event, Accepted: r.At,
		})
	case r.Op == opAccepted, !known:
	case r.Op == opRedriven && old.State == Dead:
		next := revived(*old, r.Version)
		l.byID[r.ID] = &next
		l.dead = slices.DeleteFunc(l.dead, func(id ID) bool { return id == r.ID })
	case r.Op == opRedriven || old.State != Queued:
	default:
		next, err := ended(*old, r)
		if err != nil {
			return err
		}
		l.byID[r.ID] = &next
		l.file(&next)
	}
	l.forget(r.At)
	return nil
}

// revived is a dead letter that is queued again, for a version.
func revived(inv Invocation, version int) Invocation {
	inv.State, inv.Version, inv.Attempts = Queued, version, 0
	inv.NotBefore, inv.Ended = time.Time{}, time.Time{}
	return inv
}

// ended is a queued invocation after an attempt.
func ended(inv Invocation, r record) (Invocation, error) {
	inv.Attempts++
	inv.Took, inv.Error, inv.Kind, inv.NotBefore = r.Took, r.Error, r.Kind, r.Again
	switch r.Op {
	case opFailed:
	case opSucceeded:
		inv.State, inv.Result, inv.Log, inv.Ended = Succeeded, *r.Result, r.Log, r.At
	case opDead:
		inv.State, inv.Ended = Dead, r.At
	default:
		return inv, errs.Errorf("invoke.Apply", errs.Unsupported, r.ID, "%q is from a later version", r.Op)
	}
	return inv, nil
}

// forget drops what is old, or too much, at the time of a record.
func (l *Ledger) forget(now time.Time) {
	for len(l.ended) > 0 {
		oldest := l.byID[l.ended[0]]
		if len(l.ended) <= KeepMost && l.bytes <= KeepBytes && now.Sub(oldest.Ended) <= KeepFor {
			break
		}
		l.ended = l.ended[1:]
		l.bytes -= inlineBytes(oldest)
		l.drop(oldest)
	}
	for len(l.dead) > KeepDead {
		l.drop(l.byID[l.dead[0]])
		l.dead = l.dead[1:]
	}
}

func (l *Ledger) drop(inv *Invocation) {
	delete(l.byID, inv.ID)
	if key := keyOf(inv.Function, inv.Key); l.byKey[key] == inv.ID {
		delete(l.byKey, key)
	}
	l.dropped = append(l.dropped, *inv)
}

// takeDropped returns what was dropped since the last time.
func (l *Ledger) takeDropped() []Invocation {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.dropped
	l.dropped = nil
	return all
}

// Snapshot implements journal.State. It notes which invocations there are; none of them changes any more.
func (l *Ledger) Snapshot() (io.WriterTo, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := make(snapshot, 0, len(l.byID))
	for _, ids := range [][]ID{l.ended, l.dead} {
		for _, id := range ids {
			all = append(all, l.byID[id])
		}
	}
	return append(all, l.queued()...), nil
}

// queued returns what is not over, in the order of arrival.
func (l *Ledger) queued() []*Invocation {
	var all []*Invocation
	for inv := range maps.Values(l.byID) {
		if inv.State == Queued {
			all = append(all, inv)
		}
	}
	slices.SortFunc(all, func(a, b *Invocation) int {
		if c := a.Accepted.Compare(b.Accepted); c != 0 {
			return c
		}
		return bytes.Compare([]byte(a.ID), []byte(b.ID))
	})
	return all
}

// snapshot is the ledger at one moment.
type snapshot []*Invocation

func (s snapshot) WriteTo(w io.Writer) (int64, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return 0, errs.E("invoke.Snapshot", errs.Internal, nil, err)
	}
	n, err := w.Write(text)
	return int64(n), err
}

// Get returns an invocation.
func (l *Ledger) Get(id ID) (Invocation, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	inv, ok := l.byID[id]
	if !ok {
		return Invocation{}, false
	}
	return *inv, true
}

// ByKey returns the invocation of a function that was asked for with a key.
func (l *Ledger) ByKey(function, key string) (Invocation, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	inv, ok := l.byID[l.byKey[keyOf(function, key)]]
	if !ok || key == "" {
		return Invocation{}, false
	}
	return *inv, true
}

// List returns invocations, the latest first: of one function, if it is named, and in one state, if it is said.
func (l *Ledger) List(function string, state State) []Invocation {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var all []Invocation
	for _, inv := range l.byID {
		if (function == "" || inv.Function == function) && (state == "" || inv.State == state) {
			all = append(all, *inv)
		}
	}
	slices.SortFunc(all, func(a, b Invocation) int {
		if c := b.Accepted.Compare(a.Accepted); c != 0 {
			return c
		}
		return bytes.Compare([]byte(a.ID), []byte(b.ID))
	})
	return all
}

// Stats is how a function does, as far as its invocations are kept.
type Stats struct {
	Queued    int           `json:"queued"`
	Succeeded int           `json:"succeeded"`
	Dead      int           `json:"dead"`
	P50       time.Duration `json:"p50"` // of attempts that succeeded, in nanoseconds
	P95       time.Duration `json:"p95"`
	P99       time.Duration `json:"p99"`
	Last      time.Time     `json:"last,omitzero"` // when the latest was accepted
}

// Stats returns how a function does.
func (l *Ledger) Stats(function string) (s Stats) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var took []time.Duration
	for _, inv := range l.byID {
		if inv.Function != function {
			continue
		}
		switch inv.State {
		case Queued:
			s.Queued++
		case Dead:
			s.Dead++
		case Succeeded:
			s.Succeeded++
			took = append(took, inv.Took)
		}
		if inv.Accepted.After(s.Last) {
			s.Last = inv.Accepted
		}
	}
	slices.Sort(took)
	s.P50, s.P95, s.P99 = percentile(took, 50), percentile(took, 95), percentile(took, 99)
	return s
}

// percentile is the smallest of sorted values that p of a hundred do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*p+99)/100-1]
}
