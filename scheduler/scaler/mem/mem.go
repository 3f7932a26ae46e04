// Package mem is a fleet of machines in memory, for tests of scalers: machines boot when time passes, spot machines
// come if there are any, and the test says which jobs there are and where they have run.
package mem

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/queue"
	"github.com/seed3322913c/runner/scheduler/scaler"
)

// Fleet is a scaler.Fleet. Its fields may be changed between calls of its methods, which lock.
type Fleet struct {
	sync.Mutex
	Settings scaler.Settings
	Jobs     []scaler.Job
	Shape    queue.Resources // of all machines
	Boot     time.Duration   // machines take to answer
	NoSpot   bool            // the cloud has no spot machines
	Now      time.Time

	size     scaler.Size
	machines map[string]*machine
	started  int
}

type machine struct {
	scaler.Machine
	since time.Time
}

// New returns a fleet without machines.
func New(s scaler.Settings, shape queue.Resources) *Fleet {
	return &Fleet{Settings: s, Shape: shape, machines: map[string]*machine{}}
}

// Pass lets time pass: machines that are owed start, and those that have booted take work.
func (f *Fleet) Pass(d time.Duration) {
	f.Lock()
	defer f.Unlock()
	f.Now = f.Now.Add(d)
	for _, m := range f.machines {
		if m.State == scaler.Silent && f.Now.Sub(m.since) >= f.Boot {
			m.State, m.Room = scaler.Ready, f.Shape
		}
	}
	paid := 0
	for _, m := range f.machines {
		if !m.Spot {
			paid++
		}
	}
	for len(f.machines) < f.size.Machines {
		spot := paid >= f.size.OnDemand
		if spot && f.NoSpot {
			return
		}
		if !spot {
			paid++
		}
		f.started++
		id := fmt.Sprintf("m%d", f.started)
		f.machines[id] = &machine{scaler.Machine{ID: id, State: scaler.Silent, Spot: spot}, f.Now}
	}
}

// Change changes a machine, as by a crash, or by work that comes to it.
func (f *Fleet) Change(id string, how func(*scaler.Machine)) {
	f.Lock()
	defer f.Unlock()
	if m := f.machines[id]; m != nil {
		how(&m.Machine)
	}
}

// Machines returns the machines by their names.
func (f *Fleet) Machines() []scaler.Machine {
	f.Lock()
	defer f.Unlock()
	return f.list()
}

func (f *Fleet) list() (all []scaler.Machine) {
	for _, id := range slices.Sorted(maps.Keys(f.machines)) {
		all = append(all, f.machines[id].Machine)
	}
	return all
}

// Look implements scaler.Fleet, as do the other methods.
func (f *Fleet) Look(context.Context) (scaler.Snapshot, error) {
	f.Lock()
	defer f.Unlock()
	if f.Settings == (scaler.Settings{}) {
		return scaler.Snapshot{}, errs.E("mem.Look", errs.NotFound, nil, nil)
	}
	return scaler.Snapshot{
		Settings: f.Settings, Size: f.size.Machines, OnDemand: f.size.OnDemand, Machines: f.list(),
		Jobs: slices.Clone(f.Jobs),
	}, nil
}

// Accept has a machine take work, or none.
func (f *Fleet) Accept(_ context.Context, id string, work bool) error {
	state := scaler.Stopped
	if work {
		state = scaler.Ready
	}
	f.Change(id, func(m *scaler.Machine) { m.State = state })
	return nil
}

// End ends a machine.
func (f *Fleet) End(_ context.Context, id string) error {
	f.Lock()
	defer f.Unlock()
	if f.machines[id] != nil {
		delete(f.machines, id)
		f.size.Machines--
	}
	return nil
}

// Resize says how many machines there shall be.
func (f *Fleet) Resize(_ context.Context, to scaler.Size) error {
	f.Lock()
	defer f.Unlock()
	if to.Machines < len(f.machines) {
		return errs.Errorf("mem.Resize", errs.Invalid, to.Machines, "there are %d", len(f.machines))
	}
	f.size = to
	return nil
}
