package am

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// A snapshot is a shorter ledger: the records, one a line, that lead to the same state.

// Restore implements journal.State.
func (l *ledger) Restore(snapshot io.Reader) error {
	l.reset()
	if snapshot == nil {
		return nil
	}
	for lines := json.NewDecoder(snapshot); ; {
		var r record
		switch err := lines.Decode(&r); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return errs.E("am.Restore", errs.Corrupt, nil, err)
		}
		if err := l.apply(r); err != nil {
			return err
		}
	}
}

// Apply implements journal.State.
func (l *ledger) Apply(data []byte) error {
	r, err := parseRecord(data)
	if err != nil {
		return err
	}
	return l.apply(r)
}

// Snapshot implements journal.State. What it returns shares with the ledger what is only ever replaced or appended to,
// so that it is made in milliseconds, and encoded while the ledger goes on.
func (l *ledger) Snapshot() (io.WriterTo, error) {
	s := &snapshot{*l}
	s.stages = slices.Clone(l.stages)
	for i, live := range l.stages {
		live.lent = true
		copied := *live
		copied.tasks = slices.Clone(live.tasks)
		s.stages[i] = &copied
	}
	return s, nil
}

// snapshot is a ledger that does not change any more.
type snapshot struct{ ledger }

// WriteTo implements io.WriterTo.
func (s *snapshot) WriteTo(w io.Writer) (int64, error) {
	out := &counting{Writer: bufio.NewWriter(w)}
	lines := json.NewEncoder(out)
	for r := range s.records {
		if err := lines.Encode(r); err != nil {
			return out.n, errs.E("am.Snapshot", errs.Other, nil, err)
		}
	}
	return out.n, out.Flush()
}

// counting counts what is written.
type counting struct {
	*bufio.Writer
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n += int64(n)
	return n, err
}

// records yields records that lead from nothing to the present state.
func (l *ledger) records(yield func(record) bool) {
	for i := range l.masters {
		b := began{Session: l.session, Time: l.started}
		if i < l.masters-l.inSession {
			b.Session = "earlier than " + l.session
		}
		if !yield(record{Began: &b}) {
			return
		}
	}
	if l.resized > 0 && !yield(record{Resized: &resized{l.executors}}) {
		return
	}
	if l.stages != nil && !l.planRecords(yield) {
		return
	}
	if l.state == scheduler.JobCommitting && !yield(record{Commit: &commit{}}) {
		return
	}
	if l.state.Final() {
		yield(record{Final: &final{l.state, l.message, l.result, l.ended}})
	}
}

// planRecords yields what concerns stages and tasks.
func (l *ledger) planRecords(yield func(record) bool) bool {
	p := plan{Executors: l.executors, Stages: []planStage{}}
	for _, s := range l.stages {
		want := s.want
		if s.cut {
			want = open
		}
		p.Stages = append(p.Stages, planStage{s.name, s.needs, want, s.mayFail, s.backup, s.gang})
	}
	if !yield(record{Plan: &p}) {
		return false
	}
	for _, s := range l.stages {
		if s.cut && s.want != open && !yield(record{Cut: &cut{Stage: s.name, Tasks: s.want}}) {
			return false
		}
		list := make([]scheduler.Task, len(s.tasks))
		for i, t := range s.tasks {
			list[i] = scheduler.Task{Weight: t.weight, Hosts: t.hosts}
		}
		for r := range tasksRecords(s.name, list) {
			if !yield(r) {
				return false
			}
		}
		for i := range s.tasks {
			if !l.attemptRecords(s, i, yield) {
				return false
			}
		}
	}
	return true
}

func (l *ledger) attemptRecords(s *stage, index int, yield func(record) bool) bool {
	t := &s.tasks[index]
	for _, a := range t.attempts {
		id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: s.name, Index: index}, N: a.n}
		e := ended{
			Attempt: id, State: a.state, Executor: a.executor, Node: a.node, Start: a.start, End: a.end, Error: a.err,
			Inputs: a.inputs,
		}
		if now, _ := s.taken(index); now == id {
			e.Data, e.Counters = s.outputs[index].Data, l.shared.unpack(t.counters)
		}
		if !yield(record{Ended: &e}) {
			return false
		}
	}
	return !t.forgone || yield(record{Forgone: &forgone{scheduler.TaskID{Stage: s.name, Index: index}}})
}

// tasksRecords cuts the tasks of a stage into pieces that fit an entry of the journal.
func tasksRecords(stage string, list []scheduler.Task) func(yield func(record) bool) {
	const piece = 4096 // tasks; with a few hosts each about half a megabyte
	return func(yield func(record) bool) {
		for part := range slices.Chunk(list, piece) {
			if !yield(record{Tasks: &tasks{stage, part}}) {
				return
			}
		}
	}
}
