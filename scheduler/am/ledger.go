package am

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// ledger is what the records of a job add up to: all that a successor of this application master would know. It is a
// journal.State (see snapshot.go); whoever shares it locks around it. A job may have a hundred thousand tasks, so what
// is kept of each is small.
type ledger struct {
	state     scheduler.JobState
	message   string
	result    json.RawMessage
	masters   int    // application masters so far
	session   string // of the latest
	inSession int    // application masters of that session
	started   int64  // when the first one began
	ended     int64  // when the job was over
	executors int    // how many the job wants
	resized   int    // how often somebody has said so
	stages    []*stage
	byName    map[string]*stage
	counters  scheduler.Counters // of the results that are taken
	shared    interned
	nodes     map[string]nodeRecord // by shuffle address
}

// nodeRecord counts attempts on a node.
type nodeRecord struct{ failed, succeeded int }

// stage is a set of tasks. Its numbers of attempts are those that are over.
type stage struct {
	name    string
	needs   []string
	cut     bool // its tasks were, or will be, decided by a cut
	want    int  // how many tasks it has; open if that is not known
	tasks   []task
	outputs []scheduler.Output // by task
	lent    bool               // outputs was given away and must not be changed in place
	mayFail int                // tasks that may be forgone
	backup  bool               // slow tasks may have a second attempt
	gang    bool               // tasks run together
	forgone int                // tasks that the job goes on without
	done    int                // tasks whose result is taken
	failed  int
	lost    int
	killed  int
	weight  int64 // of all tasks
	worked  int64 // of those that are done
	started int64 // when the first attempt began, of those that are over
	ended   int64 // when the last result was taken
}

// complete reports whether all tasks are known.
func (s *stage) complete() bool { return s.want == len(s.tasks) }

// finished reports whether all results are taken that there will be.
func (s *stage) finished() bool { return s.complete() && s.done+s.forgone == len(s.tasks) }

type task struct {
	weight   int64
	hosts    []string
	attempts []attempt // those that are over, in the order of their records
	counters []counted // of the result that is taken
	failed   int
	forgone  bool
	lost     int // attempts and results, without the attempts that lack an input: those count where it was made
}

// attempt is one that is over.
type attempt struct {
	n              int
	state          scheduler.AttemptState
	executor, node string
	start, end     int64
	err            string
	inputs         []scheduler.AttemptID
}

func newLedger() *ledger {
	l := &ledger{}
	l.reset()
	return l
}

func (l *ledger) reset() {
	*l = ledger{
		state: scheduler.JobSubmitted, byName: map[string]*stage{},
		counters: scheduler.Counters{}, shared: newInterned(), nodes: map[string]nodeRecord{},
	}
}

// planned reports whether the plan is there as a whole.
func (l *ledger) planned() bool {
	for _, s := range l.stages {
		if !s.complete() && !s.cut {
			return false
		}
	}
	return l.stages != nil
}

// finished reports whether all results of all stages are taken.
func (l *ledger) finished() bool {
	for _, s := range l.stages {
		if !s.finished() {
			return false
		}
	}
	return l.stages != nil
}

// ready reports whether all that s needs is finished, and its tasks are known.
func (l *ledger) ready(s *stage) bool { return s.complete() && l.fed(s) }

// fed reports whether all that s needs is finished.
func (l *ledger) fed(s *stage) bool {
	for _, need := range s.needs {
		if !l.byName[need].finished() {
			return false
		}
	}
	return true
}

// task returns a task, or nil if there is none of that id.
func (l *ledger) task(id scheduler.TaskID) *task {
	s := l.byName[id.Stage]
	if s == nil || id.Index < 0 || id.Index >= len(s.tasks) {
		return nil
	}
	return &s.tasks[id.Index]
}

// attempt returns an attempt that is over, or nil.
func (l *ledger) attempt(id scheduler.AttemptID) *attempt {
	t := l.task(id.Task)
	if t == nil {
		return nil
	}
	for i := range t.attempts {
		if t.attempts[i].n == id.N {
			return &t.attempts[i]
		}
	}
	return nil
}

// taken returns the attempt whose result is that of the task, if there is one.
func (s *stage) taken(index int) (scheduler.AttemptID, bool) {
	id := s.outputs[index].Attempt
	return id, id.Task.Stage != ""
}

// outputs returns the outputs of some stages as they are now. Nobody changes them any more.
func (l *ledger) outputs(stages []string) scheduler.Outputs {
	out := scheduler.Outputs{}
	for _, name := range stages {
		s := l.byName[name]
		s.lent = true
		out[name] = s.outputs
	}
	return out
}

// names returns the names of all stages.
func (l *ledger) names() (names []string) {
	for _, s := range l.stages {
		names = append(names, s.name)
	}
	return names
}

// apply adds a record. Records that don't fit the state are errors; those that come twice change nothing.
func (l *ledger) apply(r record) error {
	switch {
	case r.Began != nil:
		return l.applyBegan(r.Began)
	case r.Resized != nil:
		l.executors = r.Resized.Executors
		l.resized++
	case r.Plan != nil:
		return l.applyPlan(r.Plan)
	case r.Cut != nil:
		return l.applyCut(r.Cut)
	case r.Tasks != nil:
		return l.applyTasks(r.Tasks)
	case r.Ended != nil:
		return l.applyEnded(r.Ended)
	case r.Gone != nil:
		return l.applyGone(r.Gone)
	case r.Forgone != nil:
		return l.applyForgone(r.Forgone)
	case r.Commit != nil:
		l.state = scheduler.JobCommitting
	case r.Final != nil:
		if !r.Final.State.Final() {
			return misfit("an end as %q", r.Final.State)
		}
		l.state, l.message, l.result, l.ended = r.Final.State, r.Final.Message, r.Final.Result, r.Final.Time
	}
	return nil
}

func misfit(format string, args ...any) error {
	return errs.Errorf("am.ledger", errs.Corrupt, nil, format, args...)
}

func (l *ledger) applyBegan(b *began) error {
	if l.masters == 0 {
		l.started = b.Time
	}
	if l.session != b.Session {
		l.inSession = 0
	}
	l.masters++
	l.inSession++
	l.session = b.Session
	if l.state == scheduler.JobSubmitted {
		l.state = scheduler.JobRunning
	}
	l.trim()
	return nil
}

// trim drops a plan or cut that its writer did not finish; whoever comes after it asks again.
func (l *ledger) trim() {
	if !l.planned() {
		l.stages, l.byName = nil, map[string]*stage{}
		l.want(0)
	}
	for _, s := range l.stages {
		if s.cut && !s.complete() {
			*s = stage{
				name: s.name, needs: s.needs, cut: true, want: open, mayFail: s.mayFail, backup: s.backup, gang: s.gang,
			}
		}
	}
}

func (l *ledger) applyPlan(p *plan) error {
	if l.stages != nil {
		return misfit("a second plan")
	}
	l.want(p.Executors)
	l.stages = []*stage{}
	for _, ps := range p.Stages {
		for _, need := range ps.Needs {
			if l.byName[need] == nil {
				return misfit("stage %s needs %s", ps.Name, need)
			}
		}
		if l.byName[ps.Name] != nil || ps.Tasks < open {
			return misfit("stage %s twice, or with %d tasks", ps.Name, ps.Tasks)
		}
		s := &stage{
			name: ps.Name, needs: ps.Needs, want: ps.Tasks, cut: ps.Tasks == open, mayFail: ps.MayFail, backup: ps.Backup,
			gang: ps.Gang,
		}
		l.stages = append(l.stages, s)
		l.byName[s.name] = s
	}
	return nil
}

func (l *ledger) applyCut(c *cut) error {
	s := l.byName[c.Stage]
	if s == nil || s.want != open || c.Tasks < 0 {
		return misfit("a cut of stage %s into %d tasks", c.Stage, c.Tasks)
	}
	s.want = c.Tasks
	l.want(max(l.executors, c.Executors))
	return nil
}

// want sets how many executors the job wants, unless somebody has said so.
func (l *ledger) want(count int) {
	if l.resized == 0 {
		l.executors = count
	}
}

func (l *ledger) applyTasks(t *tasks) error {
	s := l.byName[t.Stage]
	if s == nil || len(s.tasks)+len(t.Tasks) > s.want {
		return misfit("%d more tasks of stage %s", len(t.Tasks), t.Stage)
	}
	for _, one := range t.Tasks {
		s.tasks = append(s.tasks, task{weight: one.Weight, hosts: l.shared.texts(one.Hosts)})
		s.weight += one.Weight
	}
	s.outputs = append(s.outputs, make([]scheduler.Output, len(t.Tasks))...)
	return nil
}

// applyEnded takes the first result of a task; a second one lost the race.
func (l *ledger) applyEnded(e *ended) error {
	t := l.task(e.Attempt.Task)
	if t == nil {
		return misfit("an attempt %s", e.Attempt)
	}
	if l.attempt(e.Attempt) != nil {
		return nil
	}
	s := l.byName[e.Attempt.Task.Stage]
	a := attempt{
		n: e.Attempt.N, state: e.State, executor: l.shared.text(e.Executor), node: l.shared.text(e.Node),
		start: e.Start, end: e.End, err: l.shared.text(e.Error),
		inputs: e.Inputs,
	}
	if winner, ok := s.taken(e.Attempt.Task.Index); ok && a.state == scheduler.AttemptSucceeded {
		a.state, a.err = scheduler.AttemptKilled, l.shared.text(fmt.Sprintf("%s was faster", winner))
	}
	if t.forgone && a.state == scheduler.AttemptSucceeded {
		a.state, a.err = scheduler.AttemptKilled, "the job had gone on without its task"
	}
	if s.started == 0 || e.Start < s.started {
		s.started = e.Start
	}
	switch a.state {
	case scheduler.AttemptSucceeded:
		l.take(s, t, e)
		l.count(a.node, nodeRecord{succeeded: 1})
	case scheduler.AttemptFailed:
		l.count(a.node, nodeRecord{failed: 1})
		s.failed++
		t.failed++
	case scheduler.AttemptLost:
		s.lost++
		if e.Inputs == nil {
			t.lost++
		}
	case scheduler.AttemptKilled:
		s.killed++
	default:
		return misfit("an attempt %s that ended as %s", e.Attempt, e.State)
	}
	t.attempts = append(t.attempts, a)
	return nil
}

func (l *ledger) count(node string, n nodeRecord) {
	r := l.nodes[node]
	l.nodes[node] = nodeRecord{r.failed + n.failed, r.succeeded + n.succeeded}
}

// applyForgone gives a task up, unless it has a result after all.
func (l *ledger) applyForgone(f *forgone) error {
	s, t := l.byName[f.Task.Stage], l.task(f.Task)
	if t == nil {
		return misfit("task %s given up", f.Task)
	}
	if _, taken := s.taken(f.Task.Index); !taken && !t.forgone {
		t.forgone = true
		s.forgone++
		s.worked += t.weight
	}
	return nil
}

func (l *ledger) take(s *stage, t *task, e *ended) {
	s.done++
	s.worked += t.weight
	s.ended = max(s.ended, e.End)
	s.setOutput(e.Attempt.Task.Index, scheduler.Output{Attempt: e.Attempt, Node: e.Node, Data: e.Data})
	t.counters = l.shared.pack(e.Counters)
	l.counters.Merge(e.Counters)
}

// setOutput replaces an output, in a copy if the slice was given away.
func (s *stage) setOutput(index int, o scheduler.Output) {
	if s.lent {
		s.outputs, s.lent = slices.Clone(s.outputs), false
	}
	s.outputs[index] = o
}

// applyGone makes a finished attempt a lost one.
func (l *ledger) applyGone(g *gone) error {
	t := l.task(g.Attempt.Task)
	if t == nil {
		return misfit("the output of %s", g.Attempt)
	}
	t.attempts = slices.Clone(t.attempts) // a snapshot may share them
	a := l.attempt(g.Attempt)
	s := l.byName[g.Attempt.Task.Stage]
	if now, _ := s.taken(g.Attempt.Task.Index); a == nil || now != g.Attempt {
		return nil // it does not count any more
	}
	for _, c := range t.counters {
		k := l.shared.keys[c.key]
		l.counters.Add(k.group, k.name, -c.value)
	}
	t.counters = nil
	s.setOutput(g.Attempt.Task.Index, scheduler.Output{})
	s.done--
	s.worked -= t.weight
	s.lost++
	t.lost++
	a.state, a.err = scheduler.AttemptLost, l.shared.text("its output was lost: "+g.Error)
	return nil
}
