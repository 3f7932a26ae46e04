package cron

import "time"

// BootTime is how long machines may take that are started at a slot, beside the time that they may run.
const BootTime = 20 * time.Minute

// AwakeUntil is when machines must end that were woken for a slot of the schedule: a time after the last slot before
// now, so that it does not become later because machines are started again and again. It is zero if that is over, or
// nothing is woken.
func (s Schedule) AwakeUntil(now time.Time) time.Time {
	table, err := s.Timetable()
	if err != nil || s.Paused || s.Wake == 0 {
		return time.Time{}
	}
	var until time.Time
	rest := s.Wake + BootTime
	for slot := table.Next(later(s.Since, now.Add(-rest))); !slot.IsZero() && !slot.After(now); slot = table.Next(slot) {
		until = slot.Add(rest)
	}
	return until
}

// AsleepUntil is when machines must end that will be woken for the next slot; zero if none will.
func (s Schedule) AsleepUntil(now time.Time) time.Time {
	if next := s.Upcoming(now, 1); s.Wake > 0 && len(next) > 0 {
		return next[0].Add(s.Wake + BootTime)
	}
	return time.Time{}
}
