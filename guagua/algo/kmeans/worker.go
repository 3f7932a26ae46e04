package kmeans

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/train"
	"github.com/seed3322913c/runner/guagua/data"
)

// worker's results are what the phase needs.
type worker[T data.Float] struct {
	env   *guagua.Env
	o     options
	table *data.Table[T]
	lanes []lane[T]

	// nearest has each row's squared distance from the nearest of the centers known, which saves most of the work while
	// centers are chosen one by one. It can be made again from any order.
	nearest []float64
	known   []float64
}

// Load implements guagua.Worker.
func (w *worker[T]) Load(ctx context.Context, in guagua.Split) (err error) {
	w.table, err = data.Load[T](ctx, w.env, in, w.o.data)
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
		return train.Acquaint(w.env, w.table), nil
	}
	now := decode(master, w.env.Workers)
	if w.table.Columns != now.columns {
		w.table.Widen(now.columns)
	}
	switch now.phase {
	case gathering:
		return w.gather(&now)
	case choosing:
		return w.choose(ctx, &now)
	}
	return w.assign(ctx, &now)
}

// gather returns those of the input's first k rows that are here, each at its place among zeros.
func (w *worker[T]) gather(now *order) ([]float64, error) {
	out := make([]float64, w.o.k*now.columns)
	first := int(now.before[w.env.Worker])
	for b, err := range w.table.Range(0, min(w.table.Rows, max(0, w.o.k-first))) {
		if err != nil {
			return nil, err
		}
		for i, v := range b.Dense(nil) {
			out[(first+b.First)*now.columns+i] = float64(v)
		}
	}
	return out, nil
}

// choose returns this worker's candidate for the next center, at its place among zeros: the row with the least key, an
// exponential variable whose rate is the row's weight. The least of all has the chance that its weight is of the sum.
func (w *worker[T]) choose(ctx context.Context, now *order) ([]float64, error) {
	if err := w.approach(ctx, now); err != nil {
		return nil, err
	}
	out := make([]float64, w.env.Workers*(1+now.columns))
	first, best, least := uint64(now.before[w.env.Worker]), -1, math.Inf(1)
	for i := range w.table.Rows {
		weight := 1.0
		if len(now.centers) > 0 {
			weight = w.nearest[i]
		}
		if key := chance(w.o.seed, first+uint64(i), uint64(now.count())) / weight; key < least {
			best, least = i, key
		}
	}
	if best < 0 { // every row is a center already
		return out, nil
	}
	own := out[w.env.Worker*(1+now.columns):]
	own[0] = least
	for b, err := range w.table.Range(best, best+1) {
		if err != nil {
			return nil, err
		}
		for j, v := range b.Dense(nil) {
			own[1+j] = float64(v)
		}
	}
	return out, nil
}

// chance returns an exponentially distributed number above 0 that depends on its arguments alone.
func chance(seed, row, round uint64) float64 {
	h := mix(mix(mix(seed)+row) + round)
	return -math.Log((float64(h>>11) + 0.5) / (1 << 53))
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// approach brings nearest up to date with the centers of an order.
func (w *worker[T]) approach(ctx context.Context, now *order) error {
	if len(now.centers) < len(w.known) || !slices.Equal(w.known, now.centers[:len(w.known)]) || w.nearest == nil {
		w.known = nil
		w.nearest = slices.Repeat([]float64{math.Inf(1)}, w.table.Rows)
	}
	fresh := now.centers[len(w.known):]
	w.known = slices.Clone(now.centers)
	return w.table.Each(ctx, w.env.Threads, func(_ int, b data.Block[T]) error {
		x := b.Dense(nil)
		for center := range slices.Chunk(fresh, now.columns) {
			for i := range b.Rows {
				d := distance(x[i*now.columns:(i+1)*now.columns], center)
				w.nearest[b.First+i] = min(w.nearest[b.First+i], d)
			}
		}
		return nil
	})
}

func distance[T data.Float](x []T, center []float64) float64 {
	sum := 0.0
	for j, v := range x {
		d := float64(v) - center[j]
		sum += d * d
	}
	return sum
}

// lane is where one stripe's sum is made: inertia, rows of each cluster, and their sums.
type lane[T data.Float] struct {
	sum   []float64
	dense []T
	near  []T // rows x centers
}

// assign returns inertia, counts and sums of the clusters.
func (w *worker[T]) assign(ctx context.Context, now *order) ([]float64, error) {
	k := now.count()
	if w.lanes == nil {
		w.lanes = make([]lane[T], w.table.StripeCount())
	}
	centers, norms := make([]T, len(now.centers)), make([]float64, k)
	for i, v := range now.centers {
		centers[i] = T(v)
	}
	for i := range norms {
		norms[i] = floats.Dot(now.center(i), now.center(i))
	}
	for i := range w.lanes {
		l := &w.lanes[i]
		if l.sum == nil {
			l.sum = make([]float64, 1+k+k*now.columns)
		}
		clear(l.sum)
	}
	err := w.table.Each(ctx, w.env.Threads, func(stripe int, b data.Block[T]) error {
		l := &w.lanes[stripe]
		for from := 0; from < b.Rows; from += rowsAtATime {
			l.add(now, b.Slice(from, min(from+rowsAtATime, b.Rows)), centers, norms)
		}
		return nil
	})
	for width := 1; width < len(w.lanes); width *= 2 { // neighbours, then neighbours of these
		for i := 0; i+width < len(w.lanes); i += 2 * width {
			floats.Add(w.lanes[i].sum, w.lanes[i+width].sum)
		}
	}
	return w.lanes[0].sum, err
}

// rowsAtATime bounds the buffers of a lane.
const rowsAtATime = 256

// add puts rows into their clusters. Products of rows and centers, quickly made, tell which centers may be the nearest:
// |x-c|² = |x|² - 2xc + |c|². Among those that rounding can't tell apart the differences themselves decide.
func (l *lane[T]) add(now *order, b data.Block[T], centers []T, norms []float64) {
	k, d := len(norms), now.columns
	rows := b.Dense(l.dense)
	if b.Sparse() {
		l.dense = rows
	}
	l.near = slices.Grow(l.near[:0], b.Rows*k)[:b.Rows*k]
	clear(l.near)
	train.MulT(l.near, rows, centers, b.Rows, k, d)
	counts, sums := l.sum[1:1+k], l.sum[1+k:]
	for i := range b.Rows {
		x := rows[i*d : (i+1)*d]
		best, least := nearest(x, now, l.near[i*k:(i+1)*k], norms)
		l.sum[0] += least
		counts[best]++
		into := sums[best*d : (best+1)*d]
		for j, v := range x {
			into[j] += float64(v)
		}
	}
}

// nearest returns the nearest center, the first of several, and its squared distance.
func nearest[T data.Float](x []T, now *order, products []T, norms []float64) (best int, least float64) {
	low, largest, own := math.Inf(1), 0.0, 0.0
	for j, p := range products {
		low = min(low, norms[j]-2*float64(p))
		largest = max(largest, norms[j])
	}
	for _, v := range x {
		own += float64(v) * float64(v)
	}
	slack := (own + largest) * rounding[T](len(x))
	least = math.Inf(1)
	for j, p := range products {
		if norms[j]-2*float64(p) > low+slack {
			continue
		}
		if d := distance(x, now.center(j)); d < least {
			best, least = j, d
		}
	}
	return best, least
}

// rounding bounds the relative error of a product of n numbers.
func rounding[T data.Float](n int) float64 {
	var t T
	if _, single := any(t).(float32); single {
		return float64(n+8) * 0x1p-22
	}
	return float64(n+8) * 0x1p-51
}
