package role

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/fold"
	"github.com/seed3322913c/runner/guagua/ledger"
	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// RunMaster does the work of a job's master, from taking the ledger over until every worker has left. book is closed
// when it returns. The kind Fenced says that another master has taken over.
func RunMaster(ctx context.Context, job Job, book *ledger.Ledger, attempt int) (Summary, error) {
	job.settle()
	ctx, cancel := context.WithCancelCause(ctx)
	m := &master{
		job: job, book: book, env: job.env(guagua.MasterIndex, attempt), calls: make(chan func() error, 1),
		wake: make(chan struct{}, 1), peers: map[int]*peer{}, breaks: map[int]int{}, pool: new(fold.Pool),
		results: new(payloads),
	}
	m.machine = superstep.NewMaster(job.Config, book.Epoch(), book.Newest())
	m.stats = newStats(job.Config.Workers)
	err := m.run(ctx)
	cancel(errs.E("guagua.Master", errs.Canceled, nil, nil))
	if t := m.turn.Load(); t != nil { // lets readers go that wait for memory
		t.fold.Close() //nolint:errcheck // a file without a name; nobody will read it
	}
	m.work.Wait()
	if cerr := book.Close(); err == nil {
		err = cerr
	}
	return m.stats.summary(m), err
}

// master carries out what its machine wants.
type master struct {
	job     Job
	env     *guagua.Env
	book    *ledger.Ledger
	program guagua.MasterProgram
	reducer guagua.Reducer
	chain   *guagua.Chain
	pool    *fold.Pool
	results *payloads
	stats   *stats
	turn    atomic.Pointer[turn] // whose results are taken
	calls   chan func() error    // for the loop, from goroutines that it started
	wake    chan struct{}        // there is something in todo
	work    sync.WaitGroup

	// For the loop alone:
	now     *payload // the newest master result, nil before the first
	trail   trail    // its companions
	kept    *handed  // what a worker has handed over, until Restore
	save    chan error
	stateAt int // the iteration that trail.state belongs to
	pacing  pacing

	mu      sync.Mutex // guards what follows
	machine *superstep.Master
	todo    []superstep.Action
	peers   map[int]*peer // the current link of each index
	failed  error         // by a reader: results do not fit together
	breaks  map[int]int   // of groups, by leader
	grouped int           // turns in which groups were used
}

// turn is a fold and the position whose results it takes.
type turn struct {
	at        superstep.Position
	iteration int
	fold      fold.Fold
	groups    map[int]bool // the leaders of those that are used
}

// handed is what a worker held for a master that is gone.
type handed struct {
	at     superstep.Point
	result []byte
	trail  trail
}

func (m *master) run(ctx context.Context) (err error) {
	m.program, err = m.job.Program.NewMaster(ctx, m.env)
	if err != nil {
		return err
	}
	m.reducer = m.program.Reducer(ctx)
	m.chain = guagua.NewChain(append(m.job.Interceptors, m.program.Interceptors()...)...)
	defer func() { err = ended(ctx, m.chain, m.program, m.env, err) }()
	if err := m.chain.Start(ctx, m.env); err != nil {
		return err
	}
	door, err := m.job.Transport.Listen(ctx, m.job.secret(m.book.Epoch()))
	if err != nil {
		return err
	}
	defer m.leave(door)
	m.work.Go(func() { admit(ctx, &m.work, door, m.greet, m.listen) })
	n := notice{Epoch: m.book.Epoch(), Address: door.Address(), Done: m.book.Newest().Final}
	if err := publish(ctx, m.job.Coord, Key(m.job.ID), n); err != nil {
		return err
	}
	m.work.Go(func() { follow(ctx, m.job.Coord, Key(m.job.ID), m.rival) })
	m.tell(func(now time.Time) []superstep.Action { return m.machine.Start(now) })
	return m.loop(ctx)
}

// leave closes all links, so that readers end.
func (m *master) leave(door link.Listener) {
	door.Close() //nolint:errcheck // nobody listens any more either way
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		p.end()
	}
}

// rival ends this master when a later one has published itself: it would wait for workers that have left it.
func (m *master) rival(n notice) {
	if n.Epoch > m.book.Epoch() {
		m.fail(errs.Errorf("guagua.Master", errs.Fenced, m.job.ID, "the master of epoch %d has taken over", n.Epoch))
	}
}

// tell lets the machine take an event, and has the loop do what follows from it.
func (m *master) tell(event func(now time.Time) []superstep.Action) {
	m.mu.Lock()
	m.todo = append(m.todo, event(time.Now())...)
	some := len(m.todo) > 0
	m.mu.Unlock()
	if some {
		m.signal()
	}
}

func (m *master) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// fail ends the loop with an error.
func (m *master) fail(err error) {
	m.mu.Lock()
	if m.failed == nil {
		m.failed = err
	}
	m.mu.Unlock()
	m.signal()
}

// take returns what is to be done now, and when the machine wants to be woken.
func (m *master) take() (todo []superstep.Action, wake time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	todo, m.todo = m.todo, nil
	return todo, m.machine.Wake(), m.failed
}

func (m *master) loop(ctx context.Context) error {
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		todo, wake, err := m.take()
		if err != nil {
			return err
		}
		for _, a := range todo {
			if over, err := m.do(ctx, a); over || err != nil {
				return err
			}
		}
		if len(todo) > 0 {
			continue
		}
		alarm.Stop()
		if !wake.IsZero() {
			alarm.Reset(time.Until(wake))
		}
		select {
		case <-m.wake:
		case call := <-m.calls:
			if err := call(); err != nil {
				return err
			}
		case <-alarm.C:
			m.tell(func(now time.Time) []superstep.Action { return m.machine.Tick(now) })
		case <-m.book.Fenced():
			return errs.Errorf("guagua.Master", errs.Fenced, m.job.ID, "another master has taken over")
		case <-ctx.Done():
			return canceled(ctx, "master")
		}
	}
}

// do carries out one action. It reports whether the master's work is over.
func (m *master) do(ctx context.Context, a superstep.Action) (over bool, err error) {
	switch a := a.(type) {
	case superstep.Fetch:
		h := wire.Header{Kind: wire.Fetch, Member: a.From}
		h.SetPoint(a.At)
		m.post(a.From, outgoing{head: h, message: empty})
	case superstep.Restore:
		err = m.restore(ctx, a.At)
	case superstep.Begin:
		m.begin(a)
	case superstep.Tell:
		err = m.announce(a.Announce)
	case superstep.Compute:
		err = m.compute(ctx, a)
	case superstep.Save:
		err = m.checkpoint(ctx, a)
	case superstep.Finish:
		err = m.finish(ctx)
	case superstep.Dismiss:
		m.post(a.To, outgoing{head: wire.Header{Kind: wire.Dismiss, Member: a.To}, message: empty})
	case superstep.Reject:
		m.post(a.To, outgoing{head: wire.Header{Kind: wire.Reject, Member: a.To}, message: wire.NewMessage([]byte(a.Why))})
	case superstep.Straggles:
		m.env.Logf("worker %d is a straggler: %v so far, the median is %v", a.Index, a.Elapsed, a.Median)
		m.job.News.Count("Guagua", "STRAGGLERS", 1)
	case superstep.Fail:
		err = a.Err
	case superstep.End:
		over = true
	}
	return over, err
}

// empty is the body of messages that have none.
var empty = wire.NewMessage(nil)

// post sends to a member, if this attempt of it is here; if not, it will join and be told.
func (m *master) post(to superstep.Member, out ...outgoing) {
	m.mu.Lock()
	p := m.peers[to.Index]
	m.mu.Unlock()
	if p == nil || p.member != to {
		for _, o := range out {
			o.payload.release()
		}
		return
	}
	for i := range out {
		out[i].head.Epoch = m.book.Epoch()
	}
	p.send(out...)
	if out[len(out)-1].head.Kind == wire.Reject {
		p.end()
	}
}

func (m *master) begin(b superstep.Begin) {
	if old := m.turn.Load(); old != nil {
		old.fold.Close() //nolint:errcheck // a file without a name; its results have been used
	}
	m.mu.Lock()
	defer m.mu.Unlock() // a worker that comes or goes must find the turn whose groups it was seen in
	groups, within := m.groupsLocked(b)
	o := fold.Options{
		Within:  within,
		Workers: m.job.Config.Workers, Piece: wire.Chunk, Memory: m.job.Memory, Largest: m.job.Largest,
		Scratch: m.job.Scratch, Patient: m.job.Config.Whole(),
	}
	m.turn.Store(&turn{b.Position, b.Iteration, fold.New(m.reducer, m.pool, o), groups})
	m.stats.begin(b.Position)
}

// announce sends an order, the master result if the worker does not have it, and to two workers the master's state.
func (m *master) announce(a superstep.Announce) error {
	h := wire.Header{Kind: wire.Announce, Position: a.Position, Member: a.To, Counted: a.Counted}
	h.SetPoint(a.At)
	first, _ := m.job.group(a.To.Index)
	t := m.turn.Load()
	if t != nil && t.at == a.Position && t.groups[first] {
		h.Flags |= wire.Group
		a.Content = true // others of the group may need it
	}
	if a.Content {
		h.Flags |= wire.Content
	}
	if a.Older {
		h.Flags |= wire.Older
	}
	var out []outgoing
	if h.Flags&wire.Group == 0 || a.To.Index == first { // others have it from their leader
		out = append(out, outgoing{head: h, message: empty})
		if a.Content && m.now != nil {
			out[0].payload = m.now.hold()
			out[0].message = m.now.message
		}
	}
	if a.To.Index < holders && !m.job.Config.Durable && m.stateAt == a.At.Iteration && a.At.Iteration > 0 {
		state, err := m.companion(a)
		if err != nil {
			return err
		}
		out = append([]outgoing{state}, out...)
	}
	if len(out) > 0 {
		m.post(a.To, out...)
	}
	return nil
}

// holders is how many workers, those with the lowest indexes, are given the master's own state.
const holders = 2

// companion is the State message for a worker: with the lines that it does not have.
func (m *master) companion(a superstep.Announce) (outgoing, error) {
	t := m.trail
	m.mu.Lock()
	if p := m.peers[a.To.Index]; p != nil {
		for len(t.lines) > 0 && t.lines[0].Iteration <= p.given {
			t.lines = t.lines[1:]
		}
		p.given = a.At.Iteration
	}
	m.mu.Unlock()
	body, err := t.encode()
	h := wire.Header{Kind: wire.State, Position: a.Position, Member: a.To}
	h.SetPoint(a.At)
	return outgoing{head: h, message: wire.NewMessage(body)}, err
}

// ended runs what runs at the end of a role, whatever happened: all of it, innermost first.
func ended(ctx context.Context, chain *guagua.Chain, p guagua.Ender, env *guagua.Env, err error) error {
	ctx = context.WithoutCancel(ctx)
	cerr := p.Close(ctx, err)
	serr := chain.Stop(ctx, env, err)
	for _, later := range []error{cerr, serr} {
		if err == nil {
			err = later
		}
	}
	return err
}
