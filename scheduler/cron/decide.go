package cron

import (
	"fmt"
	"slices"
	"time"
)

// grace is how late a slot may be and still count as on time: longer than a new leader takes to be elected.
const grace = time.Minute

// decide says what becomes of the slots of a schedule that have come, and of its triggers that nobody has seen yet, at
// a moment: firings that are new or that change, in the order in which they must be recorded. It is a function of its
// arguments alone, and when all that it says was recorded, it says nothing more for the same moment.
func decide(s Schedule, triggers []Trigger, past Past, now time.Time) []Firing {
	d := decision{schedule: s, now: now, open: past.open()}
	if !s.Paused {
		missed, due := s.slots(past, now)
		if !missed.IsZero() {
			d.changes = append(d.changes, Firing{
				Schedule: s.Name, Slot: missed, State: Missed, Decided: now, Ended: now,
				Message: "nobody was there at this slot, nor at those before it that are not listed",
			})
		}
		for _, slot := range due {
			d.add(Firing{Schedule: s.Name, Slot: slot}, now.Sub(slot) > grace+s.Jitter)
		}
	}
	for _, t := range triggers {
		if !past.knows(t.ID) {
			d.add(Firing{Schedule: s.Name, Slot: t.At, Trigger: t.ID}, true)
		}
	}
	d.advance()
	return d.changes
}

// decision is what decide works with.
type decision struct {
	schedule Schedule
	now      time.Time
	open     []Firing // what is not over, with the changes so far
	changes  []Firing
}

// set records that a firing is as it is from now on.
func (d *decision) set(f Firing) {
	replace := func(in []Firing) []Firing {
		if i := slices.IndexFunc(in, f.same); i >= 0 {
			in[i] = f
			return in
		}
		return append(in, f)
	}
	d.changes = replace(d.changes)
	d.open = slices.DeleteFunc(replace(d.open), func(f Firing) bool { return f.State.Final() })
}

// add decides on a new firing. What is late or was asked for by somebody waits for its turn, whatever the overlap.
func (d *decision) add(f Firing, patient bool) {
	f.State, f.Decided = Waiting, d.now
	switch waiting := d.count(Waiting); {
	case waiting >= MaxWaiting:
		d.skip(f, fmt.Sprintf("%d slots are waiting already", waiting))
	case patient || d.schedule.Overlap == Queue || len(d.open) == 0:
		d.set(f)
	case d.schedule.Overlap == Skip:
		d.skip(f, "the work before it was not over")
	default: // Replace
		for _, earlier := range slices.Clone(d.open) {
			switch {
			case earlier.State == Waiting:
				d.skip(earlier, "a later slot has taken its place")
			case !earlier.Replaced:
				earlier.Replaced = true
				d.set(earlier)
			}
		}
		d.set(f)
	}
}

func (d *decision) skip(f Firing, why string) {
	f.State, f.Ended, f.Message = Skipped, d.now, why
	d.set(f)
}

func (d *decision) count(state State) (n int) {
	for _, f := range d.open {
		if f.State == state {
			n++
		}
	}
	return n
}

// advance lets the first that waits run, if nothing runs.
func (d *decision) advance() {
	if d.count(Running) > 0 {
		return
	}
	if i := slices.IndexFunc(d.open, func(f Firing) bool { return f.State == Waiting }); i >= 0 {
		f := d.open[i]
		f.State, f.Started = Running, d.now
		d.set(f)
	}
}

// slots returns the slots that have come and were not decided on, in order: those that fire, and the latest of those
// that are too many to be caught up (the zero Time if there is none).
func (s Schedule) slots(past Past, now time.Time) (missed time.Time, due []time.Time) {
	table, err := s.Timetable()
	if err != nil {
		return time.Time{}, nil // it was checked when it was added; a later version may know better
	}
	from := s.from(past)
	onTime := now.Add(-grace - s.Jitter)
	for slot := table.Next(later(from, onTime)); s.has(slot, now); slot = table.Next(slot) {
		due = append(due, slot)
	}
	if !onTime.After(from) {
		return time.Time{}, due
	}
	late, more := lateSlots(table, from, onTime, s.CatchUp)
	return more, append(late, due...)
}

// from is the moment after which slots are not decided on.
func (s Schedule) from(past Past) time.Time { return later(s.Since, past.Considered) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// has reports whether a slot has come. Slots fire in order: one whose delay is short waits for those before it.
func (s Schedule) has(slot, now time.Time) bool {
	return !slot.IsZero() && !slot.Add(s.delay(slot)).After(now)
}

// lateSlots returns the last n slots after from and up to a moment, and the one before them, if there is one. There may
// be very many of them after a long absence; so it looks at a short time before the moment first, then at longer ones.
func lateSlots(table Timetable, from, to time.Time, n int) (late []time.Time, more time.Time) {
	for span := time.Hour; ; span *= 2 {
		start := later(from, to.Add(-span))
		late = late[:0]
		for slot := table.Next(start); !slot.IsZero() && !slot.After(to); slot = table.Next(slot) {
			if late = append(late, slot); len(late) > n+1 {
				late = slices.Delete(late, 0, 1)
			}
		}
		if len(late) > n {
			return late[1:], late[0]
		}
		if !start.After(from) {
			return late, time.Time{}
		}
	}
}

// wake is when the next slot of a schedule comes; the zero Time if none does.
func (s Schedule) wake(past Past, now time.Time) time.Time {
	table, err := s.Timetable()
	if s.Paused || err != nil {
		return time.Time{}
	}
	slot := table.Next(later(s.from(past), now.Add(-grace-s.Jitter)))
	if slot.IsZero() {
		return slot
	}
	return slot.Add(s.delay(slot))
}

// Upcoming returns when the schedule fires next, jitter included: n moments after now, fewer if there are fewer; none
// while it is paused.
func (s Schedule) Upcoming(now time.Time, n int) []time.Time {
	table, err := s.Timetable()
	if s.Paused || err != nil {
		return nil
	}
	var next []time.Time
	for slot := table.Next(later(now, s.Since)); len(next) < n && !slot.IsZero(); slot = table.Next(slot) {
		next = append(next, slot.Add(s.delay(slot)))
	}
	return next
}
