package am

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// theater is where a gang plays: a launcher that does as it is told, sooner or later, and executors that die.
type theater struct {
	t     *rapid.T
	m     *machine
	log   []record
	now   int64
	size  int                                      // executors that the launcher was asked for last
	wants int                                      // that somebody asked for last
	runs  map[int]int                              // restarts of each container
	holds map[int]map[scheduler.AttemptID]struct{} // what the executors that are there run
	doom  []scheduler.AttemptID                    // attempts that are to be killed
}

const (
	gangSize = 6
	gangCPU  = 3
)

// TestResizeAlways resizes a job whose tasks must run together while executors and application masters die: in the end
// all tasks run, each once, nowhere but where they should, and on all executors about as many.
func TestResizeAlways(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &theater{t: t, now: 1, runs: map[int]int{}, holds: map[int]map[scheduler.AttemptID]struct{}{}, wants: 2}
		w.restart()
		t.Repeat(map[string]func(*rapid.T){
			"":        func(*rapid.T) { w.check() },
			"appear":  func(t *rapid.T) { w.appear(rapid.IntRange(0, 5).Draw(t, "container")) },
			"obey":    func(*rapid.T) { w.obey() },
			"vanish":  func(t *rapid.T) { w.vanish(rapid.IntRange(0, 5).Draw(t, "container")) },
			"restart": func(*rapid.T) { w.restart() },
			"resize": func(t *rapid.T) {
				n := rapid.IntRange(1, 6).Draw(t, "executors")
				if _, refused := w.m.resize(n); (refused == "") != (n*gangCPU >= gangSize) {
					t.Fatalf("resize to %d: %q", n, refused)
				} else if refused == "" {
					w.wants = n
				}
				w.drain()
			},
		})
		w.calm()
	})
}

// drain does what the machine wants; records are durable at once.
func (w *theater) drain() {
	for out := w.m.drain(); len(out) > 0; out = append(out[1:], w.m.drain()...) {
		switch d := out[0].(type) {
		case write:
			w.log = append(w.log, d.record)
			if err := w.m.recorded(d.record, w.now); err != nil {
				w.t.Fatal(err)
			}
		case ask:
			switch d.what {
			case askPlan:
				w.m.plan(scheduler.Plan{Stages: []scheduler.Stage{
					{Name: "map", Tasks: make([]scheduler.Task, gangSize), Gang: true},
				}}, nil, w.now)
			case askPayload:
				w.m.payload(d.attempt, nil, nil, w.now)
			}
		case scale:
			w.size = d.count
		case order:
			c, err := launch.ParseContainer(d.executor)
			if err != nil {
				w.t.Fatal(err)
			}
			if held, ok := w.holds[c.Index]; ok && c.Restart == w.runs[c.Index] {
				if d.verb == orderStart {
					held[d.attempt] = struct{}{}
				} else if d.verb == orderKill {
					w.doom = append(w.doom, d.attempt)
				}
			}
		}
	}
}

func (w *theater) restart() {
	l := newLedger()
	for _, r := range w.log {
		if err := l.apply(r); err != nil {
			w.t.Fatal(err)
		}
	}
	w.m = newMachine(l, limits{
		taskFailures: 4, taskLosses: 10_000, masters: 10_000, cpu: gangCPU, executors: 2, heartbeat: 10, nodeFailures: 3,
	})
	w.m.begin("s", w.now)
	w.drain()
	w.now += 20
	w.m.tick(w.now)
	w.drain()
}

func (w *theater) name(i int) string {
	return launch.Container{Role: "executor", Index: i, Restart: w.runs[i]}.String()
}

// appear has a container register, again if it is there already.
func (w *theater) appear(i int) {
	if i >= w.size {
		return
	}
	if w.holds[i] == nil {
		w.holds[i] = map[scheduler.AttemptID]struct{}{}
	}
	holds := slices.SortedFunc(maps.Keys(w.holds[i]), cmpText)
	if !w.m.register(w.name(i), "", gangCPU, holds, w.now) {
		w.t.Fatalf("%s was turned away", w.name(i))
	}
	w.drain()
}

// vanish ends a container: by chance, or since the launcher was asked for fewer.
func (w *theater) vanish(i int) {
	if w.holds[i] == nil {
		return
	}
	c := launch.Container{Role: "executor", Index: i, Restart: w.runs[i]}
	w.runs[i]++
	delete(w.holds, i)
	w.m.container(launch.Event{Container: c, State: launch.Exited, Exit: launch.Exit{Code: 1}}, w.now)
	w.drain()
}

// obey ends an attempt that is to be killed.
func (w *theater) obey() {
	if len(w.doom) == 0 {
		return
	}
	id := w.doom[0]
	w.doom = w.doom[1:]
	for i, held := range w.holds {
		if _, ok := held[id]; ok {
			delete(held, id)
			w.m.reported(report{executor: w.name(i), attempt: id, state: scheduler.AttemptKilled}, w.now)
		}
	}
	w.drain()
}

func (w *theater) check() {
	if w.m.state.Final() {
		w.t.Fatalf("the job has ended: %s", w.m.message)
	}
	for _, e := range w.m.executors {
		if len(e.running) > gangCPU {
			w.t.Fatalf("%s runs %d attempts", e.id, len(e.running))
		}
	}
}

// calm lets everything that is under way come to its end.
func (w *theater) calm() {
	for range 10 * gangSize {
		for i := range 7 {
			if i < w.size {
				w.appear(i)
			} else {
				w.vanish(i)
			}
		}
		for len(w.doom) > 0 {
			w.obey()
		}
	}
	running := map[int]int{}
	for id := range w.m.running {
		running[id.Task.Index]++
	}
	if want := (fmt.Sprint(map[int]int{0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1})); fmt.Sprint(running) != want {
		w.t.Fatalf("attempts by task: %v", running)
	}
	least, most := gangSize, 0
	for _, e := range w.m.executors {
		least, most = min(least, len(e.running)), max(most, len(e.running))
	}
	if len(w.m.executors) != w.wants || w.size != w.wants {
		w.t.Fatalf("%d executors, %d are to be there, want %d", len(w.m.executors), w.size, w.wants)
	}
	if w.m.resized > 0 && most > least+1 {
		w.t.Fatalf("one executor runs %d attempts, another one %d", most, least)
	}
}
