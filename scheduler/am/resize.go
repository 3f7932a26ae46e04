package am

import (
	"fmt"
	"math"
	"slices"
)

// A job may be given more executors, or fewer, while it runs. Tasks that wait go to whoever has room, as ever;
// executors that are too many get nothing new and leave when they are done. Only gangs, whose tasks run as long as the
// job, are moved: an attempt is killed, and the next one begins elsewhere.

// maxResize bounds the executors that somebody may ask for.
const maxResize = 100_000

// resize gives the job another number of executors, or says why that cannot be. It is done when the job was resized turn
// times, behind those that are not recorded yet.
func (m *machine) resize(count int) (turn int, refusal string) {
	gang := m.gang()
	switch {
	case m.state.Final():
		return 0, fmt.Sprintf("the job is over already: %s", m.state)
	case m.ending:
		return 0, "the job is ending already"
	case count < 1 || count > maxResize:
		return 0, fmt.Sprintf("a job has 1 to %d executors, not %d", maxResize, count)
	case gang > count*m.limits.cpu:
		return 0, fmt.Sprintf("%d tasks of the job run at the same time, and %d executors of cpu %d have room for %d",
			gang, count, m.limits.cpu, count*m.limits.cpu)
	}
	m.resizing++
	m.decide(write{record{Resized: &resized{count}}})
	return m.resized + m.resizing, ""
}

func (m *machine) recordedResized(count int) {
	m.resizing--
	m.use(count)
	if m.allowed >= m.scaled {
		m.leaveBy = math.MaxInt64 // whoever has to go may finish what it runs
	}
}

// gang counts the tasks that must run at the same time.
func (m *machine) gang() (n int) {
	for _, s := range m.stages {
		if s.gang {
			n += len(s.tasks)
		}
	}
	return n
}

// rearrange moves tasks of gangs: away from executors that have to go, when the others have room for all of them; and,
// when all of a job run that was resized, one from the fullest executor to the emptiest.
func (m *machine) rearrange(now int64) {
	if m.gang() == 0 || m.resized == 0 && m.allowed >= m.scaled {
		return
	}
	var moving, leaving, staying []*running // those of gangs
	for _, r := range inOrder(m.running) {
		switch {
		case !m.byName[r.id.Task.Stage].gang:
		case r.killed || !r.given:
			moving = append(moving, r)
		case m.leaves(r.executor):
			leaving = append(leaving, r)
		default:
			staying = append(staying, r)
		}
	}
	if len(leaving) > 0 {
		if m.room() >= len(leaving) {
			for _, r := range leaving {
				m.stop(r, "its executor is to leave", now)
			}
		}
		return
	}
	if m.resized == 0 || len(moving) > 0 || len(staying) == 0 || len(staying) < m.gang() {
		return
	}
	from := slices.MaxFunc(staying, func(a, b *running) int { return len(a.executor.running) - len(b.executor.running) })
	to := m.emptiest()
	if to == nil || len(from.executor.running) <= len(to.running)+1 {
		return
	}
	for _, r := range slices.Backward(staying) { // the first task of all, often a master, is the last that one would move
		if r.executor == from.executor {
			m.stop(r, "there is more room on "+to.id, now)
			return
		}
	}
}

// room counts the free cores of executors that stay.
func (m *machine) room() (n int) {
	for _, e := range m.executors {
		if !m.leaves(e) {
			n += max(0, e.free())
		}
	}
	return n
}

// emptiest returns the executor that runs least of those that could have more, or nil.
func (m *machine) emptiest() (best *executor) {
	for _, e := range m.executors {
		if e.free() > 0 && !m.leaves(e) && !m.bad(e) && (best == nil || len(e.running) < len(best.running)) {
			best = e
		}
	}
	return best
}
