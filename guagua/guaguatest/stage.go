package guaguatest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/fold"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// stage is where a run happens: one master at a time, the workers, and the messages under way between them.
type stage struct {
	program guagua.Program
	o       Options
	cfg     superstep.Config
	splits  []guagua.Split
	random  *rand.Rand
	now     time.Time
	store   *mem.Store
	faults  []Fault
	logging sync.Mutex // guards logged
	logged  []string

	epoch    uint64
	ledger   superstep.Ledger
	saved    saved // the checkpoint that the ledger names
	master   *master
	workers  []*worker
	wires    []message
	attempts map[int]int
	lines    []line
	result   []byte
}

// saved is a checkpoint's content, or what a worker holds for a master.
type saved struct {
	at            superstep.Point
	result, state []byte
}

type line struct {
	iteration int // the engine's
	Line
}

// message is under way; deliver says what happens when it arrives. Those of one connection and direction keep their
// order; dead connections deliver nothing.
type message struct {
	conn    *conn
	down    bool
	late    bool // comes last
	deliver func(ctx context.Context) error
}

// conn is one connection of a worker to a master.
type conn struct {
	master *master
	worker *worker
	dead   bool
}

func newStage(p guagua.Program, o Options, cfg superstep.Config, splits []guagua.Split) *stage {
	s := &stage{
		program: p, o: o, cfg: cfg, splits: splits, random: rand.New(rand.NewPCG(o.Seed, 3)), now: time.Unix(0, 0),
		store: mem.New(), faults: slices.Clone(o.Faults), attempts: map[int]int{},
	}
	for range o.Chaos {
		f := Fault{s.random.IntN(o.Workers+1) - 1, 1 + s.random.IntN(cfg.Total), FaultKind(s.random.IntN(4))}
		s.faults = append(s.faults, f)
	}
	return s
}

// strikes reports whether a fault is planned for this moment, and takes it off the list.
func (s *stage) strikes(index, iteration int, kinds ...FaultKind) (FaultKind, bool) {
	for i, f := range s.faults {
		if f.Worker == index && f.Iteration == iteration && slices.Contains(kinds, f.Kind) {
			s.faults = slices.Delete(s.faults, i, i+1)
			return f.Kind, true
		}
	}
	return 0, false
}

func (s *stage) env(index int) *guagua.Env {
	attempt := s.attempts[index]
	s.attempts[index]++
	return &guagua.Env{
		Job: "test", Params: s.o.Params, Worker: index, Workers: s.o.Workers, Attempt: attempt, Iterations: s.o.Iterations,
		Total: s.cfg.Total, Threads: s.o.Threads, Scratch: os.TempDir(), Open: s.o.opener(), Create: output(s.store),
		Logf: func(format string, args ...any) {
			s.logging.Lock() // programs log from whatever goroutine they like
			defer s.logging.Unlock()
			s.logged = append(s.logged, fmt.Sprintf(format, args...))
			if s.o.Logf != nil {
				s.o.Logf(format, args...)
			}
		},
		Count: func(string, string, int64) {},
	}
}

// run lets things happen, one after the other, until everybody has left.
func (s *stage) run(ctx context.Context) error {
	for i := range s.o.Workers {
		s.workers = append(s.workers, nil)
		if err := s.newWorker(ctx, i); err != nil {
			return err
		}
	}
	if err := s.newMaster(ctx); err != nil {
		return err
	}
	for !s.over() {
		if err := ctx.Err(); err != nil {
			return errs.E("guaguatest.Run", errs.Canceled, nil, err)
		}
		s.now = s.now.Add(time.Millisecond)
		if m, ok := s.next(); ok {
			if err := m.deliver(ctx); err != nil {
				return err
			}
			continue
		}
		wake := s.master.machine.Wake() // nothing is under way: time passes
		if wake.IsZero() {
			return errs.Errorf("guaguatest.Run", errs.Internal, nil, "nothing happens any more (the master is %v at %v)",
				s.master.machine.Phase(), s.master.machine.At())
		}
		if wake.After(s.now) {
			s.now = wake
		}
		if err := s.master.do(ctx, s.master.machine.Tick(s.now)); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) over() bool {
	return s.master.ended && !slices.ContainsFunc(s.workers, func(w *worker) bool { return !w.left })
}

// next takes one of the messages that can arrive now: by chance, those that are late when there are no others.
func (s *stage) next() (message, bool) {
	s.wires = slices.DeleteFunc(s.wires, func(m message) bool { return m.conn.dead })
	var can []int
	for late := range 2 {
		for i, m := range s.wires {
			before := slices.ContainsFunc(s.wires[:i], func(o message) bool { return o.conn == m.conn && o.down == m.down })
			if !before && (late == 1 || !m.late) {
				can = append(can, i)
			}
		}
		if len(can) > 0 {
			break
		}
	}
	if len(can) == 0 {
		return message{}, false
	}
	i := can[s.random.IntN(len(can))]
	m := s.wires[i]
	s.wires = slices.Delete(s.wires, i, i+1)
	return m, true
}

// connect links a worker to the present master, and lets it join.
func (s *stage) connect(w *worker) {
	if s.master == nil || s.master.ended || w.left {
		return
	}
	if w.conn != nil {
		w.conn.dead = true
	}
	w.machine.Heard(s.epoch)
	c := &conn{master: s.master, worker: w}
	w.conn = c
	join := w.machine.Connected(w.held.at)
	deliver := func(ctx context.Context) error { return c.master.joined(ctx, c, join) }
	s.wires = append(s.wires, message{conn: c, deliver: deliver})
}

// cut breaks a connection: what was under way is gone, and the worker joins again.
func (s *stage) cut(ctx context.Context, c *conn) error {
	if c == nil || c.dead {
		return nil
	}
	c.dead = true
	if err := c.master.lost(ctx, c); err != nil {
		return err
	}
	s.connect(c.worker)
	return nil
}

func (s *stage) close(ctx context.Context, outcome error) error {
	var first error
	keep := func(err error) {
		if first == nil {
			first = err
		}
	}
	for _, w := range s.workers {
		if w != nil && !w.left {
			keep(w.end(ctx, outcome))
		}
	}
	if s.master != nil && !s.master.ended {
		keep(s.master.end(ctx, outcome))
	}
	return first
}

func (s *stage) outcome(ctx context.Context) Outcome {
	out := Outcome{Result: s.result, Attempts: s.attempts, Files: map[string][]byte{}, Logged: s.logged}
	out.Iterations = s.ledger.At.Iteration
	for _, l := range s.lines {
		out.Lines = append(out.Lines, l.Line)
	}
	for info, err := range s.store.List(ctx, "") {
		if err == nil { // a store in memory does not fail
			out.Files[string(info.Name)], _ = store.Get(ctx, s.store, info.Name, info.Size)
		}
	}
	return out
}

// folded gives a result to a fold, in the pieces that would travel.
func folded(f fold.Fold, from superstep.Member, data []byte) error {
	for at := 0; at == 0 || at < len(data); at += wire.Chunk {
		part := data[at:min(at+wire.Chunk, len(data))]
		p := fold.Piece{From: from, Total: int64(len(data)), Offset: int64(at), Length: len(part)}
		if _, err := f.Take(p, func(dst []byte) error { copy(dst, part); return nil }); err != nil {
			return err
		}
	}
	return nil
}
