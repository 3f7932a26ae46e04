// Median finds the median of numbers, one a line, without ever having them in one place. It lies within a standard
// deviation of the mean; then the master proposes a value, the workers count what lies below, and the interval halves
// with every iteration.
//
//	go build -o median ./guagua/examples/median
//	runner run ./median --input numbers.csv --set workers=2 --output out/median
package main

import (
	"context"
	"fmt"
	"iter"
	"math"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/child"
	"github.com/seed3322913c/runner/guagua/data"
)

func main() { child.Main(median().Program()) }

// What a worker tells is added up on its way to the master: how many numbers there are, and then, in the first
// iteration, their sum and the sum of their squares, later how many are less than the proposal.
const (
	rows = iota
	total
	squares
	places
	below = total
)

func median() guagua.App[[]float64, []float64] {
	return guagua.App[[]float64, []float64]{
		Title:  "median",
		Result: guagua.Floats{}, Part: guagua.Floats{}, Combine: guagua.AddVectors(),
		Master: func(context.Context, *guagua.Env) (guagua.Master[[]float64, []float64], error) { return &master{}, nil },
		Worker: func(_ context.Context, env *guagua.Env) (guagua.Worker[[]float64, []float64], error) {
			return &worker{env: env}, nil
		},
		Check: func(p guagua.Params) error {
			r := p.Reader()
			data.ReadOptions(r, "none")
			return r.Err()
		},
	}
}

// master's results are the interval that has the median, from and to, and the proposal between them. It keeps nothing
// else, so it needs no Snapshot.
type master struct{}

func (m *master) Compute(_ context.Context, s *guagua.Step, last []float64, results iter.Seq[[]float64]) (
	[]float64, error) {
	var sum []float64
	for sum = range results {
	}
	if s.First() {
		mean := sum[total] / sum[rows]
		deviation := math.Sqrt(max(0, sum[squares]/sum[rows]-mean*mean))
		return propose(mean-deviation, mean+deviation), nil
	}
	from, to := last[0], last[1]
	if sum[below] <= math.Floor((sum[rows]-1)/2) {
		from = last[2]
	} else {
		to = last[2]
	}
	next := propose(from, to)
	s.Record(guagua.Record{Iteration: s.Iteration, Values: map[string]float64{"median": next[2]}})
	if next[2] == from || next[2] == to { // no number is between them
		s.Halt()
	}
	return next, nil
}

func propose(from, to float64) []float64 { return []float64{from, to, from/2 + to/2} }

// Finish leaves median.txt behind.
func (m *master) Finish(ctx context.Context, last []float64, out guagua.Output) error {
	w, err := out(ctx, "median.txt")
	if err != nil {
		return err
	}
	defer w.Abort(ctx) // no effect once committed
	if _, err := fmt.Fprintf(w, "%.6g\n", last[2]); err != nil {
		return err
	}
	return w.Commit(ctx)
}

type worker struct {
	env     *guagua.Env
	numbers []float64
}

func (w *worker) Load(ctx context.Context, in guagua.Split) error {
	t, err := data.Load[float64](ctx, w.env, in, data.ReadOptions(w.env.Params.Reader(), "none"))
	if err != nil {
		return err
	}
	defer t.Close()
	for b, err := range t.Range(0, t.Rows) {
		if err != nil {
			return err
		}
		w.numbers = append(w.numbers, b.Dense(nil)...)
	}
	return nil
}

func (w *worker) Compute(_ context.Context, s *guagua.Step, master []float64) ([]float64, error) {
	sum := make([]float64, places)
	sum[rows] = float64(len(w.numbers))
	for _, x := range w.numbers {
		switch {
		case s.First():
			sum[total] += x
			sum[squares] += x * x
		case x < master[2]:
			sum[below]++
		}
	}
	return sum, nil
}
