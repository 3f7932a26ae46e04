package am

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/scheduler"
)

// master carries out what the machine decides. All that happens enters by step, under the one lock; what a decision
// costs time for is handed to a goroutine of its own:
//
//	write ──▶ writes ──▶ append ──▶ journal ──▶ Apply ──▶ step
//	ask   ──▶ calls  ──▶ engine  ──────────────────────▶ step
//	scale ──▶ scales ──▶ launch ──▶ launcher ──events──▶ step
//	order ──▶ mailbox ──▶ an executor's Next            answer ──▶ its Report
type master struct {
	cfg    Config
	writes *queue[record]
	calls  *queue[call]
	scales *queue[int]
	wants  *queue[int]
	rewake chan struct{} // holds a token when wake may have become earlier
	ended  chan error    // holds why the work has ended: nil if the job is over

	mu struct {
		sync.Mutex
		machine *machine
		live    bool                                  // the ledger is ours: records that are applied are news
		boxes   map[string]*mailbox                   // of executors that are heard of
		orders  uint64                                // number of the latest order
		waiting map[scheduler.AttemptID][]chan<- bool // reports that wait for an answer
		wake    int64                                 // when machine.tick is due; 0: never
		changed chan struct{}                         // closed and replaced at every step
		turned  chan struct{}                         // closed and replaced when the job's state changes
	}
}

// call asks the engine something, and returns what happens to the machine by the answer.
type call func(ctx context.Context) func(m *machine, now int64)

func newMaster(cfg Config) *master {
	a := &master{
		cfg: cfg, writes: newQueue[record](), calls: newQueue[call](), scales: newQueue[int](), wants: newQueue[int](),
		rewake: make(chan struct{}, 1), ended: make(chan error, 1),
	}
	res := cfg.Job.Resources
	a.mu.machine = newMachine(newLedger(), limits{
		taskFailures: cmp.Or(cfg.Job.Retry.Task, 4), taskLosses: cfg.Options.MaxLost,
		masters: cmp.Or(cfg.Job.Retry.Job, 2), cpu: max(1, res.CPU),
		executors: cmp.Or(res.Executors, cfg.Options.MaxExecutors), heartbeat: cfg.Options.Heartbeat.Milliseconds(),
		nodeFailures: cmp.Or(cfg.Job.Retry.Node, 3), backupAfter: cfg.Options.BackupAfter.Milliseconds(),
		shared: cfg.Share != nil,
	})
	a.mu.boxes = map[string]*mailbox{}
	a.mu.waiting = map[scheduler.AttemptID][]chan<- bool{}
	a.mu.changed, a.mu.turned = make(chan struct{}), make(chan struct{})
	return a
}

func (a *master) now() int64 { return a.cfg.Options.Now().UnixMilli() }

// end ends the work; the first cause counts.
func (a *master) end(cause error) {
	select {
	case a.ended <- cause:
	default:
	}
}

// step lets something happen to the machine, and carries out what it decides.
func (a *master) step(happen func(m *machine, now int64)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stepLocked(happen)
}

func (a *master) stepLocked(happen func(m *machine, now int64)) {
	m := a.mu.machine
	before := m.state
	happen(m, a.now())
	for _, d := range m.drain() {
		a.carryOutLocked(d)
	}
	close(a.mu.changed)
	a.mu.changed = make(chan struct{})
	if m.state != before {
		close(a.mu.turned)
		a.mu.turned = make(chan struct{})
	}
}

func (a *master) carryOutLocked(d decision) {
	switch d := d.(type) {
	case write:
		a.writes.push(d.record)
	case order:
		if box := a.mu.boxes[d.executor]; box != nil {
			a.mu.orders++
			box.put(d, a.mu.orders)
		}
	case ask:
		a.askLocked(d)
	case answer:
		for _, waiter := range a.mu.waiting[d.attempt] {
			waiter <- d.taken // has room
		}
		delete(a.mu.waiting, d.attempt)
	case scale:
		a.scales.push(d.count)
	case want:
		a.wants.push(d.count)
	case wake:
		if a.mu.wake == 0 || d.at < a.mu.wake {
			a.mu.wake = d.at
			select {
			case a.rewake <- struct{}{}:
			default: // the token is there already
			}
		}
	case giveUp:
		a.end(d.cause)
	case over:
		a.end(nil)
	}
}

// askLocked has the engine asked; outputs are those of now.
func (a *master) askLocked(d ask) {
	m, e := a.mu.machine, a.cfg.Engine
	var c call
	switch d.what {
	case askPlan:
		c = func(ctx context.Context) func(*machine, int64) {
			p, err := e.Plan(ctx)
			return func(m *machine, now int64) { m.plan(p, err, now) }
		}
	case askCut:
		in := m.outputs(m.byName[d.stage].needs)
		c = func(ctx context.Context) func(*machine, int64) {
			tasks, err := e.Cut(ctx, d.stage, in)
			return func(m *machine, now int64) { m.cut(d.stage, tasks, err, now) }
		}
	case askPayload:
		in := m.outputs(m.byName[d.attempt.Task.Stage].needs)
		c = func(ctx context.Context) func(*machine, int64) {
			data, err := e.Payload(ctx, d.attempt.Task, in)
			return func(m *machine, now int64) { m.payload(d.attempt, data, err, now) }
		}
	case askCommit:
		in, counters := m.outputs(m.names()), scheduler.Counters{}
		counters.Merge(m.counters)
		c = func(ctx context.Context) func(*machine, int64) {
			result, err := e.Commit(ctx, in, counters)
			if err == nil && result != nil && !json.Valid(result) {
				err = errs.Errorf("engine.Commit", errs.Internal, nil, "its result is not JSON: %.100q", result)
			}
			return func(m *machine, now int64) { m.committed(result, err, now) }
		}
	}
	a.calls.push(c)
}

// engine makes the calls to the engine, one at a time, until ctx ends. What a call says whose ctx has ended is not the
// engine's answer.
func (a *master) engine(ctx context.Context) {
	for {
		calls, err := a.calls.take(ctx)
		if err != nil {
			return
		}
		for _, c := range calls {
			if happened := c(ctx); ctx.Err() == nil {
				a.step(happened)
			}
		}
	}
}

// maxBatch bounds the records of one append, in bytes; the journal has room for twice that.
const maxBatch = journal.MaxAppend / 2

// append writes records to the ledger, in their order, until ctx ends. While one append is under way the next gathers.
func (a *master) append(ctx context.Context, leader *journal.Leader) error {
	for {
		records, err := a.writes.take(ctx)
		if err != nil {
			return nil
		}
		var batch [][]byte
		size := 0
		for i, r := range records {
			data, err := r.encode()
			if err != nil {
				return err
			}
			batch = append(batch, data)
			size += len(data)
			if size < maxBatch && i < len(records)-1 {
				continue
			}
			if err := leader.Append(ctx, batch...); err != nil {
				return err
			}
			batch, size = nil, 0
		}
	}
}

// Restore implements journal.State for the ledger within the machine.
func (a *master) Restore(snapshot io.Reader) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.machine.Restore(snapshot)
}

// Apply implements journal.State. Before this process leads it is a replay; then it is news.
func (a *master) Apply(data []byte) error {
	r, err := parseRecord(data)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.mu.live {
		return a.mu.machine.apply(r)
	}
	a.stepLocked(func(m *machine, now int64) { err = m.recorded(r, now) })
	return err
}

// Snapshot implements journal.State.
func (a *master) Snapshot() (io.WriterTo, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.machine.Snapshot()
}

// begin starts the work over the ledger that was taken over.
func (a *master) begin() {
	a.step(func(m *machine, now int64) {
		a.mu.live = true
		m.begin(a.cfg.Session, now)
	})
}

// clock tells the machine the time when it asked for it, and buries executors that are not heard of, until ctx ends.
func (a *master) clock(ctx context.Context) {
	dead := time.NewTicker(a.cfg.Options.Dead / 10)
	defer dead.Stop()
	for {
		a.mu.Lock()
		wake := a.mu.wake
		a.mu.Unlock()
		var due <-chan time.Time
		if wake != 0 {
			due = time.After(time.Duration(wake-a.now()) * time.Millisecond)
		}
		select {
		case <-ctx.Done():
			return
		case <-a.rewake:
		case <-dead.C:
			a.bury()
		case <-due:
			a.step(func(m *machine, now int64) {
				a.mu.wake = 0
				m.tick(now)
			})
		}
	}
}

// bury gives executors up that were silent for too long.
func (a *master) bury() {
	a.mu.Lock()
	defer a.mu.Unlock()
	limit := a.cfg.Options.Dead
	for id, box := range a.mu.boxes {
		if silent := a.cfg.Options.Now().Sub(box.seen); silent > limit {
			delete(a.mu.boxes, id)
			a.stepLocked(func(m *machine, now int64) {
				m.gone(id, "was not heard of for "+limit.String(), now)
			})
		}
	}
}
