// Package cron starts work by the clock: at each slot of a schedule once, whatever becomes of the processes that watch
// the clock.
//
//	schedules/<name>/schedule.json      what people want, written by anybody        (Book)
//	schedules/<name>/trigger/<id>       that it shall run now, too                  (Book)
//	firings/log/...                     what was done about it, written by a leader (package journal)
//
//	Serve ── stands for election ──▶ leader: ┌▶ schedules, triggers, history ── decide ──▶ records ──▶ journal
//	                                         │                                                          │
//	                                         └────────── Runner.Ensure, Runner.Kill ◀── what is running ┘
//
// A slot is a moment that a schedule's expression names. That it fires is a record in the journal before anything is
// started, and the record has the id of what is started: a leader that takes over, or one that was paused and believes
// that it still leads, can only ask for the same work again, which is there already. Of several leaders only one gets
// its record into the journal.
//
// Time zones, daylight saving: see Timetable.
package cron

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// Overlap says what happens at a slot while the schedule's work still runs.
type Overlap string

// The ways to treat an overlap.
const (
	Skip    Overlap = "skip"    // the slot is left out
	Queue   Overlap = "queue"   // the slot waits until the work before it is over
	Replace Overlap = "replace" // the running work is killed, then the slot's is started
)

// Limits of a schedule.
const (
	MaxCatchUp = 1000
	MaxJitter  = 24 * time.Hour
	MinWake    = 15 * time.Minute
	MaxWake    = 24 * time.Hour
	MaxWaiting = 100 // slots of one schedule that wait in line; what comes then is left out
	maxWork    = 1 << 20
)

// Schedule is what people want: some work at the slots of an expression.
type Schedule struct {
	Name    string        `json:"name"`
	Cron    string        `json:"cron"`           // as Timetable has it
	Zone    string        `json:"zone,omitempty"` // of the IANA database, as in Europe/Paris; empty: UTC
	Overlap Overlap       `json:"overlap"`
	CatchUp int           `json:"catchUp"`          // of slots that nobody was there for, the latest so many fire late
	Jitter  time.Duration `json:"jitter,omitempty"` // slots fire up to so much later, each schedule at a time of its own

	// Wake is how long the machines may run that were started for a slot, because none was there; 0: none are.
	Wake time.Duration `json:"wake,omitempty"`

	Since  time.Time `json:"since"` // slots count after this moment: when it was added, or resumed
	Paused bool      `json:"paused,omitempty"`
	User   string    `json:"user,omitempty"`

	// Work is what is run, for the Runner alone to understand.
	Work json.RawMessage `json:"work"`
}

var scheduleName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// CheckName says whether a schedule may have a name; the error is of kind Invalid.
func CheckName(name string) error {
	if !scheduleName.MatchString(name) {
		return errs.Errorf("cron.Check", errs.Invalid, name,
			"a schedule's name is lower-case letters, digits, dots, dashes and underscores, 63 at most")
	}
	return nil
}

// Check returns an error of kind Invalid if something about s but its work is wrong, now being when it is asked.
func (s Schedule) Check(now time.Time) error {
	const op = "cron.Check"
	if err := CheckName(s.Name); err != nil {
		return err
	}
	t, err := s.Timetable()
	switch {
	case err != nil:
		return err
	case t.Next(now).IsZero():
		return errs.Errorf(op, errs.Invalid, s.Cron, "this moment never comes")
	case !slices.Contains([]Overlap{Skip, Queue, Replace}, s.Overlap):
		return errs.Errorf(op, errs.Invalid, s.Overlap, "an overlap is skip, queue or replace")
	case s.CatchUp < 0 || s.CatchUp > MaxCatchUp:
		return errs.Errorf(op, errs.Invalid, s.CatchUp, "0 to %d slots can be caught up", MaxCatchUp)
	case s.Jitter < 0 || s.Jitter > MaxJitter:
		return errs.Errorf(op, errs.Invalid, s.Jitter, "a jitter is up to %v", MaxJitter)
	}
	return s.checkWake()
}

func (s Schedule) checkWake() error {
	const op = "cron.Check"
	switch {
	case s.Wake == 0:
		return nil
	case s.Wake < MinWake || s.Wake > MaxWake:
		return errs.Errorf(op, errs.Invalid, s.Wake, "machines that are woken run for %v to %v", MinWake, MaxWake)
	case s.CatchUp == 0:
		return errs.Errorf(op, errs.Invalid, s.CatchUp, "machines that are woken come after the slot, which is caught up")
	case s.Jitter > 0:
		return errs.Errorf(op, errs.Invalid, s.Jitter, "machines that are woken at a slot don't wait")
	}
	return nil
}

// Timetable returns when the schedule's slots are. The error is of kind Invalid.
func (s Schedule) Timetable() (Timetable, error) { return Parse(s.Cron, s.Zone) }

// State is where a firing stands.
type State string

// The states of a firing; all but the first two are final.
const (
	Waiting   State = "WAITING"   // for the work before it
	Running   State = "RUNNING"   // its work was started, or is about to be
	Succeeded State = "SUCCEEDED" // its work has
	Failed    State = "FAILED"    // its work has, or could not be started
	Killed    State = "KILLED"    // somebody, or the next slot, has ended its work
	Skipped   State = "SKIPPED"   // the work before it still ran
	Missed    State = "MISSED"    // nobody was there, and more slots than are caught up; the earlier ones likewise
)

// Final reports whether the state never changes again.
func (s State) Final() bool { return s != Waiting && s != Running }

// Firing is what became of a slot, or of a trigger.
type Firing struct {
	Schedule string    `json:"schedule"`
	Slot     time.Time `json:"slot"`              // of a trigger: when it was asked for
	Trigger  string    `json:"trigger,omitempty"` // its id, if somebody asked for it
	ID       string    `json:"id,omitempty"`      // of the work, drawn by the Runner; empty before it runs
	State    State     `json:"state"`
	Decided  time.Time `json:"decided"`          // when the slot was decided on
	Started  time.Time `json:"started,omitzero"` // when it stopped waiting
	Ended    time.Time `json:"ended,omitzero"`
	Message  string    `json:"message,omitempty"` // why it is as it is, if there is something to say

	// Replaced says that its work is being killed for a later slot.
	Replaced bool `json:"replaced,omitempty"`
}

// same reports whether two values are about the same slot or trigger.
func (f Firing) same(g Firing) bool {
	return f.Schedule == g.Schedule && f.Trigger == g.Trigger && f.Slot.Equal(g.Slot)
}

// placeholder is what Fill replaces: {{.Name}}, with blanks where Go's templates allow them.
var placeholder = regexp.MustCompile(`\{\{\s*(\.?[^{}]*?)\s*\}\}`)

// Fill replaces placeholders in a text by what they are for a slot; an unknown one is an error of kind Invalid:
//
//	{{.FireTime}}   the slot in UTC, as in 20261121T020000Z
//	{{.FireDate}}   the slot's date where the schedule is, as in 2026-11-21
//	{{.FireHour}}   the slot's hour where the schedule is, as in 02
//	{{.Schedule}}   the schedule's name
func (s Schedule) Fill(text string, slot time.Time) (string, error) {
	zone, err := location(s.Zone)
	if err != nil {
		return "", err
	}
	local := slot.In(zone)
	values := map[string]string{
		"FireTime": slot.UTC().Format("20060102T150405Z"), "FireDate": local.Format(time.DateOnly),
		"FireHour": local.Format("15"), "Schedule": s.Name,
	}
	var unknown error
	text = placeholder.ReplaceAllStringFunc(text, func(found string) string {
		name := placeholder.FindStringSubmatch(found)[1]
		value, ok := values[strings.TrimPrefix(name, ".")]
		if !ok || !strings.HasPrefix(name, ".") {
			unknown = errs.Errorf("cron.Fill", errs.Invalid, found,
				"there are .FireTime, .FireDate, .FireHour and .Schedule")
		}
		return value
	})
	return text, unknown
}
