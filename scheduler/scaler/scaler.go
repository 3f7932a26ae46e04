// Package scaler decides how many machines a fleet has: as many as its jobs have work for, within bounds, and none if
// there is none. It looks at the queues, not at how busy machines are, since a fleet without machines is never busy.
//
//	Fleet.Look ──Snapshot──▶ Decide ──Decision──▶ Fleet: Resize, Accept, End
//	                            ▲         │
//	                            └──Past───┘   the little that one round must know of the one before
//
// A machine ends in three rounds at least, so that no work is lost that comes to it meanwhile:
//
//	idle for Settings.Idle ──▶ takes no new work ──seen so, and still idle──▶ ends
//	                                └──────────── work has come ────────────▶ takes work again
//
// Busy means that a job which is not over has run something there: other machines may still read what it left.
package scaler

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/queue"
)

// Settings are what people say about the size of a fleet.
type Settings struct {
	Min  int     `json:"min"`            // machines that there are always
	Max  int     `json:"max"`            // machines that there are never more than
	Spot float64 `json:"spot,omitempty"` // share of machines that may be spot, 0 to 1
	// Idle is how long a machine has nothing to do before it ends; 0: 2 minutes.
	Idle time.Duration `json:"idle,omitempty"`
	// SpotPatience is how long the cloud may owe spot machines before they are taken on demand; 0: 3 minutes.
	SpotPatience time.Duration `json:"spot_patience,omitempty"`
	// BootTime is how long a machine may be silent before it is given up, and another one is asked for; 0: 10 minutes.
	BootTime time.Duration `json:"boot_time,omitempty"`
}

// Defaults returns the settings with what was left empty filled in.
func (s Settings) Defaults() Settings {
	for _, d := range []struct {
		of *time.Duration
		is time.Duration
	}{{&s.Idle, 2 * time.Minute}, {&s.SpotPatience, 3 * time.Minute}, {&s.BootTime, 10 * time.Minute}} {
		if *d.of == 0 {
			*d.of = d.is
		}
	}
	return s
}

// Validate returns errs.Invalid if no fleet can be so.
func (s Settings) Validate() error {
	const op = "scaler.Settings"
	switch {
	case s.Min < 0 || s.Max < s.Min || s.Max < 1:
		return errs.Errorf(op, errs.Invalid, nil,
			"from %d to %d machines: the most is at least 1, and not less than the least", s.Min, s.Max)
	case !(s.Spot >= 0 && s.Spot <= 1):
		return errs.Errorf(op, errs.Invalid, nil, "a share of %g can't be spot: 0 to 1 is possible", s.Spot)
	case s.Idle < 0 || s.SpotPatience < 0 || s.BootTime < 0:
		return errs.Errorf(op, errs.Invalid, nil, "times are not negative")
	}
	return nil
}

// State is how a machine stands towards work.
type State string

// The states of a machine.
const (
	Silent  State = "silent"  // it exists, and has not joined, or is heard of no more
	Ready   State = "ready"   // it takes work
	Stopped State = "stopped" // it takes no new work
	Dead    State = "dead"    // it is listed, and will not come back
)

// Machine is one that exists.
type Machine struct {
	ID    string // the provider's
	State State
	Busy  bool // a job that is not over has run something there
	Spot  bool
	Room  queue.Resources // what it has for containers; zero: unknown
}

// Job is one that is not over.
type Job struct {
	Executors int             // those that it could use, the ones it has included
	Ask       queue.Resources // of each of them
	Beside    queue.Resources // what else it needs: its application master
}

// Snapshot is how things stand.
type Snapshot struct {
	Now      time.Time
	Settings Settings
	Size     int // machines that the provider was told to have
	OnDemand int // machines of them that it was told not to take as spot
	Machines []Machine
	Jobs     []Job
	Past     Past // what the round before returned
}

// Past is what a round must know of the one before. The zero value will do: then all waits begin anew.
type Past struct {
	Silent  map[string]time.Time // since when machines have not answered
	Idle    map[string]time.Time // since when they have had nothing to do
	Stopped map[string]bool      // those that were told to take no new work
	Owed    time.Time            // since when the provider has had fewer than it was told; zero: it has not
	Shape   queue.Resources      // of the largest machine that was seen
}

// Size is what a provider is told.
type Size struct {
	Machines int `json:"machines"`
	OnDemand int `json:"on_demand"`
}

// Decision is what is to be done.
type Decision struct {
	Need   int      `json:"need"`             // machines for which there is work
	Resize *Size    `json:"resize,omitempty"` // nil: it stays, but for those that end
	Stop   []string `json:"stop,omitempty"`   // machines that take no new work from now on
	Accept []string `json:"accept,omitempty"` // machines that take work again
	End    []string `json:"end,omitempty"`    // machines that end, each of which makes the fleet smaller by one
	Why    string   `json:"why"`              // one sentence
	Past   Past     `json:"-"`
}

// Empty reports whether there is nothing to do.
func (d Decision) Empty() bool {
	return d.Resize == nil && len(d.Stop)+len(d.Accept)+len(d.End) == 0
}

// String says what is done, in one line.
func (d Decision) String() string {
	var parts []string
	if d.Resize != nil {
		parts = append(parts, fmt.Sprintf("size %d", d.Resize.Machines))
	}
	for _, list := range []struct {
		verb     string
		machines []string
	}{{"no new work for", d.Stop}, {"work again for", d.Accept}, {"ends", d.End}} {
		if len(list.machines) > 0 {
			parts = append(parts, list.verb+" "+strings.Join(list.machines, ", "))
		}
	}
	return strings.Join(parts, "; ") + ": " + d.Why
}
