// Package sum is the smallest program: it adds numbers up, again and again. It shows that every result of every
// iteration counts exactly once: after i iterations of two workers over the numbers {1,2,3} and {2,3,4} the answer is
// 15 * (2^i - 1).
package sum

import (
	"context"
	"io"
	"iter"
	"math"
	"strconv"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/data"
)

// FileName is the name of the one file that the program leaves behind: the last sum, and a line's end.
const FileName = "sum.txt"

// Program returns the program: a worker's result is the last sum plus its own numbers, the master's is the sum of
// these. The parameter halt-above ends it when the sum is greater.
func Program() guagua.Program { return App().Program() }

// App is Program with its types.
func App() guagua.App[float64, float64] {
	return guagua.App[float64, float64]{
		Title:  "sum",
		Result: guagua.Float64{}, Part: guagua.Float64{},
		Combine: guagua.Combine(func(a, b float64) float64 { return a + b }),
		Master: func(_ context.Context, env *guagua.Env) (guagua.Master[float64, float64], error) {
			limit, _, err := options(env.Params)
			return &master{limit}, err
		},
		Worker: func(_ context.Context, env *guagua.Env) (guagua.Worker[float64, float64], error) {
			_, o, err := options(env.Params)
			return &worker{env: env, options: o}, err
		},
		Check: func(p guagua.Params) error { _, _, err := options(p); return err },
	}
}

func options(p guagua.Params) (limit float64, o data.Options, err error) {
	r := p.Reader()
	limit = r.Float("halt-above", 1e6, -math.MaxFloat64, math.MaxFloat64)
	o = data.ReadOptions(r, "none")
	return limit, o, r.Err()
}

type master struct{ limit float64 }

func (m *master) Compute(_ context.Context, s *guagua.Step, _ float64, results iter.Seq[float64]) (float64, error) {
	sum := 0.0
	for v := range results {
		sum += v
	}
	s.Record(guagua.Record{Iteration: s.Iteration, Values: map[string]float64{"sum": sum}})
	if sum > m.limit {
		s.Halt()
	}
	return sum, nil
}

func (m *master) Finish(ctx context.Context, last float64, out guagua.Output) error {
	w, err := out(ctx, FileName)
	if err != nil {
		return err
	}
	defer w.Abort(ctx) // no effect once committed
	if _, err := io.WriteString(w, strconv.FormatFloat(last, 'f', -1, 64)+"\n"); err != nil {
		return err
	}
	return w.Commit(ctx)
}

type worker struct {
	env     *guagua.Env
	options data.Options
	own     float64
}

func (w *worker) Load(ctx context.Context, in guagua.Split) error {
	t, err := data.Load[float64](ctx, w.env, in, w.options)
	if err != nil {
		return err
	}
	defer t.Close()
	for b, err := range t.Range(0, t.Rows) {
		if err != nil {
			return err
		}
		for _, v := range b.Dense(nil) {
			w.own += v
		}
	}
	return nil
}

func (w *worker) Compute(_ context.Context, _ *guagua.Step, last float64) (float64, error) {
	return last + w.own, nil
}
