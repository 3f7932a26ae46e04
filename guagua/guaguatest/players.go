package guaguatest

import (
	"context"
	"slices"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/fold"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
)

// master is a master's process.
type master struct {
	s       *stage
	env     *guagua.Env
	program guagua.MasterProgram
	chain   *guagua.Chain
	machine *superstep.Master
	reducer guagua.Reducer
	fold    fold.Fold
	pool    fold.Pool
	conns   map[int]*conn
	now     saved
	fetched *saved
	ended   bool
}

// newMaster starts a master in the place of one that has died.
func (s *stage) newMaster(ctx context.Context) (err error) {
	s.epoch++
	m := &master{s: s, env: s.env(guagua.MasterIndex), conns: map[int]*conn{}}
	m.machine = superstep.NewMaster(s.cfg, s.epoch, s.ledger)
	if m.program, err = s.program.NewMaster(ctx, m.env); err != nil {
		return err
	}
	m.reducer = m.program.Reducer(ctx)
	m.chain = guagua.NewChain(m.program.Interceptors()...)
	s.master = m
	if err := m.chain.Start(ctx, m.env); err != nil {
		return err
	}
	if err := m.do(ctx, m.machine.Start(s.now)); err != nil {
		return err
	}
	for _, w := range s.workers {
		s.connect(w)
	}
	return nil
}

func (m *master) joined(ctx context.Context, c *conn, j superstep.Join) error {
	acts := m.machine.Join(m.s.now, j)
	if len(acts) == 1 {
		if _, rejected := acts[0].(superstep.Reject); rejected {
			c.dead = true
			return nil
		}
	}
	m.conns[j.From.Index] = c
	return m.do(ctx, acts)
}

func (m *master) lost(ctx context.Context, c *conn) error {
	if m.conns[c.worker.me.Index] != c {
		return nil
	}
	delete(m.conns, c.worker.me.Index)
	return m.do(ctx, m.machine.Lost(m.s.now, c.worker.me))
}

// down sends a message to a member that is here.
func (m *master) down(to superstep.Member, deliver func(ctx context.Context, w *worker) error) {
	if c := m.conns[to.Index]; c != nil && c.worker.me == to {
		m.s.wires = append(m.s.wires, message{conn: c, down: true, deliver: func(ctx context.Context) error {
			return deliver(ctx, c.worker)
		}})
	}
}

// holders is how many workers are given the master's own state.
const holders = 2

func (m *master) do(ctx context.Context, acts []superstep.Action) error {
	for _, a := range acts {
		if m.ended {
			return nil
		}
		if err := m.act(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

func (m *master) act(ctx context.Context, a superstep.Action) error {
	switch a := a.(type) {
	case superstep.Fetch:
		m.down(a.From, func(ctx context.Context, w *worker) error {
			held := w.held
			if held.at != a.At { // it has adopted another since it joined
				return w.s.cut(ctx, w.conn)
			}
			w.up(func(ctx context.Context) error {
				m.fetched = &held
				return m.do(ctx, m.machine.Fetched(m.s.now, w.me, held.at))
			})
			return nil
		})
	case superstep.Restore:
		m.now = m.s.saved
		if m.fetched != nil && m.fetched.at == a.At {
			m.now = *m.fetched
		}
		m.s.lines = slices.DeleteFunc(m.s.lines, func(l line) bool { return l.iteration > a.At.Iteration })
		return m.program.Restore(slices.Clone(m.now.result), slices.Clone(m.now.state))
	case superstep.Begin:
		m.begin()
	case superstep.Tell:
		now := m.now
		m.down(a.To, func(ctx context.Context, w *worker) error { return w.told(ctx, a.Announce, now) })
	case superstep.Compute:
		return m.compute(ctx, a)
	case superstep.Save:
		m.s.ledger = superstep.Ledger{At: a.At, Final: a.Final}
		m.s.saved = m.now
		return m.do(ctx, m.machine.Saved(m.s.now, a))
	case superstep.Finish:
		m.s.result = m.now.result
		return m.program.Finish(ctx, m.env.Create)
	case superstep.Dismiss:
		m.down(a.To, func(ctx context.Context, w *worker) error { return w.leave(ctx) })
	case superstep.Reject:
		if c := m.conns[a.To.Index]; c != nil && c.worker.me.Attempt <= a.To.Attempt {
			return m.s.kill(ctx, c.worker)
		}
	case superstep.Fail:
		return a.Err
	case superstep.End:
		for _, w := range m.s.workers { // those whom nobody could tell read it where masters are published
			if err := w.leave(ctx); err != nil {
				return err
			}
		}
		return m.end(ctx, nil)
	}
	return nil
}

func (m *master) begin() {
	if m.fold != nil {
		m.fold.Close() //nolint:errcheck // a file without a name
	}
	m.fold = fold.New(m.reducer, &m.pool, fold.Options{
		Workers: m.s.o.Workers, Piece: wire.Chunk, Memory: 1 << 30, Largest: 1 << 30, Scratch: m.env.Scratch,
	})
}

func (m *master) compute(ctx context.Context, c superstep.Compute) error {
	if kind, ok := m.s.strikes(guagua.MasterIndex, c.Iteration, Kill, Cut); ok {
		if kind == Kill {
			return m.die(ctx)
		}
		for i := range m.s.o.Workers {
			if err := m.s.cut(ctx, m.conns[i]); err != nil {
				return err
			}
		}
	}
	parts, err := m.fold.Results()
	if err != nil {
		return err
	}
	step := &guagua.Step{Env: m.env, Iteration: c.Iteration, Missing: c.Missing}
	if c.Halt {
		step.Halt()
	}
	if err := m.chain.Enter(ctx, step); err != nil {
		return err
	}
	data, err := m.program.Compute(ctx, step, parts, nil)
	if err != nil {
		return err
	}
	if err := m.chain.Leave(ctx, step); err != nil {
		return err
	}
	state, err := m.program.Snapshot()
	if err != nil {
		return err
	}
	m.now = saved{superstep.Point{Iteration: c.Iteration, Epoch: m.s.epoch}, data, slices.Clone(state)}
	if r := step.Recorded(); r != nil {
		m.s.lines = append(m.s.lines, line{c.Iteration, Line{r.Iteration, r.Final, r.Values, c.Missing}})
	}
	return m.do(ctx, m.machine.Computed(m.s.now, step.Halted()))
}

// die ends this master, and lets another one begin.
func (m *master) die(ctx context.Context) error {
	m.ended = true
	for _, w := range m.s.workers {
		if w.conn != nil {
			w.conn.dead = true
		}
	}
	return m.s.newMaster(ctx)
}

func (m *master) end(ctx context.Context, outcome error) error {
	m.ended = true
	if m.fold != nil {
		m.fold.Close() //nolint:errcheck // a file without a name
	}
	err := m.program.Close(ctx, outcome)
	if serr := m.chain.Stop(ctx, m.env, outcome); err == nil {
		err = serr
	}
	return err
}

// worker is a worker's process.
type worker struct {
	s       *stage
	env     *guagua.Env
	me      superstep.Member
	program guagua.WorkerProgram
	chain   *guagua.Chain
	machine *superstep.Worker
	conn    *conn
	loaded  bool
	master  []byte // the master result adopted
	held    saved
	part    []byte
	halt    bool
	left    bool
}

// newWorker starts a worker in the place of one that has died.
func (s *stage) newWorker(ctx context.Context, index int) (err error) {
	w := &worker{s: s, env: s.env(index)}
	w.me = superstep.Member{Index: index, Attempt: w.env.Attempt}
	w.machine = superstep.NewWorker(w.me)
	if w.program, err = s.program.NewWorker(ctx, w.env); err != nil {
		return err
	}
	w.chain = guagua.NewChain(w.program.Interceptors()...)
	s.workers[index] = w
	if err := w.chain.Start(ctx, w.env); err != nil {
		return err
	}
	s.connect(w)
	return nil
}

// kill ends a worker's process and starts another.
func (s *stage) kill(ctx context.Context, w *worker) error {
	w.left = true
	if c := w.conn; c != nil && !c.dead {
		c.dead = true
		if err := c.master.lost(ctx, c); err != nil {
			return err
		}
	}
	return s.newWorker(ctx, w.me.Index)
}

// up sends a message to the master.
func (w *worker) up(deliver func(ctx context.Context) error) {
	w.s.wires = append(w.s.wires, message{conn: w.conn, deliver: deliver})
}

func (w *worker) told(ctx context.Context, a superstep.Announce, now saved) error {
	for _, act := range w.machine.Announced(a) {
		switch act := act.(type) {
		case superstep.Adopt:
			w.master = slices.Clone(now.result)
			if w.me.Index < holders && !w.s.cfg.Durable && act.At.Iteration > 0 {
				w.held = now
			}
		case superstep.Work:
			return w.work(ctx, act)
		case superstep.Send:
			w.send(act)
		case superstep.Rejoin:
			return w.s.cut(ctx, w.conn)
		}
	}
	return nil
}

func (w *worker) work(ctx context.Context, a superstep.Work) error {
	iteration := a.At.Iteration + 1
	if _, ok := w.s.strikes(w.me.Index, iteration, Kill); ok {
		return w.s.kill(ctx, w)
	}
	if !w.loaded {
		w.loaded = true
		if err := w.program.Load(ctx, w.s.splits[w.me.Index]); err != nil {
			return err
		}
	}
	master := w.master
	if a.At.Iteration == 0 {
		master = nil
	}
	step := &guagua.Step{Env: w.env, Iteration: iteration}
	if err := w.chain.Enter(ctx, step); err != nil {
		return err
	}
	part, err := w.program.Compute(ctx, step, master)
	if err != nil {
		return err
	}
	if err := w.chain.Leave(ctx, step); err != nil {
		return err
	}
	w.part, w.halt = slices.Clone(part), step.Halted()
	for _, act := range w.machine.Computed() {
		if s, ok := act.(superstep.Send); ok {
			w.send(s)
		}
	}
	if _, ok := w.s.strikes(w.me.Index, iteration, Cut); ok {
		return w.s.cut(ctx, w.conn)
	}
	return nil
}

func (w *worker) send(a superstep.Send) {
	r := superstep.Result{Position: a.Position, From: w.me, Halt: w.halt, Older: a.Older}
	m, part := w.conn.master, w.part
	deliver := func(ctx context.Context) error {
		if !m.machine.Partial(r) {
			return nil
		}
		if err := folded(m.fold, r.From, part); err != nil {
			return err
		}
		return m.do(ctx, m.machine.Result(w.s.now, r))
	}
	w.up(deliver)
	iteration := m.machine.At().Iteration + 1
	switch kind, _ := w.s.strikes(w.me.Index, iteration, Repeat, Stall); kind {
	case Repeat:
		w.up(deliver)
	case Stall:
		w.s.wires[len(w.s.wires)-1].late = true
	}
}

func (w *worker) leave(ctx context.Context) error {
	if w.left {
		return nil
	}
	err := w.end(ctx, nil)
	if c := w.conn; err == nil && c != nil && !c.dead {
		c.dead = true
		err = c.master.lost(ctx, c)
	}
	return err
}

func (w *worker) end(ctx context.Context, outcome error) error {
	w.left = true
	err := w.program.Close(ctx, outcome)
	if serr := w.chain.Stop(ctx, w.env, outcome); err == nil {
		err = serr
	}
	return err
}
