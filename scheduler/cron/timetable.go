package cron

import (
	"hash/fnv"
	"strings"
	"time"

	"github.com/hashicorp/cronexpr"

	"github.com/seed3322913c/runner/infra/errs"
)

// Timetable tells when slots are: five fields (minute, hour, day of the month, month, day of the week) as crontab has
// them, seven with seconds before and years behind them, or @hourly, @daily, @weekly, @monthly, @yearly.
//
// The clocks of a zone jump. A schedule that says at which hours (0 2 * * *) means what people read on the wall, once:
// an hour that is left out in spring fires when the clock has jumped, and an hour that comes twice in autumn fires the
// first time. A schedule whose hours are *, or */N, means time that passes: it fires as often as the hour comes. This
// is how cron has treated them since Vixie's.
type Timetable struct {
	expr *cronexpr.Expression
	zone *time.Location
	wall bool // hours are those on the wall
}

// Parse reads an expression, for a zone of the IANA database ("" for UTC). The error is of kind Invalid.
func Parse(expr, zone string) (Timetable, error) {
	const op = "cron.Parse"
	loc, err := location(zone)
	if err != nil {
		return Timetable{}, err
	}
	fields := strings.Fields(expr)
	macro := len(fields) == 1 && strings.HasPrefix(expr, "@")
	if !macro && len(fields) != 5 && len(fields) != 7 {
		return Timetable{}, errs.Errorf(op, errs.Invalid, expr, "want five fields, as in 0 2 * * *: "+
			"minute, hour, day of the month, month, day of the week")
	}
	parsed, err := cronexpr.Parse(expr)
	if err != nil {
		return Timetable{}, errs.E(op, errs.Invalid, expr, err)
	}
	t := Timetable{expr: parsed, zone: loc, wall: expr != "@hourly"}
	if !macro {
		hour := fields[1+(len(fields)-5)/2]
		t.wall = !strings.HasPrefix(hour, "*")
	}
	return t, nil
}

func location(zone string) (*time.Location, error) {
	if zone == "Local" {
		return nil, errs.Errorf("cron.Parse", errs.Invalid, zone, "name the time zone, as in Europe/Paris")
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return nil, errs.Errorf("cron.Parse", errs.Invalid, zone, "there is no such time zone; want one as in Europe/Paris")
	}
	return loc, nil
}

// Next returns the first slot after a moment, in the timetable's zone; the zero Time if there is none.
func (t Timetable) Next(after time.Time) time.Time {
	if !t.wall {
		return t.expr.Next(after.In(t.zone))
	}
	// Of the hours on the wall: look them up where no clock jumps, then find the moment. What a clock that was put back
	// lately shows has been shown before, so that slots further on may be in the past; and some behind may be ahead.
	local := after.In(t.zone)
	wall := onWall(local)
	if from, _ := local.ZoneBounds(); !from.IsZero() && local.Sub(from) < maxJump {
		wall = wall.Add(-maxJump)
	}
	for {
		wall = t.expr.Next(wall)
		if wall.IsZero() {
			return wall
		}
		if slot := t.moment(wall); slot.After(after) {
			return slot
		}
	}
}

// maxJump is more than a clock is ever put back at once: no zone has jumped by more than a day.
const maxJump = 25 * time.Hour

// onWall is what a clock shows, as a time of UTC.
func onWall(local time.Time) time.Time {
	year, month, day := local.Date()
	return time.Date(year, month, day, local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), time.UTC)
}

// moment is when the zone's clock first shows a time; if it never does since the clock jumps over it, the jump.
func (t Timetable) moment(wall time.Time) time.Time {
	at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, t.zone)
	from, _ := at.ZoneBounds()
	if !onWall(at).Equal(wall) { // jumped over: at is within a jump's length of the jump, before or behind it
		if _, to := at.ZoneBounds(); onWall(at).Before(wall) {
			return to
		}
		return from
	}
	if from.IsZero() {
		return at
	}
	// Was the clock put back lately, so that it showed the same before?
	_, now := at.Zone()
	_, before := from.Add(-time.Second).Zone()
	if earlier := at.Add(time.Duration(now-before) * time.Second); before > now && earlier.Before(from) {
		return earlier
	}
	return at
}

// delay is how much later than its slot a schedule fires: always the same for a slot, different from schedule to
// schedule, below jitter.
func (s Schedule) delay(slot time.Time) time.Duration {
	if s.Jitter <= 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(s.Name + "\x00" + slot.UTC().Format(time.RFC3339))) // a hash takes everything
	return time.Duration(h.Sum64() % uint64(s.Jitter))
}
