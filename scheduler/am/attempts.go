package am

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// executor is one that is registered.
type executor struct {
	id       string
	node     string
	cores    int
	running  map[scheduler.AttemptID]*running
	failures int // FAILED attempts since the last that succeeded
}

func (e *executor) free() int { return e.cores - len(e.running) }

// executor returns a registered executor, or nil.
func (m *machine) executor(id string) *executor {
	if i, ok := m.find(id); ok {
		return m.executors[i]
	}
	return nil
}

// find returns the place of an executor among the registered ones, or where it would be.
func (m *machine) find(id string) (int, bool) {
	return slices.BinarySearchFunc(m.executors, id, func(e *executor, id string) int { return cmp.Compare(e.id, id) })
}

// register takes in an executor with the attempts that it runs, or has finished and not yet reported; or takes it back.
// It returns false if the launcher says that this executor has ended.
func (m *machine) register(id, node string, cores int, holds []scheduler.AttemptID, now int64) bool {
	if c, err := launch.ParseContainer(id); err == nil && hasEnded(m.containers[c.Index], c) {
		return false
	}
	if m.state.Final() {
		m.decide(order{executor: id, verb: orderLeave})
		return true
	}
	i, known := m.find(id)
	if !known {
		e := &executor{id: id, running: map[scheduler.AttemptID]*running{}}
		m.executors = slices.Insert(m.executors, i, e)
	}
	e := m.executors[i]
	e.node, e.cores = node, max(1, cores)
	for _, r := range inOrder(e.running) {
		if r.given && !slices.Contains(holds, r.id) {
			m.finish(r, scheduler.AttemptLost, "the executor came back without it", now)
		}
	}
	for _, h := range holds {
		m.adopt(e, h, now)
	}
	m.schedule(now)
	return true
}

// adopt takes an attempt back that an executor holds, if it can still be of use.
func (m *machine) adopt(e *executor, id scheduler.AttemptID, now int64) {
	if r := m.running[id]; r != nil && r.executor == e {
		if r.killed { // the order may have been lost with the mailbox of the registration before
			m.decide(order{executor: e.id, verb: orderKill, attempt: id})
		}
		return
	}
	s, t := m.byName[id.Task.Stage], m.task(id.Task)
	_, over := m.settling[id]
	useful := t != nil && !over && m.running[id] == nil && m.attempt(id) == nil && m.fed(s) && !m.ending
	if useful {
		_, taken := s.taken(id.Task.Index)
		useful = !taken && !t.forgone && m.liveTask(id.Task).waits != never
		if s.gang && (m.liveTask(id.Task).open > 0 || e.free() <= 0) {
			useful = false // it would wait for a core, or another attempt for its place, until the job is over
		}
	}
	if !useful {
		m.decide(order{executor: e.id, verb: orderKill, attempt: id})
		return
	}
	m.start(e, id, now).given = true
}

// start notes that an executor has an attempt.
func (m *machine) start(e *executor, id scheduler.AttemptID, now int64) *running {
	r := &running{id: id, executor: e, start: now, advanced: now}
	m.running[id], e.running[id] = r, r
	t := m.liveTask(id.Task)
	t.open++
	t.waits = no
	return r
}

// finish ends an attempt and has that recorded. A lost or killed one frees its task at once; the outcome of the others
// counts when it is durable.
func (m *machine) finish(r *running, state scheduler.AttemptState, why string, now int64) {
	m.record(r, &ended{State: state, Error: why}, settle{}, now)
}

func (m *machine) record(r *running, e *ended, s settle, now int64) {
	if m.ending { // nothing follows the record that ends the work
		return
	}
	delete(m.running, r.id)
	delete(r.executor.running, r.id)
	e.Attempt, e.Executor, e.Node, e.Start, e.End = r.id, r.executor.id, r.executor.node, r.start, now
	s.held = e.State == scheduler.AttemptSucceeded || e.State == scheduler.AttemptFailed
	m.settling[r.id] = s
	m.decide(write{record{Ended: e}})
	if !s.held {
		m.liveTask(r.id.Task).open--
		m.requeue(r.id.Task, 0, now)
	}
}

// stop ends an attempt that is of no use any more. If its executor has it already, it is over when that says so.
func (m *machine) stop(r *running, why string, now int64) {
	switch {
	case !r.given:
		m.finish(r, scheduler.AttemptKilled, why, now)
	case !r.killed:
		r.killed = true
		m.decide(order{executor: r.executor.id, verb: orderKill, attempt: r.id})
	}
}

// gone takes note that an executor has ended or is out of reach. What it has finished stays: that lies on its node.
func (m *machine) gone(id, why string, now int64) {
	i, ok := m.find(id)
	if !ok {
		return
	}
	e := m.executors[i]
	m.executors = slices.Delete(m.executors, i, i+1)
	for _, r := range inOrder(e.running) {
		m.finish(r, scheduler.AttemptLost, why, now)
	}
	m.schedule(now)
}

// container takes the launcher's word for what became of a container.
func (m *machine) container(ev launch.Event, now int64) {
	c := ev.Container
	if old, ok := m.containers[c.Index]; ok && old.Container.Restart > c.Restart {
		return
	}
	m.containers[c.Index] = ev
	for _, e := range slices.Clone(m.executors) {
		if known, err := launch.ParseContainer(e.id); err == nil && known.Index == c.Index && hasEnded(ev, known) {
			m.gone(e.id, fmt.Sprintf("%s %s", known, cmp.Or(how(ev, known), "ended")), now)
		}
	}
	m.schedule(now)
}

// hasEnded reports whether the latest event of a container means that its run c has ended.
func hasEnded(latest launch.Event, c launch.Container) bool {
	return latest.Container.Restart > c.Restart || latest.Container == c && latest.State.Over()
}

// how says how a run ended, if the event is about it.
func how(ev launch.Event, c launch.Container) string {
	if ev.Container == c && ev.State.Over() {
		return ev.Exit.String()
	}
	return ""
}

// report is how an executor says that an attempt ended.
type report struct {
	executor string
	attempt  scheduler.AttemptID
	state    scheduler.AttemptState
	ran      int64 // milliseconds
	data     []byte
	cause    string // if it did not succeed
	kind     errs.Kind
	inputs   []scheduler.InputLost
	counters scheduler.Counters
}

// maxCause bounds the text of an attempt's error, in bytes.
const maxCause = 8 << 10

// reported takes a report. An answer follows: at once if nothing has to be recorded for it, else after that.
func (m *machine) reported(rep report, now int64) {
	if _, ok := m.settling[rep.attempt]; ok {
		return // said twice; the first one is on its way to the ledger
	}
	r := m.running[rep.attempt]
	if r == nil || r.executor.id != rep.executor || m.ending {
		a := m.attempt(rep.attempt)
		m.decide(answer{rep.attempt, a != nil && a.state == scheduler.AttemptSucceeded})
		return
	}
	e := &ended{State: rep.state, Error: shorten(rep.cause)}
	r.start = min(r.start, now-rep.ran) // it may have begun under an earlier application master
	var s settle
	switch rep.state {
	case scheduler.AttemptSucceeded:
		e.Data, e.Counters, e.Error = rep.data, rep.counters, ""
		r.executor.failures = 0
	case scheduler.AttemptFailed:
		s.delay, s.hopeless = m.backoff(rep), rep.kind == errs.Invalid
		r.executor.failures++
	case scheduler.AttemptLost:
		unknown := func(in scheduler.InputLost) bool { return m.task(in.Attempt.Task) == nil }
		rep.inputs = slices.DeleteFunc(rep.inputs, unknown)
		for _, in := range rep.inputs {
			e.Inputs = append(e.Inputs, in.Attempt)
		}
	default:
		e.State = scheduler.AttemptKilled
	}
	m.record(r, e, s, now)
	for _, in := range rep.inputs {
		m.suspect(in, rep.attempt, shorten(rep.cause))
	}
	m.schedule(now)
}

func shorten(text string) string {
	if len(text) > maxCause {
		return text[:maxCause/2] + " [...] " + text[len(text)-maxCause/2:]
	}
	return text
}

// backoff returns how many milliseconds to wait before a failed task is tried again: not at all if its own code failed,
// since that will not get better, else longer each time.
func (m *machine) backoff(rep report) int64 {
	if rep.kind == errs.Failed || rep.kind == errs.Invalid {
		return 0
	}
	return 250 << min(m.task(rep.attempt.Task).failed, 5)
}

// suspect counts that an attempt could not read the output of another.
func (m *machine) suspect(in scheduler.InputLost, by scheduler.AttemptID, cause string) {
	s := m.byName[in.Attempt.Task.Stage]
	if now, _ := s.taken(in.Attempt.Task.Index); now != in.Attempt {
		return // it is being made again, or was already
	}
	about := m.suspected(in.Attempt)
	about.reporters[by] = true
	if in.Sure || len(about.reporters) >= reporters {
		m.condemn(about, in.Attempt, cause)
	}
}

// suspected returns what is known against an output.
func (m *machine) suspected(id scheduler.AttemptID) *suspect {
	about := m.suspects[id]
	if about == nil {
		about = &suspect{reporters: map[scheduler.AttemptID]bool{}}
		m.suspects[id] = about
	}
	return about
}

// condemn has an output made again.
func (m *machine) condemn(about *suspect, id scheduler.AttemptID, cause string) {
	if !about.condemned {
		about.condemned = true
		m.decide(write{record{Gone: &gone{Attempt: id, Error: cause}}})
	}
}

// payload takes the engine's answer to askPayload.
func (m *machine) payload(id scheduler.AttemptID, data []byte, err error, now int64) {
	r := m.running[id]
	switch {
	case r == nil || m.ending:
		return
	case err != nil:
		rep := report{executor: r.executor.id, attempt: id, state: scheduler.AttemptFailed, kind: errs.KindOf(err)}
		var lost *scheduler.InputLost
		if errors.As(err, &lost) {
			rep.state, rep.inputs = scheduler.AttemptLost, []scheduler.InputLost{*lost}
		}
		rep.cause = err.Error()
		m.reported(rep, now)
	default:
		r.given = true
		m.decide(order{executor: r.executor.id, verb: orderStart, attempt: id, payload: data})
	}
}

// progress is what a heartbeat says about an attempt.
type progress struct {
	attempt  scheduler.AttemptID
	done     int64
	status   string
	counters scheduler.Counters // those that changed
}

// beat takes a heartbeat. It returns false if the executor is not registered.
func (m *machine) beat(id string, list []progress, now int64) bool {
	e := m.executor(id)
	if e == nil {
		return false
	}
	for _, p := range list {
		r := e.running[p.attempt]
		if r == nil {
			continue
		}
		if p.done != r.done {
			r.advanced = now
		}
		r.done, r.status = p.done, p.status
		if r.counters == nil {
			r.counters = scheduler.Counters{}
		}
		for group, names := range p.counters {
			for name, v := range names {
				r.counters.Add(group, name, v-r.counters.Get(group, name))
			}
		}
	}
	return true
}

// runningOf returns the running attempts of a task, in order.
func (m *machine) runningOf(task scheduler.TaskID) []*running {
	of := map[scheduler.AttemptID]*running{}
	for id, r := range m.running {
		if id.Task == task {
			of[id] = r
		}
	}
	return inOrder(of)
}

// inOrder returns attempts by stage, index and number, so that decisions don't depend on the order of a map.
func inOrder(set map[scheduler.AttemptID]*running) []*running {
	return slices.SortedFunc(maps.Values(set), func(a, b *running) int {
		return cmp.Or(cmp.Compare(a.id.Task.Stage, b.id.Task.Stage), cmp.Compare(a.id.Task.Index, b.id.Task.Index),
			cmp.Compare(a.id.N, b.id.N))
	})
}
