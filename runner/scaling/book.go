// Package scaling keeps a fleet as large as its jobs need, from within: the control that leads looks at its queues and
// at the machines, package scaler decides, and the provider of the machines starts and ends them.
//
//	control (leads) ──jobs, machines as Nomad sees them──▶ Machines ──▶ scaler.Run
//	fleet.Pool ──machines as who pays for them sees them──────┘   │
//	     ▲──Adjust, EndWorker────────────────────────────────────┘──Eligible──▶ Nomad
//
// What people want and what was decided lies where machines report how they boot, so that both can be read and written
// of a fleet that does not answer:
//
//	scale/settings.json   a scaler.Settings; without it the fleet stays as it is
//	scale/decided.json    the last decisions, the newest first
package scaling

import (
	"context"
	"encoding/json"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/scheduler/scaler"
)

// Book is what is written down about the size of a fleet.
type Book struct{ Depot nodeinit.Depot }

const (
	settingsFile = "scale/settings.json"
	decidedFile  = "scale/decided.json"
	longest      = 1 << 20 // bytes of either
	kept         = 20      // decisions
)

// Event is a decision, and what became of it.
type Event struct {
	Time time.Time `json:"time"`
	scaler.Decision
	Error string `json:"error,omitempty"`
}

// Settings returns what people want, or errs.NotFound if the fleet stays as it is.
func (b Book) Settings(ctx context.Context) (scaler.Settings, error) {
	var s scaler.Settings
	if err := b.read(ctx, settingsFile, &s); err != nil {
		return s, err
	}
	return s, s.Validate()
}

// Set writes down what people want.
func (b Book) Set(ctx context.Context, s scaler.Settings) error {
	if err := s.Validate(); err != nil {
		return err
	}
	return b.write(ctx, settingsFile, s)
}

// Unset lets the fleet stay as it is from now on.
func (b Book) Unset(ctx context.Context) error {
	return b.Depot.Store.Delete(ctx, b.Depot.Base.Join(settingsFile))
}

// Note adds a decision to the last ones.
func (b Book) Note(ctx context.Context, e Event) error {
	before, err := b.Decided(ctx)
	if err != nil {
		return err
	}
	return b.write(ctx, decidedFile, append([]Event{e}, before[:min(len(before), kept-1)]...))
}

// Decided returns the last decisions, the newest first.
func (b Book) Decided(ctx context.Context) ([]Event, error) {
	var all []Event
	err := b.read(ctx, decidedFile, &all)
	if errs.KindOf(err) == errs.NotFound {
		return nil, nil
	}
	return all, err
}

func (b Book) read(ctx context.Context, file store.Name, v any) error {
	text, err := store.Get(ctx, b.Depot.Store, b.Depot.Base.Join(string(file)), longest)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return errs.E("scaling.read", errs.Corrupt, file, err)
	}
	return nil
}

func (b Book) write(ctx context.Context, file store.Name, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return errs.E("scaling.write", errs.Internal, file, err)
	}
	return store.Put(ctx, b.Depot.Store, b.Depot.Base.Join(string(file)), text)
}
