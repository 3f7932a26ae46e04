package am

import (
	"net"
	"slices"
)

// nearWait is how long tasks wait at most for executors that have their input near, in milliseconds: about as long as
// it takes to fetch an input from far away instead.
const nearWait = 3000

// waitsForNear reports whether task i of a stage should rather wait than be given to an executor that is far from its
// input (delay scheduling). It should while there is another executor that is near, and as long as such executors do
// take tasks: what was given to one of them last, or could have been first, is not long ago.
func (m *machine) waitsForNear(s *stage, i int, now int64) bool {
	hosts := s.tasks[i].hosts
	if !slices.ContainsFunc(m.executors, func(e *executor) bool {
		host, _, err := net.SplitHostPort(e.node)
		return err == nil && slices.Contains(hosts, host) && !m.bad(e) && m.worthWaiting(e)
	}) {
		return false
	}
	l := m.live[s.name]
	if l.nearSince == 0 {
		l.nearSince = now
	}
	until := l.nearSince + nearWait
	if now >= until {
		return false
	}
	if l.nearWake != until {
		l.nearWake = until
		m.decide(wake{until})
	}
	return true
}
