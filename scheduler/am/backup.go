package am

import (
	"slices"

	"github.com/seed3322913c/runner/scheduler"
)

// A backup is a second attempt at a task whose first one is slow, on another executor. Whichever ends first is taken;
// the ledger decides which that was, and the other is killed.
const (
	// slowness is how many times the median of its stage an attempt must have run, and a stage must have done half of
	// its tasks: before that the median says little.
	slowness = 2
	// minBackups and backupShare bound the backups of one application master: one for so many tasks of the job.
	minBackups  = 4
	backupShare = 10
	// sampled bounds the tasks of a stage whose times make the median.
	sampled = 1001
)

// backUp gives slow attempts a backup if there is an executor that has nothing else to do, and asks for the time when
// the next one may count as slow.
func (m *machine) backUp(now int64) {
	if len(m.executors) < 2 {
		return
	}
	var due int64
	for _, s := range m.stages {
		if !s.backup || s.finished() || m.live[s.name] == nil || !m.ready(s) || m.starving(s) || m.waiting(s) {
			continue
		}
		usual, ok := s.median()
		if !ok {
			continue
		}
		if next := m.backUpStage(s, usual, now); next > 0 && (due == 0 || next < due) {
			due = next
		}
	}
	if due > 0 {
		m.decide(wake{due})
	}
}

// backUpStage is backUp for one stage, whose attempts usually take so long. It returns when to look again; 0: never.
func (m *machine) backUpStage(s *stage, usual, now int64) (due int64) {
	limit := max(slowness*usual, m.limits.backupAfter)
	for _, r := range inOrder(m.running) {
		switch e := m.elsewhere(r); {
		case r.id.Task.Stage != s.name || !m.lone(r):
		case m.backups >= max(minBackups, m.tasks()/backupShare):
			return 0
		case !m.late(r, usual, limit, now):
			next := max(r.start+limit, now+m.limits.heartbeat)
			if due == 0 || next < due {
				due = next
			}
		case e != nil: // otherwise the next attempt that ends makes room
			m.backups++
			m.liveTask(r.id.Task).backed = true
			m.try(e, r.id.Task, now)
		}
	}
	return due
}

// waiting reports whether tasks of s wait for an executor, and so come before any backup.
func (m *machine) waiting(s *stage) bool {
	l := m.live[s.name]
	return l.fresh < len(l.tasks) || slices.ContainsFunc(l.retries, func(i int) bool { return l.tasks[i].waits == again })
}

// lone reports whether r is the only attempt at its task, and may have a backup.
func (m *machine) lone(r *running) bool {
	t := m.liveTask(r.id.Task)
	return t.open == 1 && !t.backed && r.given && !r.killed
}

// late reports whether r has run for longer than limit, and either did not get on for as long, or needs longer than a
// new attempt usually does if it goes on as so far.
func (m *machine) late(r *running, usual, limit, now int64) bool {
	ran := now - r.start
	weight := m.task(r.id.Task).weight
	if ran < limit || now-r.advanced >= limit || r.done <= 0 || weight <= 0 {
		return ran >= limit
	}
	left := float64(ran) * float64(max(weight-r.done, 0)) / float64(r.done)
	return left > float64(usual)
}

// elsewhere returns an executor for a backup of r, best one on another node, or nil.
func (m *machine) elsewhere(r *running) (best *executor) {
	for _, e := range m.executors {
		fits := e != r.executor && e.free() > 0 && !m.leaves(e) && !m.shunned(e)
		if fits && (best == nil || best.node == r.executor.node && e.node != r.executor.node) {
			best = e
		}
	}
	return best
}

// tasks counts the tasks of all stages.
func (m *machine) tasks() (n int) {
	for _, s := range m.stages {
		n += len(s.tasks)
	}
	return n
}

// median returns the time that an attempt at a task of s usually takes, in milliseconds, if enough of them are done.
func (s *stage) median() (millis int64, ok bool) {
	if s.done == 0 || s.done*2 < len(s.tasks) {
		return 0, false
	}
	var times []int64
	for i := 0; i < len(s.tasks); i += 1 + len(s.tasks)/sampled {
		for _, a := range s.tasks[i].attempts {
			if a.state == scheduler.AttemptSucceeded {
				times = append(times, a.end-a.start)
			}
		}
	}
	if len(times) == 0 {
		return 0, false
	}
	slices.Sort(times)
	return times[len(times)/2], true
}
