package role

import (
	"time"

	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
)

// This file is what a master does with groups of workers (see group.go): it tells members where their leader is, and
// decides in each turn which groups are used.

// maxBreaks is how often a group may break in the middle of a turn before it is left alone.
const maxBreaks = 3

// routeLocked tells a worker that has joined where its leader is, if that is known.
func (m *master) routeLocked(p *peer) {
	first, _ := m.job.group(p.member.Index)
	leader := m.peers[first]
	if leader == nil || leader == p || leader.door == "" {
		return
	}
	h := wire.Header{Kind: wire.Route, Member: p.member, Extra: uint64(leader.member.Attempt) + 1}
	h.Epoch = m.book.Epoch()
	p.send(outgoing{head: h, message: wire.NewMessage([]byte(leader.door))})
}

// opened says that a leader takes members in.
func (m *master) opened(p *peer, address string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.peers[p.member.Index] != p {
		return
	}
	p.door = address
	first, beyond := m.job.group(p.member.Index)
	for i := first + 1; i < beyond; i++ {
		if member := m.peers[i]; member != nil {
			m.routeLocked(member)
		}
	}
}

// linked says that a member is linked to the leader of an attempt and 1, or to none for 0.
func (m *master) linked(p *peer, attempt uint64) {
	m.mu.Lock()
	first, _ := m.job.group(p.member.Index)
	p.leader = nil
	if l := m.peers[first]; l != nil && attempt == uint64(l.member.Attempt)+1 {
		p.leader = l
	} else {
		m.againLocked(p.member.Index)
		if m.breaks[first] < maxBreaks {
			m.routeLocked(p)
		}
	}
	m.mu.Unlock()
	m.signal()
}

// againLocked begins the present turn again if a worker's group is used in it: something has come between.
func (m *master) againLocked(index int) {
	t := m.turn.Load()
	first, _ := m.job.group(index)
	if t == nil || !t.groups[first] || t.at != m.machine.Position() {
		return
	}
	m.breaks[first]++
	m.todo = append(m.todo, m.machine.Again(time.Now())...)
}

// groupsLocked returns the leaders of the groups that can be used in a turn, and the workers whose results come within
// those of their leaders. The first iteration, in which workers come one by one, goes without.
func (m *master) groupsLocked(b superstep.Begin) (groups map[int]bool, within []bool) {
	if m.job.Group < 2 || b.Iteration == 1 {
		return nil, nil
	}
	groups, within = map[int]bool{}, make([]bool, m.job.Config.Workers)
	for first := 0; first < len(within); first += m.job.Group {
		_, beyond := m.job.group(first)
		if beyond-first < 2 || !m.togetherLocked(first, beyond) {
			continue
		}
		groups[first] = true
		for i := first + 1; i < beyond; i++ {
			within[i] = true
		}
	}
	if len(groups) > 0 {
		m.grouped++
	}
	return groups, within
}

// togetherLocked reports whether all of a group are here and linked to their leader.
func (m *master) togetherLocked(first, beyond int) bool {
	leader := m.peers[first]
	if leader == nil || m.breaks[first] >= maxBreaks {
		return false
	}
	for i := first + 1; i < beyond; i++ {
		if p := m.peers[i]; p == nil || p.leader != leader {
			return false
		}
	}
	return true
}

// senders returns the workers whose results have come with a result.
func (m *master) senders(h wire.Header) []superstep.Member {
	if h.Flags&wire.Group == 0 {
		return []superstep.Member{h.Member}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []superstep.Member
	first, beyond := m.job.group(h.Member.Index)
	for i := first; i < beyond; i++ {
		if p := m.peers[i]; p != nil { // if not, the turn has begun again
			all = append(all, p.member)
		}
	}
	return all
}
