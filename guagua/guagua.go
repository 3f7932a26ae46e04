// Package guagua is what people write for iterative jobs: one master, many workers, the same step again and again.
//
// In iteration i every worker computes, knowing master result i-1; then the master computes from the worker results of
// i, and its result i goes to every worker. In iteration 1 there is no master result yet. Iteration 0 is registration.
//
//	          ┌── result i-1 ──┐
//	worker 0 ─┤                ├─▶ worker 0 ── part i ─┐
//	worker 1 ─┤     master     ├─▶ worker 1 ── part i ─┼─▶ master ── result i ─▶ ...
//	worker 2 ─┘                └─▶ worker 2 ── part i ─┘
//
// A program is an App: how to make its Master and its Worker, and how their results become bytes.
//
//	app := guagua.App[int64, int64]{
//		Title:  "sum",
//		Master: func(context.Context, *guagua.Env) (guagua.Master[int64, int64], error) { return &master{}, nil },
//		Worker: func(context.Context, *guagua.Env) (guagua.Worker[int64, int64], error) { return &worker{}, nil },
//		Result: guagua.Int64{},
//		Part:   guagua.Int64{},
//	}
//
// The engine may lose any process at any time. What it promises: a worker that comes back loads its split again and
// goes on from the newest master result; a master that comes back gets the newest master result and what its own
// Snapshot saved. So a worker keeps nothing between iterations that it could not make again from its split and the
// master result, and a master says in Snapshot what it keeps. Then the outcome is the same to the bit, whatever died.
//
// The folders below: superstep is the protocol without any input or output, wire the frames, fold adds up results while
// they arrive, role runs a master or a worker over all of these, engine makes tasks of them for the scheduler; data
// reads tables, algo holds the built-in programs, guaguatest runs programs in memory with faults.
package guagua

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/seed3322913c/runner/infra/store"
)

// Master is the user's half that sees everybody's results. One instance serves all iterations of a process; its methods
// are called by one goroutine.
type Master[MR, WR any] interface {
	// Compute makes master result s.Iteration. last is the result before (the zero value in iteration 1), results are the
	// workers' of this iteration in order of worker index; those that could be combined come as one. The loop over
	// results may run any number of times. What Compute returns is encoded before it is called again.
	Compute(ctx context.Context, s *Step, last MR, results iter.Seq[WR]) (MR, error)
}

// Worker is the user's half that sees the data. One instance serves all iterations of a process; its methods are called
// by one goroutine.
type Worker[MR, WR any] interface {
	// Load reads the worker's share of the input. It is called once in each process, before the first Compute.
	Load(ctx context.Context, in Split) error

	// Compute makes the worker's result of s.Iteration from master result s.Iteration-1 (the zero value in iteration 1).
	// The master result is valid, and must not be changed, until Compute returns; the result must not be changed until
	// Compute is called again.
	Compute(ctx context.Context, s *Step, master MR) (WR, error)
}

// Snapshotter is the ability of a Master to survive: what Snapshot returns is kept with the master result of the same
// iteration and given, with that result, to Restore in a new process before its first Compute. A Master without it is
// restored by the master result alone, which Compute gets as last.
type Snapshotter interface {
	Snapshot() ([]byte, error)
	Restore(state []byte) error
}

// Finisher is the ability of a Master to leave files behind. Finish is called after the last iteration, perhaps again
// in another process after Restore, and then puts out the same. A Worker that leaves files behind does so in Compute,
// with Env.Create, before it returns the result that says so.
type Finisher[MR any] interface {
	Finish(ctx context.Context, last MR, out Output) error
}

// Closer is the ability of a Master or a Worker to clean up. It is called once per process in which the constructor
// succeeded, whatever happened; outcome is nil if the job went well.
type Closer interface {
	Close(ctx context.Context, outcome error) error
}

// Output creates a file of the job's output, visible to others when the whole job has succeeded. The name is relative;
// a file that is created again is replaced.
type Output func(ctx context.Context, name string) (store.Writer, error)

// App is a program: the description that an engine runs.
type App[MR, WR any] struct {
	Title string // as people call it: "kmeans"

	// Master and Worker make the halves, once per process: what they do is the set-up.
	Master func(ctx context.Context, env *Env) (Master[MR, WR], error)
	Worker func(ctx context.Context, env *Env) (Worker[MR, WR], error)

	Result Codec[MR] // how master results travel
	Part   Codec[WR] // how worker results travel

	// Combine folds worker results on their way, in a fixed shape: neighbours by worker index, then neighbours of these,
	// and so on, whatever the order of arrival; it begins when the first two neighbours are there. Nil gives the master
	// every single one.
	Combine *Combiner[WR]

	// Total says how many iterations of the engine a job needs whose user asked for iterations. Nil: as many.
	Total func(p Params, iterations int) int

	// Check refuses a job's parameters before anything starts. Nil accepts none at all.
	Check func(p Params) error

	// Steady says that the iterations between the first and the last are alike, so that what a worker has computed in one
	// of them may count in a later one: jobs may set staleness.
	Steady bool

	// Files names the parameters that are files to be read, as init=old/model.json. Nil: there are none.
	Files func(p Params) []string

	// Whole says which files of the input must be read by one worker. Nil: those that are compressed, by their name.
	Whole func(p Params, uri string) bool

	// Interceptors returns the user's own, outermost first; they run inside those of the engine. Nil: none.
	Interceptors func(env *Env) []Interceptor
}

// Combiner says how two worker results become one. It is made by Combine or AddVectors.
type Combiner[WR any] struct {
	vectors bool
	pair    func(a, b WR) WR
}

// Combine is a combiner that calls f, which must be associative as far as the program cares, and may be called by
// several goroutines at once. It may change and return a. What it returns is encoded before it is combined further, and
// waits so: in memory or, if there is no room, in a file.
func Combine[WR any](f func(a, b WR) WR) *Combiner[WR] { return &Combiner[WR]{pair: f} }

// AddVectors is the combiner that adds vectors element by element. It needs the codec Floats, and has the fast path:
// vectors are added piece by piece while they arrive, and never wait whole.
func AddVectors() *Combiner[[]float64] { return &Combiner[[]float64]{vectors: true} }

// Split is a worker's share of the input.
type Split struct {
	Index  int     `json:"index"` // the worker's index
	Pieces []Piece `json:"pieces"`
}

// Piece is a part of a file. Where records have lines, a piece owns the lines that begin in it.
type Piece struct {
	URI    string `json:"uri"`
	Offset int64  `json:"offset"` // the first byte
	Length int64  `json:"length"` // how many bytes
	Size   int64  `json:"size"`   // of the whole file
}

// String returns the pieces as people read them.
func (s Split) String() string {
	var b strings.Builder
	for i, p := range s.Pieces {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.URI)
		if !p.Whole() {
			fmt.Fprintf(&b, " bytes %d to %d", p.Offset, p.Offset+p.Length)
		}
	}
	return b.String()
}

// Whole reports whether the piece is the whole file.
func (p Piece) Whole() bool { return p.Offset == 0 && p.Length == p.Size }

// Opener opens a file of the input, or the part of it that r names.
type Opener func(ctx context.Context, uri string, r store.Range) (io.ReadCloser, error)
