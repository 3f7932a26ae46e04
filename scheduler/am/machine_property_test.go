package am

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// world is a machine among executors, an engine and a ledger that do what rapid says: lose, repeat and delay. It checks
// what must hold whatever happens.
type world struct {
	t     *rapid.T
	m     *machine
	log   []record // durable
	queue []record // not yet
	asks  []ask    // not yet answered
	now   int64

	started map[scheduler.AttemptID]string            // attempts that were ever ordered, and where
	holds   map[string]map[scheduler.AttemptID]report // what the living run, or have reported without an answer
	runs    map[string]int                            // restarts of each container
	past    []report                                  // sent before
	taken   map[scheduler.TaskID]scheduler.AttemptID
	fails   map[scheduler.TaskID]int
	over    bool
}

const (
	worldFailures = 3
	worldTasks    = 3
	worldMayFail  = 1
)

var worldLimits = limits{
	taskFailures: worldFailures, taskLosses: 50, masters: 1000, cpu: 2, executors: 3, heartbeat: 100, nodeFailures: 2,
	backupAfter: 300,
}

func TestMachineAlways(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{
			t: t, now: 1, started: map[scheduler.AttemptID]string{}, holds: map[string]map[scheduler.AttemptID]report{},
			runs: map[string]int{}, taken: map[scheduler.TaskID]scheduler.AttemptID{},
			fails: map[scheduler.TaskID]int{},
		}
		w.restart()
		t.Repeat(map[string]func(*rapid.T){
			"":          func(*rapid.T) { w.check() },
			"durable":   func(*rapid.T) { w.durable() },
			"durable 2": func(*rapid.T) { w.durable() },
			"engine":    func(t *rapid.T) { w.engine(rapid.IntRange(0, 9).Draw(t, "luck") == 0) },
			"register":  w.register,
			"report":    w.report,
			"report 2":  w.report,
			"repeat":    w.repeat,
			"go on":     w.goOn,
			"go on 2":   w.goOn,
			"go on 3":   w.goOn,
			"die":       func(t *rapid.T) { w.seldom(t, 4, func() { w.die(t) }) },
			"gone":      func(t *rapid.T) { w.seldom(t, 4, func() { w.silent(t) }) },
			"restart":   func(t *rapid.T) { w.seldom(t, 6, w.restart) },
			"later": func(t *rapid.T) {
				w.now += rapid.Int64Range(1, 500).Draw(t, "ms")
				w.m.tick(w.now)
				w.drain()
			},
			"kill": func(t *rapid.T) {
				w.seldom(t, 30, func() {
					w.m.kill("said so", w.now)
					w.drain()
				})
			},
		})
		w.finish()
	})
}

// seldom does something once in n times.
func (w *world) seldom(t *rapid.T, n int, do func()) {
	if rapid.IntRange(1, n).Draw(t, "once in") == n {
		do()
	}
}

// goOn lets everything that is under way arrive, and everybody take a step.
func (w *world) goOn(t *rapid.T) {
	for len(w.queue) > 0 {
		w.durable()
	}
	for len(w.asks) > 0 {
		w.engine(false)
	}
	w.register(t)
	w.report(t)
}

// restart is the death of an application master, and its successor.
func (w *world) restart() {
	l := newLedger()
	for _, r := range w.log {
		if err := l.apply(r); err != nil {
			w.t.Fatal(err)
		}
	}
	w.checkSnapshot(l)
	w.m, w.queue, w.asks = newMachine(l, worldLimits), nil, nil
	w.m.begin("s", w.now)
	w.drain()
}

// drain carries out decisions, and checks those that executors see.
func (w *world) drain() {
	for _, d := range w.m.drain() {
		switch d := d.(type) {
		case write:
			w.queue = append(w.queue, d.record)
		case ask:
			w.asks = append(w.asks, d)
		case order:
			w.order(d)
		case answer:
			if now := w.taken[d.attempt.Task]; d.taken && now != d.attempt {
				w.t.Fatalf("%v, but the ledger has %v", d, now)
			}
			for _, held := range w.holds {
				if rep, ok := held[d.attempt]; ok && rep.state != "" {
					delete(held, d.attempt)
				}
			}
		}
	}
}

func (w *world) order(d order) {
	held := w.holds[d.executor]
	switch d.verb {
	case orderStart:
		if where, twice := w.started[d.attempt]; twice {
			w.t.Fatalf("%s was started before, on %s", d.attempt, where)
		}
		w.started[d.attempt] = d.executor
		if held != nil {
			held[d.attempt] = report{}
		}
	case orderKill:
		if rep, ok := held[d.attempt]; ok && rep.state == "" {
			held[d.attempt] = report{executor: d.executor, attempt: d.attempt, state: scheduler.AttemptKilled}
		}
	case orderLeave:
		delete(w.holds, d.executor)
	}
}

// durable makes one record durable, and checks that it may follow the others.
func (w *world) durable() {
	if len(w.queue) == 0 {
		return
	}
	r := w.queue[0]
	w.queue = w.queue[1:]
	w.log = append(w.log, r)
	committing := w.m.state == scheduler.JobCommitting
	switch {
	case w.over:
		w.t.Fatalf("after the end: %v", write{r})
	case committing && r.Began == nil && r.Final == nil:
		w.t.Fatalf("past the point of no return: %v", write{r})
	case committing && r.Final != nil && r.Final.State == scheduler.JobKilled:
		w.t.Fatal("killed past the point of no return")
	case r.Final != nil && r.Final.State == scheduler.JobSucceeded && !committing:
		w.t.Fatal("succeeded without a commit")
	}
	w.over = r.Final != nil
	if err := w.m.recorded(r, w.now); err != nil {
		w.t.Fatal(err)
	}
	w.follow(r)
	w.drain()
}

// follow keeps the model in step with the ledger.
func (w *world) follow(r record) {
	switch {
	case r.Ended != nil && r.Ended.State == scheduler.AttemptSucceeded:
		if _, ok := w.taken[r.Ended.Attempt.Task]; !ok {
			w.taken[r.Ended.Attempt.Task] = r.Ended.Attempt
		}
	case r.Ended != nil && r.Ended.State == scheduler.AttemptFailed:
		w.fails[r.Ended.Attempt.Task]++
	case r.Gone != nil && w.taken[r.Gone.Attempt.Task] == r.Gone.Attempt:
		delete(w.taken, r.Gone.Attempt.Task)
	}
}

func (w *world) check() {
	for _, s := range w.m.stages {
		w.checkStage(s)
		for i := range s.tasks {
			id := scheduler.TaskID{Stage: s.name, Index: i}
			if now, _ := s.taken(i); now != w.taken[id] {
				w.t.Fatalf("the result of %s is that of %v, want %v", id, now, w.taken[id])
			}
			if w.fails[id] > worldFailures+worldLimits.cpu*worldLimits.executors {
				w.t.Fatalf("%s failed %d times", id, w.fails[id])
			}
		}
	}
	for _, e := range w.m.executors {
		if len(e.running) > e.cores && w.m.masters == 1 {
			w.t.Fatalf("%s runs %d attempts on %d cores", e.id, len(e.running), e.cores)
		}
	}
	if w.m.state == scheduler.JobSucceeded && !w.m.finished() {
		w.t.Fatal("succeeded with tasks undone")
	}
}

// checkStage says that no task is given up that has a result, not too many are, and none has more than one backup.
func (w *world) checkStage(s *stage) {
	forgone, open := 0, map[int]int{}
	for id := range w.m.running {
		if id.Task.Stage == s.name {
			open[id.Task.Index]++
		}
	}
	for i, t := range s.tasks {
		if _, taken := s.taken(i); t.forgone {
			if forgone++; taken {
				w.t.Fatalf("%s %d is given up, and has a result", s.name, i)
			}
		}
		if open[i] > 2 && w.m.masters == 1 {
			w.t.Fatalf("%d attempts run at %s %d", open[i], s.name, i)
		}
	}
	if forgone != s.forgone || forgone > s.mayFail {
		w.t.Fatalf("%d tasks of %s are given up, it counts %d", forgone, s.name, s.forgone)
	}
}

// checkSnapshot says that a snapshot leads to the same state as the records.
func (w *world) checkSnapshot(l *ledger) {
	snapshot, err := l.Snapshot()
	if err != nil {
		w.t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := snapshot.WriteTo(&b); err != nil {
		w.t.Fatal(err)
	}
	back := newLedger()
	if err := back.Restore(&b); err != nil {
		w.t.Fatal(err)
	}
	job := scheduler.Job{}
	if diff := cmp.Diff(l.report(job, false), back.report(job, false)); diff != "" {
		w.t.Fatalf("restored: %s", diff)
	}
	if diff := cmp.Diff(l.outputs(l.names()), back.outputs(back.names())); diff != "" {
		w.t.Fatalf("restored outputs: %s", diff)
	}
	if l.session != back.session || l.inSession != back.inSession || l.executors != back.executors {
		w.t.Fatalf("restored: session %q %d, %d executors", back.session, back.inSession, back.executors)
	}
}

// engine answers the oldest question, perhaps with an error that passes.
func (w *world) engine(fails bool) {
	if len(w.asks) == 0 {
		return
	}
	a := w.asks[0]
	w.asks = w.asks[1:]
	var err error
	if fails {
		err = errs.Errorf("engine", errs.Unavailable, nil, "not now")
	}
	switch a.what {
	case askPlan:
		w.m.plan(scheduler.Plan{Stages: []scheduler.Stage{
			{Name: "map", Tasks: worldMaps(), MayFail: worldMayFail, Backup: true},
			{Name: "reduce", Needs: []string{"map"}, Backup: true},
		}}, err, w.now)
	case askCut:
		w.m.cut(a.stage, make([]scheduler.Task, 2), err, w.now)
	case askPayload:
		w.m.payload(a.attempt, []byte(a.attempt.String()), err, w.now)
	case askCommit:
		w.m.committed(nil, err, w.now)
	}
	gaveUp := slices.ContainsFunc(w.m.out, func(d decision) bool { _, ok := d.(giveUp); return ok })
	w.drain()
	if gaveUp {
		w.restart()
	}
}

// worldMaps have their input near one host, the other, or both.
func worldMaps() []scheduler.Task {
	hosts := [][]string{{"one"}, {"other"}, {"one", "other"}}
	tasks := make([]scheduler.Task, worldTasks)
	for i := range tasks {
		tasks[i].Hosts = hosts[i%len(hosts)]
	}
	return tasks
}

// executor draws one of the living; a new one if there are few.
func (w *world) executor(t *rapid.T) string {
	for len(w.holds) < worldLimits.executors {
		name := fmt.Sprintf("executor-%d", len(w.runs))
		w.runs[name]++
		w.holds[name+".0"] = map[scheduler.AttemptID]report{}
	}
	return rapid.SampledFrom(slices.Sorted(maps.Keys(w.holds))).Draw(t, "executor")
}

func (w *world) register(t *rapid.T) {
	id := w.executor(t)
	w.introduce(id)
}

func (w *world) introduce(id string) {
	holds := slices.Collect(maps.Keys(w.holds[id]))
	slices.SortFunc(holds, func(a, b scheduler.AttemptID) int { return cmpText(a, b) })
	host := map[bool]string{true: "one:1", false: "other:1"}[strings.HasPrefix(id, "executor-0.")]
	if !w.m.register(id, host, worldLimits.cpu, holds, w.now) {
		delete(w.holds, id)
	}
	w.drain()
}

func cmpText(a, b scheduler.AttemptID) int {
	if a.String() < b.String() {
		return -1
	}
	return 1
}

// report finishes an attempt, or repeats what was not acknowledged.
func (w *world) report(t *rapid.T) {
	id := w.executor(t)
	held := slices.SortedFunc(maps.Keys(w.holds[id]), cmpText)
	if len(held) == 0 {
		return
	}
	a := rapid.SampledFrom(held).Draw(t, "attempt")
	rep := w.holds[id][a]
	if rep.state == "" {
		rep = report{executor: id, attempt: a, state: scheduler.AttemptSucceeded}
		switch rapid.IntRange(0, 12).Draw(t, "outcome") {
		case 0:
			rep.state, rep.kind, rep.cause = scheduler.AttemptFailed, errs.Failed, "no"
		case 1:
			rep.state, rep.kind, rep.cause = scheduler.AttemptFailed, errs.Unavailable, "no"
		case 2, 3:
			if a.Task.Stage == "reduce" {
				rep.state = scheduler.AttemptLost
				in := scheduler.TaskID{Stage: "map", Index: rapid.IntRange(0, worldTasks-1).Draw(t, "input")}
				rep.inputs = []scheduler.InputLost{{Attempt: w.taken[in], Sure: rapid.Bool().Draw(t, "sure")}}
			}
		}
		w.holds[id][a] = rep
	}
	w.past = append(w.past, rep)
	w.m.reported(rep, w.now)
	w.drain()
}

// repeat sends an old report again, as a network may.
func (w *world) repeat(t *rapid.T) {
	if len(w.past) > 0 {
		w.m.reported(rapid.SampledFrom(w.past).Draw(t, "old report"), w.now)
		w.drain()
	}
}

// die ends an executor; the launcher says so.
func (w *world) die(t *rapid.T) {
	id := w.executor(t)
	delete(w.holds, id)
	c, err := launch.ParseContainer(id)
	if err != nil {
		t.Fatal(err)
	}
	w.m.container(launch.Event{Container: c, State: launch.Exited, Exit: launch.Exit{Code: 1}}, w.now)
	w.drain()
}

// silent is an executor that is not heard of, though it lives.
func (w *world) silent(t *rapid.T) {
	w.m.gone(w.executor(t), "silent", w.now)
	w.drain()
}

// finish lets everything go well from here on: then the job ends.
func (w *world) finish() {
	for range 10_000 {
		if w.m.state.Final() {
			return
		}
		w.now += 1000
		w.m.tick(w.now)
		w.drain()
		for len(w.queue) > 0 {
			w.durable()
		}
		for len(w.asks) > 0 {
			w.engine(false)
		}
		for i := range worldLimits.executors {
			id := fmt.Sprintf("executor-%d.0", 1000+i)
			if w.holds[id] == nil {
				w.holds[id] = map[scheduler.AttemptID]report{}
			}
			w.introduce(id)
			for _, a := range slices.SortedFunc(maps.Keys(w.holds[id]), cmpText) {
				w.m.reported(report{executor: id, attempt: a, state: scheduler.AttemptSucceeded}, w.now)
				w.drain()
			}
		}
		for _, e := range slices.Clone(w.m.executors) { // those of before have gone silent
			if c, err := launch.ParseContainer(e.id); err == nil && c.Index < 1000 {
				w.m.gone(e.id, "silent", w.now)
				w.drain()
			}
		}
		w.check()
	}
	w.t.Fatalf("stuck in state %s: %v", w.m.state, w.m.report(scheduler.Job{}, false))
}
