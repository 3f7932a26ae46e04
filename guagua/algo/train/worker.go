package train

import (
	"context"

	"gonum.org/v1/gonum/floats"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/data"
)

// worker's results are, but for the first, loss, rows, rows that are right (below 0: not a matter of right and wrong),
// and the gradient: sums over its rows.
type worker[T data.Float] struct {
	env    *guagua.Env
	spec   Spec
	kernel func(columns int) Kernel[T]
	table  *data.Table[T]
	lanes  []lane[T] // by stripe
	x      []T
	out    []float64
}

// head is how many numbers come before the gradient.
const head = 3

// lane is where one stripe's sum is made.
type lane[T data.Float] struct {
	kernel Kernel[T]
	sum    Sum
}

// Load implements guagua.Worker.
func (w *worker[T]) Load(ctx context.Context, in guagua.Split) (err error) {
	w.table, err = data.Load[T](ctx, w.env, in, w.spec.Data)
	return err
}

// Close implements guagua.Closer.
func (w *worker[T]) Close(context.Context, error) error {
	if w.table == nil {
		return nil
	}
	return w.table.Close()
}

// Compute implements guagua.Worker.
func (w *worker[T]) Compute(ctx context.Context, s *guagua.Step, master []float64) ([]float64, error) {
	if s.First() {
		return Acquaint(w.env, w.table), nil
	}
	columns := int(master[0])
	if w.lanes == nil {
		w.prepare(columns, len(master)-1)
	}
	for i, v := range master[1:] {
		w.x[i] = T(v)
	}
	lanes := w.lanes
	sums := w.all
	if w.spec.Batch > 0 && s.Iteration < s.Env.Total {
		lanes, sums = lanes[:1], w.batch
	}
	for i := range lanes {
		lanes[i].sum.reset()
	}
	if err := sums(ctx, s.Iteration-2); err != nil {
		return nil, err
	}
	for width := 1; width < len(lanes); width *= 2 { // neighbours, then neighbours of these
		for i := 0; i+width < len(lanes); i += 2 * width {
			lanes[i].sum.add(&lanes[i+width].sum)
		}
	}
	sum := &lanes[0].sum
	w.out[0], w.out[1], w.out[2] = sum.Loss, sum.Rows, sum.Right
	copy(w.out[head:], sum.Gradient)
	return w.out, nil
}

func (s *Sum) reset() {
	clear(s.Gradient)
	s.Loss, s.Rows, s.Right = 0, 0, 0
}

func (s *Sum) add(other *Sum) {
	s.Loss += other.Loss
	s.Rows += other.Rows
	s.Right += other.Right
	floats.Add(s.Gradient, other.Gradient)
}

func (w *worker[T]) prepare(columns, parameters int) {
	if w.table.Sparse() {
		w.table.Widen(columns)
	}
	w.lanes = make([]lane[T], w.table.StripeCount())
	for i := range w.lanes {
		w.lanes[i] = lane[T]{w.kernel(columns), Sum{Gradient: make([]float64, parameters)}}
	}
	w.x, w.out = make([]T, parameters), make([]float64, head+parameters)
}

func (l *lane[T]) add(x []T, b data.Block[T]) {
	l.sum.Rows += float64(b.Rows)
	l.kernel.Add(x, b, &l.sum)
}

// all sums over all rows, each stripe in its lane.
func (w *worker[T]) all(ctx context.Context, _ int) error {
	return w.table.Each(ctx, w.env.Threads, func(stripe int, b data.Block[T]) error {
		w.lanes[stripe].add(w.x, b)
		return nil
	})
}

// batch sums over the rows of a step, counted from 0: the next ones after those of the step before, from the beginning
// again after the last. Each worker has the same share of the batch.
func (w *worker[T]) batch(ctx context.Context, step int) error {
	n, rows := max(1, w.spec.Batch/w.env.Workers), w.table.Rows
	from := 0
	if n < rows {
		from = step * n % rows
	}
	for n = min(n, rows); n > 0; from = 0 {
		to := min(from+n, rows)
		for b, err := range w.table.Range(from, to) {
			if err != nil {
				return err
			}
			w.lanes[0].add(w.x, b)
		}
		n -= to - from
	}
	return ctx.Err()
}
