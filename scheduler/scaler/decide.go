package scaler

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/scheduler/queue"
)

// Decide makes one round of decisions. It depends on nothing but its argument.
func Decide(s Snapshot) Decision {
	s.Settings = s.Settings.Defaults()
	r := round{Snapshot: s, d: Decision{Past: Past{
		Silent: map[string]time.Time{}, Idle: map[string]time.Time{}, Stopped: map[string]bool{}, Shape: s.Past.Shape,
	}}}
	r.look()
	r.d.Need, r.d.Why = need(s.Jobs, r.d.Past.Shape)
	target := min(max(r.d.Need, s.Settings.Min), s.Settings.Max)
	r.size = max(s.Size, len(s.Machines)) - len(r.d.End)
	supply := len(r.ready) + r.silent + r.owed
	if target > supply {
		r.grow(target - supply)
	} else {
		r.shrink(supply - target)
	}
	r.endStopped()
	r.settle()
	return r.d
}

// round is a Decision in the making.
type round struct {
	Snapshot
	d       Decision
	ready   []Machine
	stopped []Machine
	silent  int // machines that are expected to answer
	owed    int // machines that are asked for, and don't exist
	paid    int // machines that are not spot
	size    int // what the provider is to be told
}

// look sorts the machines, ends those that are lost, and writes down since when things are as they are.
func (r *round) look() {
	slices.SortFunc(r.Machines, func(a, b Machine) int { return cmp.Compare(a.ID, b.ID) })
	for _, m := range r.Machines {
		if m.Room.Cores > r.d.Past.Shape.Cores {
			r.d.Past.Shape = m.Room
		}
		if m.State == Dead || m.State == Silent && r.since(m, r.Past.Silent, r.d.Past.Silent) > r.Settings.BootTime {
			r.d.End = append(r.d.End, m.ID)
			continue
		}
		if !m.Spot {
			r.paid++
		}
		switch m.State {
		case Silent:
			r.silent++
		case Ready:
			r.ready = append(r.ready, m)
		case Stopped:
			r.stopped = append(r.stopped, m)
		}
		if m.State != Silent && !m.Busy {
			r.since(m, r.Past.Idle, r.d.Past.Idle)
		}
	}
	if r.owed = max(0, r.Size-len(r.Machines)); r.owed > 0 {
		if r.d.Past.Owed = r.Past.Owed; r.d.Past.Owed.IsZero() {
			r.d.Past.Owed = r.Now
		}
	}
}

// since says for how long a machine has been so, and writes it down for the next round.
func (r *round) since(m Machine, before, now map[string]time.Time) time.Duration {
	at, known := before[m.ID]
	if !known {
		at = r.Now
	}
	now[m.ID] = at
	return r.Now.Sub(at)
}

// need returns how many machines of a shape have work, and says why. As long as no machine was ever seen, one is asked
// for: it tells.
func need(jobs []Job, shape queue.Resources) (machines int, why string) {
	executors, parts := 0, 0.0
	for _, j := range jobs {
		executors += j.Executors
		each := fit(j.Ask, shape)
		if each == 0 { // no machine is large enough, which its queue will say
			continue
		}
		parts += float64(j.Executors)/float64(each) + share(j.Beside, shape)
	}
	why = fmt.Sprintf("executors wanted: %d", executors)
	switch {
	case executors == 0:
		return 0, "there is no work"
	case shape == queue.Resources{}:
		return 1, why + "; the first machine will say how many there is room for"
	}
	const tolerance = 1e-9
	return int(math.Ceil(parts - tolerance)), why
}

// grow makes the fleet larger, first by machines that were just told to end.
func (r *round) grow(lack int) {
	for _, m := range r.stopped {
		if lack > 0 && r.Past.Stopped[m.ID] {
			r.accept(m)
			lack--
		}
	}
	r.size = max(r.size, min(r.size+lack, r.Settings.Max))
}

func (r *round) accept(m Machine) { r.d.Accept = append(r.d.Accept, m.ID) }

// shrink makes the fleet smaller: what the provider owes is not wanted any more, and who has been idle the longest
// takes no new work.
func (r *round) shrink(surplus int) {
	less := min(surplus, r.owed)
	r.size -= less
	surplus -= less
	idle := slices.DeleteFunc(slices.Clone(r.ready), func(m Machine) bool { return m.Busy || !r.idled(m) })
	slices.SortStableFunc(idle, func(a, b Machine) int {
		return r.d.Past.Idle[a.ID].Compare(r.d.Past.Idle[b.ID])
	})
	for _, m := range idle[:min(surplus, len(idle))] {
		r.d.Stop = append(r.d.Stop, m.ID)
		r.d.Past.Stopped[m.ID] = true
	}
}

// idled reports whether a machine has had nothing to do for long enough.
func (r *round) idled(m Machine) bool {
	at, idle := r.d.Past.Idle[m.ID]
	return idle && r.Now.Sub(at) >= r.Settings.Idle
}

// endStopped ends machines that have taken no new work since the round before, and have none. One that somebody else
// has stopped is given time to come back.
func (r *round) endStopped() {
	for _, m := range r.stopped {
		ours := r.Past.Stopped[m.ID]
		switch {
		case slices.Contains(r.d.Accept, m.ID):
		case ours && m.Busy: // work has come between two looks
			r.accept(m)
		case ours:
			r.d.End = append(r.d.End, m.ID)
			r.size--
		case !m.Busy && r.idled(m):
			r.d.Past.Stopped[m.ID] = true
		}
	}
}

// settle says what the provider is told, if that is anything new. Spot machines that it has owed for too long are taken
// on demand.
func (r *round) settle() {
	onDemand := fleet.OnDemand(r.size, r.Settings.Spot)
	late := r.owed > 0 && r.Now.Sub(r.d.Past.Owed) >= r.Settings.SpotPatience && r.size > len(r.Machines)-len(r.d.End)
	if r.Settings.Spot > 0 {
		onDemand = max(onDemand, min(r.paid, r.size)) // those that there are stay
		if late {
			onDemand = min(r.size, max(onDemand, r.paid+r.owed))
		}
	}
	grown := r.size != r.Size-len(r.d.End)
	fallback := late && onDemand > r.OnDemand
	if grown || fallback {
		r.d.Resize = &Size{Machines: r.size, OnDemand: onDemand}
	}
	if fallback {
		r.d.Why += "; the cloud has no spot machines, so others are taken"
	}
}

// fit is how many of what is asked for fit into a machine; 1 if nobody knows.
func fit(ask, shape queue.Resources) int64 {
	if shape == (queue.Resources{}) {
		return 1
	}
	most := int64(math.MaxInt64)
	for _, d := range dimensions(ask, shape) {
		if d.ask > 0 {
			most = min(most, d.has/d.ask)
		}
	}
	return most
}

// share is the part of a machine that is asked for.
func share(ask, shape queue.Resources) (most float64) {
	for _, d := range dimensions(ask, shape) {
		if d.ask > 0 && d.has > 0 {
			most = max(most, float64(d.ask)/float64(d.has))
		}
	}
	return most
}

type dimension struct{ ask, has int64 }

func dimensions(ask, shape queue.Resources) [3]dimension {
	return [3]dimension{{ask.Cores, shape.Cores}, {ask.Memory, shape.Memory}, {ask.GPUs, shape.GPUs}}
}
