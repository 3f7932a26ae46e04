package scaling

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/queue"
	"github.com/seed3322913c/runner/scheduler/roster"
	"github.com/seed3322913c/runner/scheduler/scaler"
)

// world is a provider, Nomad and a queue in memory.
type world struct {
	sync.Mutex
	workers machines.Workers
	nodes   []client.Node // by whose names the provider calls them
	traces  map[string]map[scheduler.JobID]bool
	jobs    []roster.Entry
	ended   []string
}

func (w *world) Workers(context.Context, string) (machines.Workers, error) { return w.workers, nil }

func (w *world) Adjust(_ context.Context, _ string, c machines.Change) error {
	w.workers.Size, w.workers.OnDemand = *c.Workers, *c.OnDemand
	return nil
}

func (w *world) EndWorker(_ context.Context, _, machine string) error {
	w.Lock()
	defer w.Unlock()
	w.ended = append(w.ended, machine)
	w.workers.Size--
	w.workers.Machines = slices.DeleteFunc(w.workers.Machines, func(m machines.Machine) bool { return m.ID == machine })
	return nil
}

// eligible does as Nomad, whose list shows a machine that takes no new work as full.
func (w *world) eligible(_ context.Context, node string, yes bool) error {
	w.Lock()
	defer w.Unlock()
	i := slices.IndexFunc(w.nodes, func(n client.Node) bool { return n.ID == node })
	w.nodes[i].State = map[bool]string{true: client.Ready, false: "full"}[yes]
	return nil
}

func (w *world) standing() ([]roster.Entry, fleet.View, error) {
	return w.jobs, fleet.View{Nodes: slices.Clone(w.nodes), Traces: w.traces}, nil
}

// open makes a world of workers, each of which is a node, and says between what it may grow and shrink.
func open(t *testing.T, workers ...string) (*world, seen) {
	t.Helper()
	w := &world{workers: machines.Workers{Size: len(workers)}}
	for _, id := range workers {
		w.workers.Machines = append(w.workers.Machines, machines.Machine{ID: id, State: "running", Private: "at " + id})
		w.nodes = append(w.nodes, client.Node{
			ID: "node of " + id, Address: "at " + id, State: client.Ready, Total: queue.Resources{Cores: 4, Memory: 16 << 30},
		})
	}
	m := New(Config{
		Cluster: "demo", Pool: w, Book: Book{Depot: nodeinit.Depot{Store: mem.New()}}, Eligible: w.eligible,
		Log: slog.New(slog.DiscardHandler),
	})
	return w, seen{m, w.standing}
}

// TestBusyMachinesStay lets a fleet shrink to nothing, but for the machine where a job that is not over has left
// something; when that is over, it goes too.
func TestBusyMachinesStay(t *testing.T) {
	w, s := open(t, "busy", "used", "idle")
	if d, err := scaler.Round(t.Context(), s, scaler.Past{}, time.Now()); err != nil || !d.Empty() {
		t.Errorf("a fleet that stays as it is: %v, %v", d, err)
	}
	if err := s.cfg.Book.Set(t.Context(), scaler.Settings{Max: 3, Idle: time.Minute}); err != nil {
		t.Fatal(err)
	}
	w.jobs = []roster.Entry{{Job: "runs"}} // which wants no executors any more
	w.traces = map[string]map[scheduler.JobID]bool{"node of busy": {"runs": true}, "node of used": {"over": true}}
	now, past := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), scaler.Past{}
	rounds := func() {
		for range 10 {
			now = now.Add(30 * time.Second)
			d, err := scaler.Round(t.Context(), s, past, now)
			if past = d.Past; err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(w.ended)
	}
	if rounds(); !slices.Equal(w.ended, []string{"idle", "used"}) {
		t.Errorf("%v have ended", w.ended)
	}
	w.jobs = nil
	if rounds(); !slices.Equal(w.ended, []string{"busy", "idle", "used"}) || w.workers.Size != 0 {
		t.Errorf("when no job is left, %v have ended", w.ended)
	}
}

// TestUserHasTheLastWord scales a fleet by hand when it was just decided that it shall grow, and that a machine is to
// end.
func TestUserHasTheLastWord(t *testing.T) {
	w, s := open(t, "idle")
	if err := s.cfg.Book.Set(t.Context(), scaler.Settings{Max: 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.cfg.Book.Unset(t.Context()); err != nil {
		t.Fatal(err)
	}
	grown, ended := s.Resize(t.Context(), scaler.Size{Machines: 3}), s.End(t.Context(), "idle")
	if errs.KindOf(grown) != errs.NotFound || errs.KindOf(ended) != errs.NotFound || w.workers.Size != 1 {
		t.Errorf("it grows (%v) or shrinks (%v) all the same, to %d", grown, ended, w.workers.Size)
	}
}

// TestStates: what both sides know of a machine makes its state.
func TestStates(t *testing.T) {
	w, s := open(t, "ready", "full", "down", "gone")
	w.nodes[1].State, w.nodes[2].State, w.workers.Machines[3].State = "full", "down", "shutting-down"
	w.workers.Machines = append(w.workers.Machines, machines.Machine{ID: "boots", State: "pending", Spot: true})
	if _, err := s.Look(t.Context()); errs.KindOf(err) != errs.NotFound {
		t.Errorf("without bounds: %v", err)
	}
	if err := s.cfg.Book.Set(t.Context(), scaler.Settings{Max: 7}); err != nil {
		t.Fatal(err)
	}
	look, err := s.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]scaler.State{
		"ready": scaler.Ready, "full": scaler.Stopped, "down": scaler.Silent, "gone": scaler.Dead, "boots": scaler.Silent,
	}
	for _, m := range look.Machines {
		if m.State != want[m.ID] || m.Spot != (m.ID == "boots") {
			t.Errorf("%+v, want it %s", m, want[m.ID])
		}
	}
	if len(look.Machines) != len(want) || s.Most() != 7 {
		t.Errorf("%d machines, at most %d", len(look.Machines), s.Most())
	}
}
