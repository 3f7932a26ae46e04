package role

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/ledger"
	linkmem "github.com/seed3322913c/runner/guagua/link/mem"
	"github.com/seed3322913c/runner/guagua/superstep"
	coordmem "github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	storemem "github.com/seed3322913c/runner/infra/store/mem"
)

// yard is a place where a job runs in one process: every role is started again when it dies, as an application master
// would, until it ends well. Its clock is a testing/synctest bubble's.
type yard struct {
	t     *testing.T
	job   Job
	store *storemem.Store
	links *linkmem.Transport
	work  sync.WaitGroup

	mu       sync.Mutex
	kill     map[int]context.CancelCauseFunc // running attempts, by worker index or MasterIndex
	attempts map[int]int
	failures int // attempts that ended with an error of their own
	last     error
	status   []string
	counters map[string]int64
	summary  Summary
}

func newYard(t *testing.T, p guagua.Program, workers, total int) *yard {
	y := &yard{
		t: t, store: storemem.New(), links: linkmem.New(),
		kill: map[int]context.CancelCauseFunc{}, attempts: map[int]int{}, counters: map[string]int64{},
	}
	y.job = Job{
		ID: "7k2f-test", Program: p, Config: superstep.Defaults(workers, total), Secret: "s3cret",
		Transport: y.links, Coord: coordmem.New(), Memory: DefaultMemory, Largest: 1 << 20, Scratch: t.TempDir(), News: y,
		Env: guagua.Env{Workers: workers, Iterations: total, Total: total, Threads: 1, Logf: func(string, ...any) {}},
	}
	y.job.Env.Create = func(ctx context.Context, name string) (store.Writer, error) {
		return y.store.Create(ctx, store.Name("out").Join(name))
	}
	return y
}

func (y *yard) Progress(int64) {}

func (y *yard) Status(line string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.status = append(y.status, line)
}

func (y *yard) Count(group, name string, delta int64) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counters[group+"/"+name] += delta
}

var errKilled = errors.New("killed")

// start runs a role until it ends well, has failed four times by itself, or ctx ends.
func (y *yard) start(ctx context.Context, index int) {
	y.work.Go(func() {
		for failed := 0; failed < 4; {
			attemptCtx, cancel := context.WithCancelCause(ctx)
			y.mu.Lock()
			attempt := y.attempts[index]
			y.attempts[index]++
			y.kill[index] = cancel
			y.mu.Unlock()
			err := y.run(attemptCtx, index, attempt)
			cancel(nil)
			if err == nil || ctx.Err() != nil {
				return
			}
			if !errors.Is(err, errKilled) {
				failed++
				y.mu.Lock()
				y.failures++
				y.last = err
				y.mu.Unlock()
			}
		}
	})
}

func (y *yard) run(ctx context.Context, index, attempt int) error {
	if index != guagua.MasterIndex {
		in := guagua.Split{Index: index}
		err := RunWorker(ctx, y.job, superstep.Member{Index: index, Attempt: attempt}, in)
		if err != nil && context.Cause(ctx) == errKilled {
			return errKilled
		}
		return err
	}
	book, err := ledger.Open(ctx, y.store, "guagua", journal.Options{})
	if err == nil {
		var s Summary
		s, err = RunMaster(ctx, y.job, book, attempt)
		y.mu.Lock()
		y.summary = s
		y.mu.Unlock()
	}
	if err != nil && context.Cause(ctx) == errKilled {
		return errKilled
	}
	return err
}

func (y *yard) startAll(ctx context.Context) {
	y.start(ctx, guagua.MasterIndex)
	for i := range y.job.Config.Workers {
		y.start(ctx, i)
	}
}

// strike kills a role, if it runs.
func (y *yard) strike(index int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if k := y.kill[index]; k != nil {
		k(errKilled)
	}
}

// finished waits for all roles and returns what the job left behind.
func (y *yard) finished() string {
	y.t.Helper()
	y.work.Wait()
	if y.last != nil {
		y.t.Errorf("an attempt failed: %v", y.last)
	}
	return y.output("model")
}

func (y *yard) output(name string) string {
	y.t.Helper()
	data, err := store.Get(y.t.Context(), y.store, store.Name("out").Join(name), 16<<20)
	if err != nil {
		y.t.Fatal(err)
	}
	return string(data)
}

// descent is a program whose outcome depends on every bit of every step: vectors, gradients in a fixed order, and a
// master with a state of its own.
type descent struct {
	size   int
	kind   guagua.Reduction
	before func(ctx context.Context, s *guagua.Step) error // called at the start of every Compute

	mu     sync.Mutex
	opened int
	closed int
}

func (d *descent) app() guagua.Program {
	a := guagua.App[[]float64, []float64]{
		Title: "descent", Result: guagua.Floats{}, Part: guagua.Floats{},
		Master: func(context.Context, *guagua.Env) (guagua.Master[[]float64, []float64], error) {
			d.count(&d.opened)
			return &descentMaster{d: d, momentum: make([]float64, d.size)}, nil
		},
		Worker: func(_ context.Context, env *guagua.Env) (guagua.Worker[[]float64, []float64], error) {
			d.count(&d.opened)
			return &descentWorker{d: d, env: env, out: make([]float64, d.size)}, nil
		},
	}
	switch d.kind {
	case guagua.Vectors:
		a.Combine = guagua.AddVectors()
	case guagua.Pairs:
		a.Combine = guagua.Combine(func(a, b []float64) []float64 {
			sum := make([]float64, len(a))
			for i := range a {
				sum[i] = a[i] + b[i]
			}
			return sum
		})
	}
	return a.Program()
}

func (d *descent) count(n *int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*n++
}

func (d *descent) step(ctx context.Context, s *guagua.Step) error {
	if d.before == nil {
		return nil
	}
	return d.before(ctx, s)
}

type descentMaster struct {
	d        *descent
	momentum []float64
}

func (m *descentMaster) Compute(ctx context.Context, s *guagua.Step, last []float64, results iter.Seq[[]float64]) (
	[]float64, error) {
	if err := m.d.step(ctx, s); err != nil {
		return nil, err
	}
	next := make([]float64, m.d.size)
	copy(next, last)
	for r := range results {
		for i := range m.momentum {
			m.momentum[i] = 0.9*m.momentum[i] + r[i]
			next[i] -= 0.1 * m.momentum[i]
		}
	}
	s.Record(guagua.Record{Iteration: s.Iteration, Values: map[string]float64{"loss": next[0]}})
	return next, nil
}

func (m *descentMaster) Snapshot() ([]byte, error) {
	return guagua.Floats{}.Append(nil, m.momentum)
}

func (m *descentMaster) Restore(state []byte) (err error) {
	m.momentum, err = guagua.Floats{}.Decode(append([]byte(nil), state...))
	return err
}

func (m *descentMaster) Finish(ctx context.Context, last []float64, out guagua.Output) error {
	w, err := out(ctx, "model")
	if err != nil {
		return err
	}
	for _, v := range append(append([]float64(nil), last...), m.momentum...) {
		if err := binary.Write(w, binary.LittleEndian, v); err != nil {
			return err
		}
	}
	return w.Commit(ctx)
}

func (m *descentMaster) Close(context.Context, error) error { m.d.count(&m.d.closed); return nil }

type descentWorker struct {
	d   *descent
	env *guagua.Env
	out []float64
}

func (w *descentWorker) Load(context.Context, guagua.Split) error { return nil }

func (w *descentWorker) Compute(ctx context.Context, s *guagua.Step, master []float64) ([]float64, error) {
	if err := w.d.step(ctx, s); err != nil {
		return nil, err
	}
	for i := range w.out {
		x := 1.0
		if master != nil {
			x = master[i]
		}
		w.out[i] = math.Sin(x*float64(i+1)) + x/float64(w.env.Worker+3)
	}
	return w.out, nil
}

func (w *descentWorker) Close(context.Context, error) error { w.d.count(&w.d.closed); return nil }

// reference computes what descent leaves behind, plainly.
func reference(size, workers, total int) string {
	momentum, x := make([]float64, size), make([]float64, size)
	for t := range total {
		parts := make([][]float64, workers)
		for k := range parts {
			parts[k] = make([]float64, size)
			for i := range x {
				v := x[i]
				if t == 0 {
					v = 1
				}
				parts[k][i] = math.Sin(v*float64(i+1)) + v/float64(k+3)
			}
		}
		for len(parts) > 1 {
			var next [][]float64
			for k := 0; k < len(parts); k += 2 {
				if k+1 < len(parts) {
					for i := range parts[k] {
						parts[k][i] += parts[k+1][i]
					}
				}
				next = append(next, parts[k])
			}
			parts = next
		}
		for i := range x {
			momentum[i] = 0.9*momentum[i] + parts[0][i]
			x[i] -= 0.1 * momentum[i]
		}
	}
	var out []byte
	for _, v := range append(x, momentum...) {
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
	}
	return string(out)
}

// wait passes time in the bubble; it ends early with ctx.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopped: %w", errs.E("test", errs.Canceled, nil, context.Cause(ctx)))
	}
}
