package am

import (
	"cmp"
	"net"
	"slices"

	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// liveStage is what is known of a stage's tasks besides the ledger.
type liveStage struct {
	tasks   []liveTask
	fresh   int              // no task below it waits for its first attempt
	retries []int            // tasks that wait to be tried again, first come first served
	near    map[string][]int // tasks that wait for their first attempt, by host that has their input, best first
	forgone int              // tasks that are given up, or will be when that is durable

	nearSince int64 // when an executor that is near was last given a task, or the first task waited for one; 0: never
	nearWake  int64 // when it will be looked at again whether tasks still wait for such executors
}

// liveTask is small: there may be very many. Whether a task waits is said by waits alone; the lists of a stage may name
// it when it does not any more.
type liveTask struct {
	open   uint16 // attempts that run, or whose outcome is on its way to the ledger
	tried  uint16 // attempts that this application master has started
	waits  waits
	backed bool // one of them beside another
}

// waits says what a task waits for.
type waits uint8

const (
	no    waits = iota // it runs, is done, or is delayed
	first              // for an executor, for the first time
	again              // for an executor, to be tried again; it is among the retries of its stage
	never              // it is given up
)

func (m *machine) liveTask(id scheduler.TaskID) *liveTask { return &m.live[id.Stage].tasks[id.Index] }

// enlist makes known tasks wait that were not known before.
func (m *machine) enlist() {
	for _, s := range m.stages {
		l := m.live[s.name]
		if l == nil {
			l = &liveStage{near: map[string][]int{}, forgone: s.forgone}
			m.live[s.name] = l
		}
		for i := len(l.tasks); i < len(s.tasks); i++ {
			t := liveTask{waits: first}
			if _, taken := s.taken(i); taken {
				t.waits = no
			}
			if s.tasks[i].forgone {
				t.waits = never
			}
			l.tasks = append(l.tasks, t)
			for _, host := range s.tasks[i].hosts {
				l.near[host] = append(l.near[host], i)
			}
		}
	}
	if m.active && m.planned() && !m.finished() {
		m.scaleTo(m.ledger.executors)
	}
}

// scaleTo asks for executors, never for fewer than before.
func (m *machine) scaleTo(count int) {
	if count <= m.useful {
		return
	}
	m.use(count)
	if most := min(count, m.allowed); most > m.scaled {
		m.scaled = most
		m.decide(scale{most})
	}
}

// use takes note of how many executors the job could use.
func (m *machine) use(count int) {
	m.useful = count
	if m.limits.shared && m.planned() {
		m.decide(want{count})
	}
}

// requeue makes a task wait for another attempt, unless it has a result or one may be coming.
func (m *machine) requeue(id scheduler.TaskID, delay, now int64) {
	s, t := m.byName[id.Stage], m.liveTask(id)
	if _, taken := s.taken(id.Index); taken || t.open > 0 || t.waits != no {
		return
	}
	if delay > 0 {
		m.delayed = append(m.delayed, delayed{id, now + delay})
		m.decide(wake{now + delay})
		return
	}
	t.waits = again
	l := m.live[id.Stage]
	l.retries = append(l.retries, id.Index)
}

// schedule does what can be done now: ask for tasks, commit, or give waiting tasks to executors.
func (m *machine) schedule(now int64) {
	if !m.active || m.ending || !m.planned() {
		return
	}
	if m.finished() {
		m.ending = true
		m.decide(write{record{Commit: &commit{Time: now}}})
		return
	}
	m.fit(now)
	if m.failWithoutExecutors(now); m.ending {
		return
	}
	for _, s := range m.stages {
		if s.want == open && m.fed(s) && !m.asked[s.name] {
			m.asked[s.name] = true
			m.decide(ask{what: askCut, stage: s.name})
		}
	}
	if !m.settled && len(m.executors) < m.ledger.executors && now < m.settleBy {
		return
	}
	m.settled = true
	for {
		e, id := m.match(now)
		if e == nil {
			break
		}
		m.try(e, id, now)
		if m.ending {
			return
		}
	}
	m.rearrange(now)
	m.backUp(now)
}

// try starts an attempt at a task on an executor.
func (m *machine) try(e *executor, id scheduler.TaskID, now int64) {
	t := m.liveTask(id)
	if t.tried == stride {
		m.fail(now, "%s was tried %d times", id, stride)
		return
	}
	a := scheduler.AttemptID{Task: id, N: (m.masters-1)*stride + int(t.tried)}
	t.tried++
	m.start(e, a, now)
	m.decide(ask{what: askPayload, attempt: a})
}

// failWithoutExecutors ends the job when no executor is left and the launcher starts no other.
func (m *machine) failWithoutExecutors(now int64) {
	if len(m.executors) > 0 || m.scaled == 0 {
		return
	}
	var latest launch.Event
	for i := range m.scaled {
		ev, ok := m.containers[i]
		if stopped := ev.State == launch.Done && !m.limits.shared; !ok || ev.State != launch.Failed && !stopped {
			return
		}
		latest = ev
	}
	m.fail(now, "no executor is left: %s %s; it is not started again", latest.Container, latest.Exit)
}

// match finds an executor with a free core and a task for it: the executor with the most free cores first.
func (m *machine) match(now int64) (*executor, scheduler.TaskID) {
	var free []*executor
	for _, e := range m.executors {
		if e.free() > 0 && !m.leaves(e) && !m.shunned(e) {
			free = append(free, e)
		}
	}
	slices.SortStableFunc(free, func(a, b *executor) int { return cmp.Compare(b.free(), a.free()) })
	for _, e := range free {
		for _, s := range m.stages {
			if i, ok := m.pick(s, e, now); ok {
				return e, scheduler.TaskID{Stage: s.name, Index: i}
			}
		}
	}
	return nil, scheduler.TaskID{}
}

// maxFailures is how many attempts may fail on an executor in a row before others are preferred for everything. Without
// that, a broken one would fail tasks faster than the others can do them.
const maxFailures = 3

// shunned reports whether e should get nothing because there is a better one. The last one that is left is never
// shunned, nor is anybody when all are bad: then it is the job that fails everywhere.
func (m *machine) shunned(e *executor) bool {
	return m.bad(e) && slices.ContainsFunc(m.executors, func(other *executor) bool {
		return !m.bad(other) && m.worthWaiting(other)
	})
}

// worthWaiting reports whether it makes sense to wait for an executor that may be busy: one that has to give way gets
// nothing any more, and one that is busy with a gang stays so until all of the gang is done.
func (m *machine) worthWaiting(e *executor) bool {
	return !m.leaves(e) && (e.free() > 0 || m.gang() == 0)
}

// bad reports whether e fails what it is given, or its node does. Failures on a node are also held against what it has
// done: a function that fails now and then says nothing about where it runs.
func (m *machine) bad(e *executor) bool {
	const share = 4 // a node is bad if one attempt in so many fails
	n := m.nodes[e.node]
	return e.failures >= maxFailures ||
		e.node != "" && n.failed >= m.limits.nodeFailures && n.failed*share > n.failed+n.succeeded
}

// pick takes a waiting task of s for e: one to be tried again, else one whose input is near, else the first, unless
// that waits for who is near its input.
func (m *machine) pick(s *stage, e *executor, now int64) (int, bool) {
	l := m.live[s.name]
	if l == nil || !m.ready(s) || m.starving(s) {
		return 0, false
	}
	l.retries = slices.DeleteFunc(l.retries, func(i int) bool { return l.tasks[i].waits != again })
	for _, i := range l.retries {
		if !m.avoids(s, i, e) {
			return i, true
		}
	}
	isFirst := func(i int) bool { return l.tasks[i].waits == first }
	if host, _, err := net.SplitHostPort(e.node); err == nil {
		i := slices.IndexFunc(l.near[host], isFirst)
		if i >= 0 {
			l.near[host] = l.near[host][i:]
			l.nearSince = now
			return l.near[host][0], true
		}
		delete(l.near, host) // a task waits for its first attempt only once
	}
	for ; l.fresh < len(l.tasks); l.fresh++ {
		if isFirst(l.fresh) {
			return l.fresh, !m.waitsForNear(s, l.fresh, now)
		}
	}
	return 0, false
}

// starving reports whether s needs an output that is about to count as lost.
func (m *machine) starving(s *stage) bool {
	for id, about := range m.suspects {
		if about.condemned && slices.Contains(s.needs, id.Task.Stage) {
			return true
		}
	}
	return false
}

// avoids reports whether task i should not run on e because it failed there, and has not on some other executor that
// may get it.
func (m *machine) avoids(s *stage, i int, e *executor) bool {
	failedOn := func(id string) bool {
		return slices.ContainsFunc(s.tasks[i].attempts, func(a attempt) bool {
			return a.state == scheduler.AttemptFailed && a.executor == id
		})
	}
	if !failedOn(e.id) {
		return false
	}
	for _, other := range m.executors {
		if !failedOn(other.id) && !m.shunned(other) && m.worthWaiting(other) {
			return true
		}
	}
	return false
}
