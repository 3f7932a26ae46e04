package scaler_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/queue"
	"github.com/seed3322913c/runner/scheduler/scaler"
	"github.com/seed3322913c/runner/scheduler/scaler/mem"
)

var (
	shape = queue.Resources{Cores: 4, Memory: 16 << 30}
	one   = queue.Resources{Cores: 1, Memory: 1 << 30}
)

// jobs is a job that wants so many executors of a core each, or none.
func jobs(executors int) []scaler.Job {
	if executors == 0 {
		return nil
	}
	return []scaler.Job{{Executors: executors, Ask: one, Beside: one}}
}

// script plays a fleet in memory.
//
//	fleet min=N max=N [spot=SHARE] [nospot]
//	want N              executors of one job; 0: there is no job
//	busy|idle|dies M    of a machine
//	spot                there are spot machines again
//	rounds N [every=S]  what N rounds decide, and how the fleet is then
type script struct {
	fleet *mem.Fleet
	past  scaler.Past
}

func TestDecisions(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return s.do(t, d) })
	})
}

func (s *script) do(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "fleet":
		var settings scaler.Settings
		d.ScanArgs(t, "min", &settings.Min)
		d.ScanArgs(t, "max", &settings.Max)
		percent := 0
		d.MaybeScanArgs(t, "spot", &percent)
		settings.Spot = float64(percent) / 100
		s.fleet, s.past = mem.New(settings, shape), scaler.Past{}
		s.fleet.Boot, s.fleet.NoSpot = 30*time.Second, d.HasArg("nospot")
		return ""
	case "want":
		n := 0
		if _, err := fmt.Sscan(d.CmdArgs[0].Key, &n); err != nil {
			t.Fatal(err)
		}
		s.fleet.Jobs = jobs(n)
		return ""
	case "spot":
		s.fleet.NoSpot = false
		return ""
	case "busy", "idle", "dies":
		for _, arg := range d.CmdArgs {
			s.fleet.Change(arg.Key, func(m *scaler.Machine) {
				m.Busy = d.Cmd == "busy"
				if d.Cmd == "dies" {
					m.State = scaler.Dead
				}
			})
		}
		return ""
	case "rounds":
		n, every := 0, 10
		if _, err := fmt.Sscan(d.CmdArgs[0].Key, &n); err != nil {
			t.Fatal(err)
		}
		d.MaybeScanArgs(t, "every", &every)
		return s.rounds(t, n, time.Duration(every)*time.Second)
	}
	d.Fatalf(t, "what is %s?", d.Cmd)
	return ""
}

func (s *script) rounds(t *testing.T, n int, every time.Duration) string {
	var b strings.Builder
	for range n {
		s.fleet.Pass(every)
		d, err := scaler.Round(t.Context(), s.fleet, s.past, s.fleet.Now)
		if err != nil {
			t.Fatal(err)
		}
		if s.past = d.Past; d.Empty() {
			continue
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%4.0fs %s\n", s.fleet.Now.Sub(time.Time{}).Seconds(), text)
	}
	var words []string
	for _, m := range s.fleet.Machines() {
		word := m.ID + " " + string(m.State)
		if m.Spot {
			word += " spot"
		}
		words = append(words, word)
	}
	return b.String() + "[" + strings.Join(words, ", ") + "]\n"
}

// TestProperties plays random days: whatever happens, bounds hold, nobody loses work, and when nothing happens any more
// the fleet is as large as its jobs need.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 8).Draw(t, "max")
		f := mem.New(scaler.Settings{
			Min: rapid.IntRange(0, most).Draw(t, "min"), Max: most, Spot: float64(rapid.IntRange(0, 10).Draw(t, "spot")) / 10,
		}, shape)
		f.Boot = time.Duration(rapid.IntRange(0, 120).Draw(t, "boot")) * time.Second
		p := &play{T: t, f: f, idle: map[string]time.Time{}}
		for range rapid.IntRange(1, 60).Draw(t, "rounds") {
			p.happen()
			p.round(time.Duration(rapid.IntRange(1, 60).Draw(t, "seconds")) * time.Second)
		}
		p.calm()
	})
}

type play struct {
	*rapid.T
	f    *mem.Fleet
	past scaler.Past
	idle map[string]time.Time // since when machines were seen with nothing to do
}

func (p *play) happen() {
	all := p.f.Machines()
	switch what := rapid.IntRange(0, 6).Draw(p.T, "what"); {
	case what == 0:
		p.f.Jobs = jobs(rapid.IntRange(0, 40).Draw(p.T, "executors"))
	case what == 1:
		p.f.NoSpot = !p.f.NoSpot
	case len(all) == 0:
	case what == 2:
		p.f.Change(rapid.SampledFrom(all).Draw(p.T, "machine").ID, func(m *scaler.Machine) { m.State = scaler.Dead })
	case what < 5: // work comes and goes; also to one that was just told to take none
		p.f.Change(rapid.SampledFrom(all).Draw(p.T, "machine").ID, func(m *scaler.Machine) {
			m.Busy = m.State != scaler.Silent && !m.Busy
		})
	case what == 5: // the control that leads is another one
		p.past = scaler.Past{}
	}
}

func (p *play) round(passes time.Duration) {
	p.f.Pass(passes)
	before, supply := map[string]scaler.Machine{}, 0
	for _, m := range p.f.Machines() {
		before[m.ID] = m
		if m.State == scaler.Ready || m.State == scaler.Silent {
			supply++
		}
		if _, known := p.idle[m.ID]; m.Busy || m.State == scaler.Silent {
			delete(p.idle, m.ID)
		} else if !known {
			p.idle[m.ID] = p.f.Now
		}
	}
	d, err := scaler.Round(context.Background(), p.f, p.past, p.f.Now)
	if err != nil {
		p.Fatal(err)
	}
	p.past = d.Past
	for _, id := range d.End {
		m := before[id]
		if m.Busy && m.State != scaler.Dead && m.State != scaler.Silent || m.State == scaler.Ready {
			p.Fatalf("%s ends, which was %+v", id, m)
		}
	}
	for _, id := range d.Stop {
		if before[id].Busy {
			p.Fatalf("%s takes no new work, and has some", id)
		}
		if idle := p.f.Now.Sub(p.idle[id]); idle < p.f.Settings.Defaults().Idle {
			p.Fatalf("%s takes no new work, and has been idle for %v only", id, idle)
		}
	}
	if least := max(p.f.Settings.Min, min(d.Need, p.f.Settings.Max)); len(d.Stop) > 0 && supply-len(d.Stop) < least {
		p.Fatalf("%v take no new work of %d machines, where %d are needed", d.Stop, supply, least)
	}
	if d.Resize != nil && d.Resize.Machines > p.f.Settings.Max {
		p.Fatalf("%d machines, of at most %d", d.Resize.Machines, p.f.Settings.Max)
	}
	if n := len(p.f.Machines()); n > p.f.Settings.Max {
		p.Fatalf("there are %d machines", n)
	}
}

// calm lets nothing happen for long, and looks whether there are as many machines as there shall be.
func (p *play) calm() {
	for _, m := range p.f.Machines() {
		p.f.Change(m.ID, func(m *scaler.Machine) { m.Busy = false })
	}
	for range 300 {
		p.round(10 * time.Second)
	}
	executors := 0
	if len(p.f.Jobs) > 0 {
		executors = p.f.Jobs[0].Executors + 1 // and its application master, which is as large
	}
	want := min(max((executors+3)/4, p.f.Settings.Min), p.f.Settings.Max)
	ready := 0
	for _, m := range p.f.Machines() {
		if m.State == scaler.Ready {
			ready++
		}
	}
	if ready != want {
		p.Fatalf("%d executors have %d machines in the end, not %d: %+v", executors, ready, want, p.f.Machines())
	}
}

// TestFromZero: a fleet without machines asks for some when a job waits, whatever that needs, and for none otherwise.
func TestFromZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := scaler.Snapshot{
			Now:      time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC),
			Settings: scaler.Settings{Max: rapid.IntRange(1, 8).Draw(t, "max")},
		}
		if rapid.Bool().Draw(t, "seen before") {
			s.Past.Shape = shape
		}
		n := rapid.IntRange(0, 40).Draw(t, "executors")
		s.Jobs = jobs(n)
		d := scaler.Decide(s)
		switch {
		case n == 0 && !d.Empty():
			t.Fatalf("without a job: %v", d)
		case n > 0 && (d.Resize == nil || d.Resize.Machines < 1 || d.Resize.Machines > s.Settings.Max):
			t.Fatalf("for %d executors: %v", n, d)
		}
	})
}

// TestOrder: the order of machines changes nothing.
func TestOrder(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	s := scaler.Snapshot{Now: now, Settings: scaler.Settings{Max: 5}, Size: 3,
		Past: scaler.Past{Idle: map[string]time.Time{
			"a": now.Add(-time.Hour), "b": now.Add(-2 * time.Hour), "c": now.Add(-time.Hour),
		}}}
	for _, id := range []string{"a", "b", "c"} {
		s.Machines = append(s.Machines, scaler.Machine{ID: id, State: scaler.Ready, Room: shape})
	}
	s.Jobs = jobs(4) // which need two
	for range 20 {
		rand.Shuffle(3, func(i, k int) { s.Machines[i], s.Machines[k] = s.Machines[k], s.Machines[i] })
		if d := scaler.Decide(s); !slices.Equal(d.Stop, []string{"b"}) {
			t.Fatalf("%v take no new work; b has been idle the longest", d.Stop)
		}
	}
}

// TestRun: a scaler goes on after errors, and tells what it does.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		f := &weak{Fleet: mem.New(scaler.Settings{Min: 2, Max: 3}, shape)}
		var told []string
		err := scaler.Run(ctx, f, scaler.Options{Tell: func(d scaler.Decision, err error) {
			told = append(told, fmt.Sprint(d.Resize != nil, errs.KindOf(err) == errs.Unavailable))
			f.Pass(time.Second)
		}})
		if want := []string{"true true", "true false"}; ctx.Err() == nil || !slices.Equal(told, want) {
			t.Errorf("%v, told %q, want %q", err, told, want)
		}
		if n := len(f.Machines()); n != 2 {
			t.Errorf("%d machines", n)
		}
	})
}

// weak is a fleet that can't be resized at first.
type weak struct {
	*mem.Fleet
	tried bool
}

func (w *weak) Resize(ctx context.Context, to scaler.Size) error {
	if !w.tried {
		w.tried = true
		return errs.E("weak.Resize", errs.Unavailable, nil, nil)
	}
	return w.Fleet.Resize(ctx, to)
}

func TestSettings(t *testing.T) {
	for _, s := range []scaler.Settings{{}, {Min: 2, Max: 1}, {Min: -1, Max: 1}, {Max: 1, Spot: 2}, {Max: 1, Idle: -1}} {
		if err := s.Validate(); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if err := (scaler.Settings{Max: 1}).Defaults().Validate(); err != nil {
		t.Error(err)
	}
}
