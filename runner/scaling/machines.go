package scaling

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/roster"
	"github.com/seed3322913c/runner/scheduler/scaler"
)

// Pool is a provider whose machines end one by one.
type Pool interface {
	machines.Pool
	Adjust(ctx context.Context, cluster string, c machines.Change) error
}

// Config is all that a Machines needs.
type Config struct {
	Cluster string // its name
	Pool    Pool
	Book    Book
	// Eligible says to Nomad whether a machine takes new work.
	Eligible func(ctx context.Context, machine string, yes bool) error
	Log      *slog.Logger
}

// Machines are the workers of a fleet, to be made more and less.
type Machines struct {
	cfg  Config
	most atomic.Int64
	mu   struct {
		sync.Mutex
		nodes map[string]string // Nomad's ids by the provider's
	}
}

// New returns the machines of a fleet.
func New(cfg Config) *Machines { return &Machines{cfg: cfg} }

// Most is how many workers there may be, as far as is known; 0 if the fleet stays as it is.
func (m *Machines) Most() int { return int(m.most.Load()) }

// Standing returns the jobs of a fleet that are not over, and its machines as Nomad sees them.
type Standing func() ([]roster.Entry, fleet.View, error)

// Run keeps the fleet as large as it shall be, until ctx ends. What it decides is logged, and written down.
func (m *Machines) Run(ctx context.Context, now Standing) error {
	return scaler.Run(ctx, seen{m, now}, scaler.Options{Tell: func(d scaler.Decision, err error) {
		e := Event{Time: time.Now().UTC(), Decision: d}
		if err != nil {
			e.Error = say.Sentence(err)
		}
		m.cfg.Log.Info("scaling", "decision", d.String(), "error", err)
		if err := m.cfg.Book.Note(ctx, e); err != nil {
			m.cfg.Log.Warn("writing down how the fleet is scaled", "error", err)
		}
	}})
}

// seen is a scaler.Fleet: machines with all that is known about them.
type seen struct {
	*Machines
	standing Standing
}

// Look implements scaler.Fleet, as do the methods of Machines.
func (m seen) Look(ctx context.Context) (scaler.Snapshot, error) {
	settings, err := m.cfg.Book.Settings(ctx)
	if errs.KindOf(err) == errs.NotFound {
		m.most.Store(0)
	}
	if err != nil {
		return scaler.Snapshot{}, err
	}
	m.most.Store(int64(settings.Max))
	workers, err := m.cfg.Pool.Workers(ctx, m.cfg.Cluster)
	if err != nil {
		return scaler.Snapshot{}, err
	}
	jobs, view, err := m.standing()
	if err != nil {
		return scaler.Snapshot{}, err
	}
	s := scaler.Snapshot{Settings: settings, Size: workers.Size, OnDemand: workers.OnDemand, Jobs: demand(jobs)}
	nodes := map[string]string{}
	for _, w := range workers.Machines {
		node, known := nodeAt(view, w.Private)
		if known {
			nodes[w.ID] = node.ID
		}
		s.Machines = append(s.Machines, machineOf(w, node, working(view.Traces[node.ID], jobs)))
	}
	m.mu.Lock()
	m.mu.nodes = nodes
	m.mu.Unlock()
	return s, nil
}

// Accept has a machine take new work, or none.
func (m *Machines) Accept(ctx context.Context, machine string, work bool) error {
	m.mu.Lock()
	node, known := m.mu.nodes[machine]
	m.mu.Unlock()
	if !known {
		return nil // it has gone meanwhile
	}
	return m.cfg.Eligible(ctx, node, work)
}

// End ends a machine. As with Resize, somebody who has said meanwhile how large the fleet shall be has the last word:
// he takes the settings back first.
func (m *Machines) End(ctx context.Context, machine string) error {
	if _, err := m.cfg.Book.Settings(ctx); err != nil {
		return err
	}
	return m.cfg.Pool.EndWorker(ctx, m.cfg.Cluster, machine)
}

// Resize says how many machines there shall be.
func (m *Machines) Resize(ctx context.Context, to scaler.Size) error {
	settings, err := m.cfg.Book.Settings(ctx)
	if err != nil {
		return err
	}
	most := max(settings.Max, to.Machines)
	return m.cfg.Pool.Adjust(ctx, m.cfg.Cluster, machines.Change{
		Workers: &to.Machines, Most: &most, OnDemand: &to.OnDemand,
	})
}

// demand is what jobs could use.
func demand(entries []roster.Entry) (jobs []scaler.Job) {
	for _, e := range entries {
		if e.Kill != "" {
			continue
		}
		jobs = append(jobs, scaler.Job{
			Executors: max(e.Want, e.Gang), Ask: e.Ask, Beside: fleet.Master(),
		})
	}
	return jobs
}

// nodeAt returns Nomad's machine at an address: the one that is alive, should there have been others before.
func nodeAt(view fleet.View, address string) (found client.Node, known bool) {
	for _, n := range view.Nodes {
		if n.Address == address && (!known || found.State == nomadapi.NodeStatusDown) {
			found, known = n, true
		}
	}
	return found, known
}

// working reports whether one of the jobs that left traces is not over.
func working(traces map[scheduler.JobID]bool, jobs []roster.Entry) bool {
	return traces[""] || slices.ContainsFunc(jobs, func(e roster.Entry) bool { return traces[e.Job] })
}

// machineOf puts together what both sides know of a machine.
func machineOf(w machines.Machine, node client.Node, busy bool) scaler.Machine {
	m := scaler.Machine{ID: w.ID, State: scaler.Stopped, Busy: busy, Spot: w.Spot, Room: node.Total}
	switch {
	case w.State != "pending" && w.State != "running":
		m.State = scaler.Dead
	case node.State == nomadapi.NodeStatusReady:
		m.State = scaler.Ready
	case node.ID == "" || node.State == nomadapi.NodeStatusDown || node.State == nomadapi.NodeStatusInit ||
		node.State == nomadapi.NodeStatusDisconnected:
		m.State = scaler.Silent
	}
	return m
}
