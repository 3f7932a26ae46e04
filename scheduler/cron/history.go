package cron

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// maxKept is how many firings of a schedule are remembered that are over.
const maxKept = 100

// History is what was done about schedules: the State of the journal. It changes by records alone.
type History struct {
	ByName map[string]*Past `json:"schedules"`
}

// Past is what was done about one schedule.
type Past struct {
	// Considered is the last slot that was decided on: it and all before it never come up again.
	Considered time.Time `json:"considered,omitzero"`
	Firings    []Firing  `json:"firings"` // in the order of the decisions
}

// record is one entry of the journal: a firing as it is from now on, or that a schedule is forgotten.
type record struct {
	Firing *Firing `json:"firing,omitempty"`
	Forget string  `json:"forget,omitempty"`
}

func encode(r record) ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, errs.E("cron.encode", errs.Internal, nil, err)
	}
	return data, nil
}

// Of returns what was done about a schedule.
func (h *History) Of(name string) Past {
	if p := h.ByName[name]; p != nil {
		return *p
	}
	return Past{}
}

// open returns the firings that are not over, in the order of the decisions.
func (p Past) open() []Firing {
	var open []Firing
	for _, f := range p.Firings {
		if !f.State.Final() {
			open = append(open, f)
		}
	}
	return open
}

// knows reports whether a trigger was decided on.
func (p Past) knows(trigger string) bool {
	return slices.ContainsFunc(p.Firings, func(f Firing) bool { return f.Trigger == trigger })
}

// Restore is for the journal.
func (h *History) Restore(snapshot io.Reader) error {
	h.ByName = map[string]*Past{}
	if snapshot == nil {
		return nil
	}
	if err := json.NewDecoder(snapshot).Decode(h); err != nil || h.ByName == nil {
		return errs.E("cron.Restore", errs.Corrupt, nil, err)
	}
	return nil
}

// Snapshot is for the journal.
func (h *History) Snapshot() (io.WriterTo, error) {
	data, err := json.Marshal(h)
	if err != nil {
		return nil, errs.E("cron.Snapshot", errs.Internal, nil, err)
	}
	return bytes.NewBuffer(data), nil
}

// Apply is for the journal.
func (h *History) Apply(data []byte) error {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return errs.E("cron.Apply", errs.Corrupt, nil, err)
	}
	if r.Forget != "" {
		delete(h.ByName, r.Forget)
	}
	if r.Firing != nil {
		h.put(*r.Firing)
	}
	return nil
}

// put replaces what is known of a firing, or adds it.
func (h *History) put(f Firing) {
	p := h.ByName[f.Schedule]
	if p == nil {
		p = &Past{}
		h.ByName[f.Schedule] = p
	}
	if f.Trigger == "" && f.Slot.After(p.Considered) {
		p.Considered = f.Slot
	}
	if i := slices.IndexFunc(p.Firings, f.same); i >= 0 {
		p.Firings[i] = f
	} else {
		p.Firings = append(p.Firings, f)
	}
	for over := len(p.Firings) - len(p.open()); over > maxKept; over-- {
		oldest := slices.IndexFunc(p.Firings, func(f Firing) bool { return f.State.Final() })
		p.Firings = slices.Delete(p.Firings, oldest, oldest+1)
	}
}
