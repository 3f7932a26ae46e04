// Package guaguatest runs iterative programs in memory, for the tests of those who write them.
//
// There is one goroutine, no network, no disk and no clock: a run takes as long as its program computes. Yet it is the
// real protocol (package superstep), results are encoded, cut into pieces and folded as over a network, and processes
// can be made to die, connections to break, messages to come late or twice:
//
//	out, err := guaguatest.Run(ctx, app, guaguatest.Options{
//		Workers: 3, Iterations: 10,
//		Files:  map[string]string{"points.csv": "1,2\n3,4\n5,6\n"},
//		Faults: []guaguatest.Fault{{Worker: guagua.MasterIndex, Iteration: 10, Kind: guaguatest.Kill}},
//	})
//
// The order in which things happen comes from a seed: the same seed gives the same run.
package guaguatest

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/split"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// Options describe a run.
type Options struct {
	Workers    int // 1 if 0
	Iterations int // 1 if 0
	Params     guagua.Params
	Files      map[string]string // the input, cut among the workers as an engine would; others may be opened too
	Extra      map[string]string // files that only parameters name
	Threads    int               // for each worker; 1 if 0
	Seed       uint64            // of the order of events
	Faults     []Fault
	Chaos      int                     // so many faults more, at random
	Configure  func(*superstep.Config) // changes what is otherwise superstep.Defaults
	Logf       func(format string, args ...any)
}

// Fault is something that goes wrong once: Worker (or the master, for guagua.MasterIndex) is about to compute
// Iteration.
type Fault struct {
	Worker    int
	Iteration int
	Kind      FaultKind
}

// FaultKind is what goes wrong.
type FaultKind uint8

// The kinds of faults.
const (
	Kill   FaultKind = iota // the process dies; another takes its place
	Cut                     // its connection breaks; on the master, all connections
	Repeat                  // its result is sent twice; not for the master
	Stall                   // its result comes after all other messages; not for the master
)

// Outcome is what a run leaves behind.
type Outcome struct {
	Result     []byte // the last master result, encoded
	Iterations int    // of the engine
	Lines      []Line // what the master recorded, in order
	Files      map[string][]byte
	Attempts   map[int]int // processes, by worker index and guagua.MasterIndex
	Logged     []string
}

// Line is one of the master's records.
type Line struct {
	Iteration int
	Final     bool
	Values    map[string]float64
	Missing   []int
}

// Loss returns the value "loss".
func (l Line) Loss() float64 { return l.Values["loss"] }

// Run runs an app and decodes its last master result.
func Run[MR, WR any](ctx context.Context, app guagua.App[MR, WR], o Options) (last MR, out Outcome, err error) {
	if out, err = RunProgram(ctx, app.Program(), o); err != nil {
		return last, out, err
	}
	last, err = app.Result.Decode(out.Result)
	return last, out, err
}

// RunProgram runs a program without types. It fails with the first error of the program, if the program refuses its
// parameters, or if nothing can happen any more.
func RunProgram(ctx context.Context, p guagua.Program, o Options) (Outcome, error) {
	o.Workers, o.Iterations, o.Threads = max(1, o.Workers), max(1, o.Iterations), max(1, o.Threads)
	plan, err := p.Plan(o.Params, o.Iterations)
	if err != nil {
		return Outcome{}, err
	}
	cfg := superstep.Defaults(o.Workers, plan.Total)
	if o.Configure != nil {
		o.Configure(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		return Outcome{}, err
	}
	var files []split.File
	for _, uri := range slices.Sorted(maps.Keys(o.Files)) {
		files = append(files, split.File{URI: uri, Size: int64(len(o.Files[uri]))})
	}
	s := newStage(p, o, cfg, split.Cut(files, o.Workers, plan.Whole))
	err = s.run(ctx)
	if cerr := s.close(ctx, err); err == nil {
		err = cerr
	}
	return s.outcome(ctx), err
}

// output collects the files of a run.
func output(st *mem.Store) guagua.Output {
	return func(ctx context.Context, name string) (store.Writer, error) { return st.Create(ctx, store.Name(name)) }
}

// opener opens the files of a run.
func (o *Options) opener() guagua.Opener {
	return func(_ context.Context, uri string, r store.Range) (io.ReadCloser, error) {
		for _, files := range []map[string]string{o.Files, o.Extra} {
			if text, ok := files[uri]; ok {
				from, to := r.Bounds(int64(len(text)))
				return io.NopCloser(bytes.NewReader([]byte(text[from:to]))), nil
			}
		}
		return nil, errs.E("guaguatest.Open", errs.NotFound, uri, nil)
	}
}
