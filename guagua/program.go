package guagua

import (
	"context"
	"fmt"
	"iter"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
)

// Program is an App without its types: what engines and drivers run.
type Program interface {
	Name() string
	// Plan checks a job's parameters and says what follows from them.
	Plan(p Params, iterations int) (Plan, error)
	// Reduction says in which way worker results reach the master.
	Reduction() Reduction
	NewMaster(ctx context.Context, env *Env) (MasterProgram, error)
	NewWorker(ctx context.Context, env *Env) (WorkerProgram, error)
}

// Plan is what an engine must know before it can begin.
type Plan struct {
	Total  int                   // iterations of the engine at most
	Steady bool                  // a worker result may count in a later iteration
	Whole  func(uri string) bool // which files must be read by one worker
	Files  []string              // names of parameters that are files to be read
}

// Reduction is a way in which worker results reach the master.
type Reduction uint8

// The reductions.
const (
	List    Reduction = iota // each by itself, in order of worker index
	Pairs                    // folded two by two
	Vectors                  // vectors, added element by element
)

// Reducer says how worker results become one. Decode is for List and Pairs, Combine for Pairs alone; both may be called
// by many goroutines, and panics of the user's code come back as errors.
//
// Combine makes one encoded result of two, which it may change and must not keep. That every sum is encoded, whether it
// has to wait for its neighbour or not, makes it the same whatever the order of arrival even if encoding loses digits,
// and says how much memory it takes.
type Reducer struct {
	Kind    Reduction
	Decode  func(part []byte) (any, error)
	Combine func(left, right []byte) ([]byte, error)
}

// MasterProgram is a Master without its types. Its methods are called by one goroutine; panics of the user's code come
// back as errors of kind Failed.
type MasterProgram interface {
	// Reducer says how worker results become one. It is for use until Close, and calls to it end when ctx does.
	Reducer(ctx context.Context) Reducer
	// Compute makes the next master result from what the Reducer left of the workers' (vectors as []float64), and appends
	// its bytes to dst.
	Compute(ctx context.Context, s *Step, parts iter.Seq2[any, error], dst []byte) ([]byte, error)
	// Snapshot returns the master's own state, nil if it has none.
	Snapshot() ([]byte, error)
	// Restore puts a new master where an old one was. It is not called at the very beginning.
	Restore(result, state []byte) error
	// Finish lets the user's code leave its files behind.
	Finish(ctx context.Context, out Output) error
	Ender
}

// WorkerProgram is a Worker without its types.
type WorkerProgram interface {
	Load(ctx context.Context, in Split) error
	// Compute makes this worker's result from a master result (nil in iteration 1). Both are valid until the next call.
	Compute(ctx context.Context, s *Step, master []byte) ([]byte, error)
	Ender
}

// Ender ends a half of a program.
type Ender interface {
	Interceptors() []Interceptor
	Close(ctx context.Context, outcome error) error
}

// Program returns the app without its types.
func (a App[MR, WR]) Program() Program { return &program[MR, WR]{a} }

type program[MR, WR any] struct{ app App[MR, WR] }

func (p *program[MR, WR]) Name() string { return p.app.Title }

func (p *program[MR, WR]) Plan(params Params, iterations int) (Plan, error) {
	check := p.app.Check
	if check == nil {
		check = func(p Params) error { return p.Reader().Err() }
	}
	if err := check(params); err != nil {
		return Plan{}, err
	}
	plan := Plan{Total: iterations, Steady: p.app.Steady, Whole: compressed}
	if p.app.Total != nil {
		plan.Total = p.app.Total(params, iterations)
	}
	if p.app.Files != nil {
		plan.Files = p.app.Files(params)
	}
	if p.app.Whole != nil {
		plan.Whole = func(uri string) bool { return p.app.Whole(params, uri) }
	}
	return plan, nil
}

func compressed(uri string) bool {
	return slices.Contains([]string{".gz", ".bz2", ".zst", ".zstd", ".xz", ".lz4", ".snappy"}, path.Ext(uri))
}

func (p *program[MR, WR]) Reduction() Reduction {
	switch c := p.app.Combine; {
	case c == nil:
		return List
	case c.vectors:
		return Vectors
	}
	return Pairs
}

func (p *program[MR, WR]) NewMaster(ctx context.Context, env *Env) (MasterProgram, error) {
	m := &masterProgram[MR, WR]{half: half{env, p.app.Interceptors}, app: p.app, kind: p.Reduction()}
	return m, guard(p.app.Title+" master", func() (err error) { m.user, err = p.app.Master(ctx, env); return err })
}

func (p *program[MR, WR]) NewWorker(ctx context.Context, env *Env) (WorkerProgram, error) {
	w := &workerProgram[MR, WR]{half: half{env, p.app.Interceptors}, app: p.app}
	return w, guard(p.app.Title+" worker", func() (err error) { w.user, err = p.app.Worker(ctx, env); return err })
}

// half is what both halves of a program have in common.
type half struct {
	env          *Env
	interceptors func(*Env) []Interceptor
}

func (h *half) Interceptors() []Interceptor {
	if h.interceptors == nil {
		return nil
	}
	return h.interceptors(h.env)
}

func (h *half) close(ctx context.Context, user any, outcome error) error {
	if c, ok := user.(Closer); ok {
		return guard("Close", func() error { return c.Close(ctx, outcome) })
	}
	return nil
}

type masterProgram[MR, WR any] struct {
	half
	app  App[MR, WR]
	kind Reduction
	user Master[MR, WR]
	last MR
}

func (m *masterProgram[MR, WR]) Reducer(context.Context) Reducer {
	return Reducer{
		Kind: m.kind,
		Decode: func(part []byte) (v any, err error) {
			err = guard("Decode", func() (err error) { v, err = m.app.Part.Decode(part); return err })
			return v, err
		},
		Combine: func(left, right []byte) (sum []byte, err error) {
			err = guard("Combine", func() (err error) { sum, err = m.combine(left, right); return err })
			return sum, err
		},
	}
}

func (m *masterProgram[MR, WR]) combine(left, right []byte) ([]byte, error) {
	a, err := m.app.Part.Decode(left)
	if err != nil {
		return nil, err
	}
	b, err := m.app.Part.Decode(right)
	if err != nil {
		return nil, err
	}
	return m.app.Part.Append(nil, m.app.Combine.pair(a, b))
}

func (m *masterProgram[MR, WR]) Compute(ctx context.Context, s *Step, parts iter.Seq2[any, error], dst []byte) (
	out []byte, err error) {
	var bad error // what the loop over the parts met; the user's code need not ask
	results := func(yield func(WR) bool) {
		for v, err := range parts {
			if err != nil {
				bad = err
				return
			}
			if !yield(v.(WR)) {
				return
			}
		}
	}
	var next MR
	err = guard("master", func() (err error) { next, err = m.user.Compute(ctx, s, m.last, results); return err })
	if bad != nil {
		err = bad
	}
	if err != nil {
		return dst, err
	}
	m.last = next
	return m.app.Result.Append(dst, next)
}

func (m *masterProgram[MR, WR]) Snapshot() (state []byte, err error) {
	if u, ok := m.user.(Snapshotter); ok {
		err = guard("Snapshot", func() (err error) { state, err = u.Snapshot(); return err })
	}
	return state, err
}

func (m *masterProgram[MR, WR]) Restore(result, state []byte) (err error) {
	if m.last, err = m.app.Result.Decode(result); err != nil {
		return err
	}
	if u, ok := m.user.(Snapshotter); ok {
		return guard("Restore", func() error { return u.Restore(state) })
	}
	return nil
}

func (m *masterProgram[MR, WR]) Finish(ctx context.Context, out Output) error {
	if f, ok := m.user.(Finisher[MR]); ok {
		return guard("Finish", func() error { return f.Finish(ctx, m.last, out) })
	}
	return nil
}

func (m *masterProgram[MR, WR]) Close(ctx context.Context, outcome error) error {
	return m.close(ctx, m.user, outcome)
}

type workerProgram[MR, WR any] struct {
	half
	app  App[MR, WR]
	user Worker[MR, WR]
	buf  []byte
}

func (w *workerProgram[MR, WR]) Load(ctx context.Context, in Split) error {
	return guard("Load", func() error { return w.user.Load(ctx, in) })
}

func (w *workerProgram[MR, WR]) Compute(ctx context.Context, s *Step, master []byte) (part []byte, err error) {
	var last MR
	if master != nil {
		if last, err = w.app.Result.Decode(master); err != nil {
			return nil, err
		}
	}
	var v WR
	err = guard("worker", func() (err error) { v, err = w.user.Compute(ctx, s, last); return err })
	if err != nil {
		return nil, err
	}
	if c, ok := w.app.Part.(viewer[WR]); ok {
		return c.view(v), nil
	}
	w.buf, err = w.app.Part.Append(w.buf[:0], v)
	return w.buf, err
}

func (w *workerProgram[MR, WR]) Close(ctx context.Context, outcome error) error {
	return w.close(ctx, w.user, outcome)
}

// guard calls the user's code. A panic becomes an error that names the place in the user's code.
func guard(what string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errs.Errorf("guagua", errs.Failed, what, "panic: %v, at %s", p, panicSite())
		}
	}()
	return f()
}

// panicSite returns file and line of the innermost frame below the panic that is not the runtime's.
func panicSite() string {
	pc := make([]uintptr, 32)
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc)])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}
