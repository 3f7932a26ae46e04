// Package roster is what a fleet's control knows for ever: which queues there are, which jobs wait or run in them, and
// how many executors each of them may have. It is the state of a journal (infra/journal), so a control that takes over
// knows the same, and one that was replaced can decide nothing more.
//
// It is a pure state machine: what happens depends on the records alone. A record is one line of JSON:
//
//	{"queues":{...}}                                         the queues are these from now on
//	{"enter":{"job":"7k2f-words","queue":"default",...}}     a job waits
//	{"want":{"job":"7k2f-words","count":3}}                  it could use 3 executors
//	{"allow":{"job":"7k2f-words","count":2,...}}             it may have 2; the first such record admits it
//	{"kill":{"job":"7k2f-words","why":"killed by ann"}}      somebody wants its end
//	{"leave":{"job":"7k2f-words"}}                           it is over, whichever way
//
// Jobs that have left are not kept: their own ledgers and histories say what became of them. Records about jobs that
// are not there change nothing, since they may have been overtaken.
package roster

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/queue"
)

// Entry is a job that is not over.
type Entry struct {
	Job       scheduler.JobID `json:"job"`
	Queue     string          `json:"queue"`
	User      string          `json:"user,omitempty"`
	Priority  int             `json:"priority,omitempty"`
	Entered   time.Time       `json:"entered"`
	Ask       queue.Resources `json:"ask"`               // of each executor
	Want      int             `json:"want"`              // executors that it could use
	Gang      int             `json:"gang,omitempty"`    // executors without which it cannot work
	Allowed   int             `json:"allowed,omitempty"` // executors that it may have
	Admitted  time.Time       `json:"admitted,omitzero"` // when its application master was to be started; zero: it waits
	Preempted int             `json:"preempted,omitempty"`
	Kill      string          `json:"kill,omitempty"` // why somebody wants its end; "" if nobody does
}

// Running reports whether the job was admitted.
func (e Entry) Running() bool { return !e.Admitted.IsZero() }

// Record is something that happened: exactly one field is set.
type Record struct {
	Queues *queue.Config `json:"queues,omitempty"`
	Enter  *Entry        `json:"enter,omitempty"`
	Want   *Want         `json:"want,omitempty"`
	Allow  *Allow        `json:"allow,omitempty"`
	Kill   *Kill         `json:"kill,omitempty"`
	Leave  *Leave        `json:"leave,omitempty"`
}

// The kinds of records, beside queues and jobs that enter.
type (
	// Want says how many executors a job could use.
	Want struct {
		Job   scheduler.JobID `json:"job"`
		Count int             `json:"count"`
	}
	// Allow says how many executors a job may have from now on.
	Allow struct {
		Job     scheduler.JobID `json:"job"`
		Count   int             `json:"count"`
		Time    time.Time       `json:"time"`
		Preempt bool            `json:"preempt,omitempty"` // fewer than before, for others
	}
	// Kill says that somebody wants the end of a job.
	Kill struct {
		Job scheduler.JobID `json:"job"`
		Why string          `json:"why"`
	}
	// Leave says that a job is over.
	Leave struct {
		Job scheduler.JobID `json:"job"`
	}
)

// Encode returns a record's line.
func (r Record) Encode() ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, errs.E("roster.Encode", errs.Internal, nil, err)
	}
	return data, nil
}

// Default is the queue of a fleet that nobody has divided.
func Default() queue.Config {
	return queue.Config{Name: "root", Children: []queue.Config{{Name: "default", Share: 1}}}
}

// Roster is a journal.State. Whoever shares it locks around it.
type Roster struct {
	config queue.Config
	tree   *queue.Tree
	jobs   map[scheduler.JobID]Entry
}

// New returns the empty roster: one queue, no job.
func New() *Roster {
	r := &Roster{}
	r.reset()
	return r
}

func (r *Roster) reset() {
	r.config, r.jobs = Default(), map[scheduler.JobID]Entry{}
	r.tree, _ = queue.New(r.config) // which is well formed
}

// Config returns the queues as they were described.
func (r *Roster) Config() queue.Config { return r.config }

// Tree returns the queues.
func (r *Roster) Tree() *queue.Tree { return r.tree }

// Get returns a job that is not over.
func (r *Roster) Get(id scheduler.JobID) (Entry, bool) {
	e, ok := r.jobs[id]
	return e, ok
}

// Jobs returns all jobs that are not over, who entered first first.
func (r *Roster) Jobs() []Entry {
	return slices.SortedFunc(maps.Values(r.jobs), func(a, b Entry) int {
		return cmp.Or(a.Entered.Compare(b.Entered), cmp.Compare(a.Job, b.Job))
	})
}

// Apply implements journal.State.
func (r *Roster) Apply(data []byte) error {
	var record Record
	if err := json.Unmarshal(data, &record); err != nil {
		return errs.E("roster.Apply", errs.Corrupt, nil, err)
	}
	return r.apply(record)
}

func (r *Roster) apply(record Record) error {
	switch {
	case record.Queues != nil:
		tree, err := queue.New(*record.Queues)
		if err != nil { // it was checked before it was written
			return errs.E("roster.Apply", errs.Corrupt, nil, err)
		}
		r.config, r.tree = *record.Queues, tree
	case record.Enter != nil:
		if _, known := r.jobs[record.Enter.Job]; !known {
			r.jobs[record.Enter.Job] = *record.Enter
		}
	case record.Want != nil:
		r.change(record.Want.Job, func(e *Entry) { e.Want = record.Want.Count })
	case record.Allow != nil:
		r.change(record.Allow.Job, func(e *Entry) {
			if !e.Running() {
				e.Admitted = record.Allow.Time
			}
			if record.Allow.Preempt {
				e.Preempted += e.Allowed - record.Allow.Count
			}
			e.Allowed = record.Allow.Count
		})
	case record.Kill != nil:
		r.change(record.Kill.Job, func(e *Entry) { e.Kill = cmp.Or(e.Kill, record.Kill.Why) })
	case record.Leave != nil:
		delete(r.jobs, record.Leave.Job)
	}
	return nil // a record of a later version is about something that this one does not know
}

// change changes an entry, if it is there.
func (r *Roster) change(id scheduler.JobID, how func(*Entry)) {
	if e, ok := r.jobs[id]; ok {
		how(&e)
		r.jobs[id] = e
	}
}

// Snapshot implements journal.State: the shortest records that lead to the same state.
func (r *Roster) Snapshot() (io.WriterTo, error) {
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	err := lines.Encode(Record{Queues: &r.config})
	for _, e := range r.Jobs() {
		if err == nil {
			err = lines.Encode(Record{Enter: &e})
		}
	}
	if err != nil {
		return nil, errs.E("roster.Snapshot", errs.Internal, nil, err)
	}
	return &out, nil
}

// Restore implements journal.State.
func (r *Roster) Restore(snapshot io.Reader) error {
	r.reset()
	if snapshot == nil {
		return nil
	}
	for lines := json.NewDecoder(snapshot); ; {
		var record Record
		switch err := lines.Decode(&record); {
		case err == io.EOF:
			return nil
		case err != nil:
			return errs.E("roster.Restore", errs.Corrupt, nil, err)
		}
		if err := r.apply(record); err != nil {
			return err
		}
	}
}
