package superstep

import "time"

// This file is about time: how long a master waits, and what it does then.

// Wake returns when Tick is to be called next; the zero time means not at all. It changes with every other event.
func (m *Master) Wake() time.Time {
	switch m.phase {
	case Joining:
		return m.begun.Add(m.cfg.Register)
	case Done:
		return m.begun.Add(m.cfg.Linger)
	case Running:
		if m.at.Iteration == 0 {
			return time.Time{} // the first iteration is for loading data
		}
		first := max(m.cfg.Least, time.Millisecond)
		if m.cfg.MinRatio < 1 {
			first = min(first, m.cfg.MinTimeout)
		}
		if m.judged.Equal(m.begun) {
			return m.begun.Add(first)
		}
		return m.judged.Add(max(first/4, time.Millisecond))
	}
	return time.Time{}
}

// Tick says that time has passed.
func (m *Master) Tick(now time.Time) []Action {
	if wake := m.Wake(); wake.IsZero() || now.Before(wake) {
		return nil
	}
	switch m.phase {
	case Joining:
		m.phase = Ended
		return []Action{Fail{m.absent()}}
	case Done:
		m.phase = Ended
		return []Action{End{}}
	case Running:
		m.judged = now
		out := m.judge(now)
		return append(out, m.giveUp(now)...)
	}
	return nil
}

// judge looks for stragglers: members that take Factor times the median of those who are done, when at least half are.
func (m *Master) judge(now time.Time) (out []Action) {
	done, elapsed := m.durations(), now.Sub(m.begun)
	if 2*len(done) < len(m.members) {
		return nil
	}
	median := done[len(done)/2]
	if elapsed < max(m.cfg.Least, time.Duration(m.cfg.Factor*float64(median))) {
		return nil
	}
	for i := range m.members {
		w := &m.members[i]
		if w.got || w.flagged || w.fresh || !w.online {
			continue
		}
		w.flagged = true
		w.strikes++
		out = append(out, Straggles{i, elapsed, median})
		if m.cfg.Stragglers == Replace && w.strikes >= m.cfg.Strikes {
			out = append(out, Reject{Member{i, w.attempt}, "it was a straggler in too many iterations"})
			w.attempt, w.serial = w.attempt+1, 0 // nothing that the old attempt says counts any more
			w.online, w.strikes, w.fresh = false, 0, true
		}
	}
	return out
}

// giveUp computes without those whose results are missing, if enough are there: after MinTimeout, or at once if all
// that are missing are stragglers to be excluded, or may be further behind. A member whose result has begun to arrive
// is waited for while it is online; if it is gone, what was merged of it must be undone by another turn.
func (m *Master) giveUp(now time.Time) []Action {
	done, torn, excused, behind := 0, false, true, 0
	for _, w := range m.members {
		switch {
		case w.got:
			done++
		case w.online && w.partial == w.attempt:
			return nil
		default:
			torn = torn || w.partial != none
			excused = excused && w.flagged
			behind = max(behind, w.behind)
		}
	}
	excused = excused && m.cfg.Stragglers == Exclude || m.lenient() && behind < m.cfg.Staleness
	waited := m.cfg.MinRatio < 1 && now.Sub(m.begun) >= m.cfg.MinTimeout
	if done < m.cfg.needed() || !excused && !waited {
		return nil
	}
	if torn {
		return m.again(now)
	}
	return m.compute()
}
