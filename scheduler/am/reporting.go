package am

import (
	"cmp"
	"slices"
	"time"

	"github.com/seed3322913c/runner/scheduler"
)

// maxOdd bounds the attempts that went wrong in a short report, maxSlow the slow ones per stage.
const (
	maxOdd  = 100
	maxSlow = 5
)

// at makes a time of Unix milliseconds; 0 is no time.
func at(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}

// report says what the ledger knows of a job. A short one has only the latest attempts that went wrong.
func (l *ledger) report(job scheduler.Job, short bool) Report {
	r := Report{
		Job: job.ID, Name: job.Name, Kind: job.Kind, State: l.state, Message: l.message, Submitted: job.Submitted,
		Started: at(l.started), Ended: at(l.ended), Masters: l.masters, Result: l.result,
		Counters: scheduler.Counters{},
	}
	r.Counters.Merge(l.counters)
	for _, s := range l.stages {
		r.Stages = append(r.Stages, s.report())
		attempts := s.attempts(func(a attempt) bool { return !short || isOdd(a) })
		r.Attempts = append(r.Attempts, attempts...)
		if !short {
			r.Slowest = append(r.Slowest, slowest(attempts)...)
		}
	}
	slices.SortStableFunc(r.Attempts, func(a, b AttemptReport) int { return a.Start.Compare(b.Start) })
	if short && len(r.Attempts) > maxOdd {
		r.Attempts = r.Attempts[len(r.Attempts)-maxOdd:]
	}
	return r
}

func isOdd(a attempt) bool {
	return a.state == scheduler.AttemptFailed || a.state == scheduler.AttemptLost
}

func (s *stage) report() StageReport {
	r := StageReport{
		Name: s.name, Open: s.want == open, Tasks: len(s.tasks), Done: s.done, Failed: s.failed, Lost: s.lost,
		Killed: s.killed, GivenUp: s.forgone, Weight: s.weight, Worked: s.worked, Started: at(s.started),
	}
	if s.finished() {
		r.Ended = at(s.ended)
	}
	return r
}

// attempts returns those that are over and that keep wants.
func (s *stage) attempts(keep func(attempt) bool) (list []AttemptReport) {
	for i := range s.tasks {
		for _, a := range s.tasks[i].attempts {
			if keep(a) {
				id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: s.name, Index: i}, N: a.n}
				list = append(list, AttemptReport{
					ID: id, State: a.state, Executor: a.executor, Node: a.node, Start: at(a.start), End: at(a.end),
					Error: a.err,
				})
			}
		}
	}
	return list
}

// slowest returns the successful attempts that took longest.
func slowest(list []AttemptReport) []AttemptReport {
	undone := func(a AttemptReport) bool { return a.State != scheduler.AttemptSucceeded }
	done := slices.DeleteFunc(slices.Clone(list), undone)
	slices.SortStableFunc(done, func(a, b AttemptReport) int {
		return cmp.Compare(b.End.Sub(b.Start), a.End.Sub(a.Start))
	})
	return done[:min(len(done), maxSlow)]
}

// report adds what runs to what the ledger knows.
func (m *machine) report(job scheduler.Job, short bool) Report {
	r := m.ledger.report(job, short)
	for _, a := range inOrder(m.running) {
		s := &r.Stages[slices.IndexFunc(m.stages, func(s *stage) bool { return s.name == a.id.Task.Stage })]
		report := AttemptReport{
			ID: a.id, State: scheduler.AttemptRunning, Executor: a.executor.id, Node: a.executor.node,
			Start: at(a.start), Status: a.status, Done: a.done,
		}
		if m.state.Final() { // the executor was told to end it
			report.State, report.End = scheduler.AttemptKilled, r.Ended
			s.Killed++
		} else {
			s.Running++
		}
		if _, taken := m.byName[s.Name].taken(a.id.Task.Index); !taken {
			s.Worked = min(s.Worked+max(a.done, 0), s.Weight)
			r.Counters.Merge(a.counters)
		}
		if start := at(a.start); s.Started.IsZero() || start.Before(s.Started) {
			s.Started = start
		}
		r.Attempts = append(r.Attempts, report)
	}
	for _, e := range m.executors {
		one := ExecutorReport{ID: e.id, Node: e.node, Cores: e.cores, Running: len(e.running), Avoided: m.shunned(e)}
		r.Executors = append(r.Executors, one)
	}
	if r.Message == "" && !r.State.Final() {
		r.Message = m.sentence()
	}
	return r
}

// sentence says what is going on, if it is not plain from the numbers.
func (m *machine) sentence() string {
	switch {
	case m.state == scheduler.JobCommitting:
		return "publishing the output"
	case !m.planned():
		return "planning"
	case !m.settled:
		return "waiting for the executors of the previous application master to return"
	case len(m.executors) == 0:
		return "waiting for executors"
	}
	return ""
}
