package am

import (
	"encoding/json"
	"fmt"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// machine decides. What happened comes in by its methods, in any order and perhaps twice; what is to be done goes out
// as decisions. It has no clock (now is in Unix milliseconds), does no I/O and never waits.
//
// What counts is in the ledger, which only changes by recorded, that is when it is durable. The rest is what a
// successor learns from the executors: who is there and what runs.
type machine struct {
	*ledger
	limits limits
	out    []decision

	active   bool            // this application master's began is in the ledger
	last     bool            // no other application master is allowed after this one
	settled  bool            // executors of the previous application master had their time to return
	settleBy int64           // or have it until then
	ending   bool            // the record that ends the work, a commit or final, is written or on its way
	asked    map[string]bool // stages whose cut was asked for

	useful     int                   // executors that the job could use
	allowed    int                   // those that it may have
	scaled     int                   // those that were asked for
	leaveBy    int64                 // when executors that have to give way are stopped
	containers map[int]launch.Event  // what the launcher said last
	executors  []*executor           // those that are registered, by id
	live       map[string]*liveStage // by name
	running    map[scheduler.AttemptID]*running
	settling   map[scheduler.AttemptID]settle
	suspects   map[scheduler.AttemptID]*suspect
	resizing   int      // resizes whose records are on their way
	goneNodes  []string // that were told of before this application master was active
	delayed    []delayed
	backups    int // attempts that were started beside another
}

// limits are the numbers of a job that never change.
type limits struct {
	taskFailures int   // FAILED attempts of a task that fail the job
	taskLosses   int   // LOST ones that do
	masters      int   // application masters in a session
	cpu          int   // attempts that an executor runs at a time
	executors    int   // at most
	heartbeat    int64 // milliseconds
	nodeFailures int   // FAILED attempts on a node before it is avoided
	backupAfter  int64 // milliseconds that an attempt runs at least before it gets a backup
	shared       bool  // others want the machines too
}

// stride is the distance between the attempt numbers of two application masters: numbers stay unique without a record
// of each start. Hadoop does the same.
const stride = 1000

// running is an attempt that an executor has, or will have when its payload is known.
type running struct {
	id       scheduler.AttemptID
	executor *executor
	start    int64
	given    bool // the executor was told
	killed   bool // the executor was told, or will be, to end it
	done     int64
	advanced int64 // when done was last seen to change
	status   string
	counters scheduler.Counters
}

// settle is an attempt whose end is on its way to the ledger.
type settle struct {
	held     bool  // its task waits for the outcome
	delay    int64 // before the task is tried again, if it failed
	hopeless bool  // it failed for something that no other attempt will do better
}

// suspect is an output that somebody could not read.
type suspect struct {
	reporters map[scheduler.AttemptID]bool
	condemned bool // the record is on its way
}

// reporters is how many attempts must have failed to read an output, none of them for certain, before it counts as
// lost.
const reporters = 2

// delayed is a task that waits before it is tried again.
type delayed struct {
	task scheduler.TaskID
	at   int64
}

func newMachine(l *ledger, lim limits) *machine {
	allowed := unlimited
	if lim.shared {
		allowed = 0 // until allow says more
	}
	return &machine{
		ledger: l, limits: lim, allowed: allowed, asked: map[string]bool{}, containers: map[int]launch.Event{},
		live: map[string]*liveStage{}, running: map[scheduler.AttemptID]*running{},
		settling: map[scheduler.AttemptID]settle{}, suspects: map[scheduler.AttemptID]*suspect{},
	}
}

func (m *machine) decide(d decision) { m.out = append(m.out, d) }

// drain returns the decisions since the last call.
func (m *machine) drain() []decision {
	out := m.out
	m.out = nil
	return out
}

// begin starts an application master over a ledger that was brought to its end.
func (m *machine) begin(session string, now int64) {
	if m.state.Final() {
		m.ending = true
		m.decide(over{})
		return
	}
	before := 0
	if m.session == session {
		before = m.inSession
	}
	if before >= m.limits.masters && m.state != scheduler.JobCommitting {
		why := fmt.Sprintf("%d application masters ended before the job did", before)
		m.conclude(scheduler.JobFailed, why, nil, now)
		return
	}
	m.last = before+1 >= m.limits.masters
	m.ending = m.state == scheduler.JobCommitting
	m.trim()
	m.enlist() // executors may return before the record is durable
	m.decide(write{record{Began: &began{Session: session, Time: now}}})
	if !m.planned() {
		m.scaleTo(1) // starts while the plan is made
	}
}

// conclude ends the job.
func (m *machine) conclude(state scheduler.JobState, message string, result json.RawMessage, now int64) {
	m.ending = true
	m.decide(write{record{Final: &final{State: state, Message: message, Result: result, Time: now}}})
}

// fail ends the job as FAILED unless it is ending already.
func (m *machine) fail(now int64, format string, args ...any) {
	if !m.ending {
		m.conclude(scheduler.JobFailed, fmt.Sprintf(format, args...), nil, now)
	}
}

// kill ends the job as KILLED, or says why that cannot be.
func (m *machine) kill(reason string, now int64) (refusal string) {
	switch {
	case m.state.Final():
		return fmt.Sprintf("the job is over already: %s", m.state)
	case m.ending && m.finished():
		return "the job's output is being published, which cannot be taken back"
	case m.ending:
		return "the job is ending already"
	}
	m.conclude(scheduler.JobKilled, reason, nil, now)
	return ""
}

// recorded applies a record that has become durable, and does what follows from it.
func (m *machine) recorded(r record, now int64) error {
	if err := m.ledger.apply(r); err != nil {
		return err
	}
	switch {
	case r.Began != nil:
		m.recordedBegan(now)
	case r.Resized != nil:
		m.recordedResized(r.Resized.Executors)
	case r.Plan != nil, r.Cut != nil, r.Tasks != nil:
		m.enlist()
	case r.Ended != nil:
		m.recordedEnded(r.Ended, now)
	case r.Gone != nil:
		delete(m.suspects, r.Gone.Attempt)
		id := r.Gone.Attempt.Task
		if t := m.task(id); t.lost >= m.limits.taskLosses {
			m.fail(now, "%s was lost %s, the last time its output: %s", id, times(t.lost), r.Gone.Error)
		}
		m.requeue(id, 0, now)
	case r.Forgone != nil:
		m.recordedForgone(r.Forgone.Task)
	case r.Commit != nil:
		m.decide(ask{what: askCommit})
	case r.Final != nil:
		for _, e := range m.executors {
			m.decide(order{executor: e.id, verb: orderLeave})
		}
		m.decide(over{})
	}
	m.schedule(now)
	return nil
}

func (m *machine) recordedBegan(now int64) {
	m.active = true
	if m.state == scheduler.JobCommitting {
		m.decide(ask{what: askCommit})
		return
	}
	m.settled = m.masters == 1 || !m.planned() // otherwise nobody can hold anything
	if !m.settled {
		m.settleBy = now + m.limits.heartbeat
		m.decide(wake{m.settleBy})
	}
	m.enlist()
	for _, node := range m.goneNodes {
		m.nodeGone(node)
	}
	if !m.planned() {
		m.decide(ask{what: askPlan})
	}
}

func (m *machine) recordedEnded(e *ended, now int64) {
	id := e.Attempt
	s := m.settling[id]
	delete(m.settling, id)
	if s.held {
		m.liveTask(id.Task).open--
	}
	a, t := m.attempt(id), m.task(id.Task)
	m.decide(answer{id, a.state == scheduler.AttemptSucceeded})
	switch a.state {
	case scheduler.AttemptSucceeded:
		if m.liveTask(id.Task).open > 0 {
			for _, other := range m.runningOf(id.Task) {
				m.stop(other, fmt.Sprintf("%s was faster", id), now)
			}
		}
	case scheduler.AttemptFailed:
		switch {
		case t.failed < m.limits.taskFailures && !s.hopeless || m.forgo(id.Task, now):
		case t.failed == 1:
			m.fail(now, "%s failed on %s: %s", id.Task, e.Executor, e.Error)
		default:
			m.fail(now, "%s failed %s, the last time on %s: %s", id.Task, times(t.failed), e.Executor, e.Error)
		}
	case scheduler.AttemptLost:
		if t.lost >= m.limits.taskLosses {
			m.fail(now, "%s was lost %s, the last time with %s: %s", id.Task, times(t.lost), e.Executor, e.Error)
		}
	}
	m.requeue(id.Task, s.delay, now)
}

// forgo goes on without a task that failed too often, if its stage can spare one more.
func (m *machine) forgo(id scheduler.TaskID, now int64) bool {
	l := m.live[id.Stage]
	if l.forgone >= m.byName[id.Stage].mayFail || m.ending {
		return false
	}
	l.forgone++
	m.liveTask(id).waits = never
	for _, other := range m.runningOf(id) {
		m.stop(other, "its task failed too often", now)
	}
	m.decide(write{record{Forgone: &forgone{id}}})
	return true
}

// recordedForgone takes back what forgo said if a result has come meanwhile.
func (m *machine) recordedForgone(id scheduler.TaskID) {
	if !m.task(id).forgone {
		m.live[id.Stage].forgone--
		m.liveTask(id).waits = no
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// plan takes the engine's answer to askPlan.
func (m *machine) plan(p scheduler.Plan, err error, now int64) {
	if err == nil {
		err = checkPlan(p)
	}
	if err != nil || m.ending {
		m.engineError(err, now)
		return
	}
	r := plan{Stages: []planStage{}}
	var pieces []record
	most, atOnce, gang := 0, 0, 0 // tasks of one stage, of all stages that start with the job, of gangs among them
	for _, s := range p.Stages {
		n := len(s.Tasks)
		if s.Tasks == nil && len(s.Needs) > 0 {
			n = open
		}
		if len(s.Needs) == 0 {
			atOnce += n
			if s.Gang {
				gang += n
			}
		}
		most = max(most, n, atOnce)
		r.Stages = append(r.Stages, planStage{s.Name, s.Needs, n, s.MayFail, s.Backup, s.Gang})
		for piece := range tasksRecords(s.Name, s.Tasks) {
			pieces = append(pieces, piece)
		}
	}
	executors := m.limits.executors
	if m.resized > 0 {
		executors = m.ledger.executors
	}
	if room := executors * m.limits.cpu; gang > room {
		m.fail(now, "%d tasks must run at the same time, and there is room for %d", gang, room)
		return
	}
	r.Executors = m.executorsFor(most)
	m.decide(write{record{Plan: &r}})
	for _, piece := range pieces {
		m.decide(write{piece})
	}
}

// cut takes the engine's answer to askCut.
func (m *machine) cut(stage string, list []scheduler.Task, err error, now int64) {
	if err != nil || m.ending {
		m.engineError(err, now)
		return
	}
	m.decide(write{record{Cut: &cut{Stage: stage, Tasks: len(list), Executors: m.executorsFor(len(list))}}})
	for piece := range tasksRecords(stage, list) {
		m.decide(write{piece})
	}
}

// executorsFor returns how many executors can do tasks at the same time.
func (m *machine) executorsFor(tasks int) int {
	return max(1, min(m.limits.executors, (tasks+m.limits.cpu-1)/m.limits.cpu))
}

// committed takes the engine's answer to askCommit.
func (m *machine) committed(result json.RawMessage, err error, now int64) {
	switch {
	case err == nil:
		m.conclude(scheduler.JobSucceeded, "", result, now)
	case hopeless(err):
		m.conclude(scheduler.JobFailed, err.Error(), nil, now)
	default: // the point of no return is behind us: a successor goes on
		m.decide(giveUp{err})
	}
}

// engineError ends the job, or only this application master if a successor may have more luck.
func (m *machine) engineError(err error, now int64) {
	switch {
	case m.ending:
	case hopeless(err) || m.last:
		m.fail(now, "%v", err)
	default:
		m.decide(giveUp{err})
	}
}

// hopeless reports whether it is of no use to ask the engine again.
func hopeless(err error) bool {
	switch errs.KindOf(err) {
	case errs.Invalid, errs.NotFound, errs.Exist, errs.Permission, errs.Unsupported, errs.Corrupt, errs.Failed:
		return true
	}
	return false
}

// checkPlan returns an error of kind Internal if an engine made a plan that makes no sense.
func checkPlan(p scheduler.Plan) error {
	known := map[string]bool{}
	for _, s := range p.Stages {
		id, err := scheduler.ParseTaskID(s.Name + "-0")
		if err != nil || id.Stage != s.Name || known[s.Name] {
			return errs.Errorf("am.plan", errs.Internal, nil, "a stage named %q", s.Name)
		}
		for _, need := range s.Needs {
			if !known[need] {
				return errs.Errorf("am.plan", errs.Internal, nil, "stage %s needs %q before it", s.Name, need)
			}
		}
		known[s.Name] = true
	}
	return nil
}

// tick is told the time.
func (m *machine) tick(now int64) {
	waiting := m.delayed[:0]
	for _, d := range m.delayed {
		if d.at <= now {
			m.requeue(d.task, 0, now)
		} else {
			waiting = append(waiting, d)
		}
	}
	m.delayed = waiting
	for _, d := range waiting {
		m.decide(wake{d.at})
	}
	if !m.settled && m.settleBy > now {
		m.decide(wake{m.settleBy})
	}
	if m.scaled > m.allowed && m.leaveBy > now {
		m.decide(wake{m.leaveBy}) // an earlier time may have taken its place
	}
	for _, l := range m.live {
		l.nearWake = 0 // whoever waits for it still asks again
	}
	m.schedule(now)
}
