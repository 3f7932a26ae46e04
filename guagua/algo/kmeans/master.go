package kmeans

import (
	"context"
	"encoding/json"
	"iter"
	"math"
	"slices"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/algo/train"
	"github.com/seed3322913c/runner/infra/errs"
)

const op = "kmeans"

// master's results are orders.
type master struct {
	env   *guagua.Env
	o     options
	state state
}

// state is what the master knows besides the last order.
type state struct {
	Rows    float64
	Steps   int
	Inertia float64
	Settled bool
}

// Compute implements guagua.Master.
func (m *master) Compute(ctx context.Context, s *guagua.Step, last []float64, results iter.Seq[[]float64]) (
	[]float64, error) {
	var sum []float64
	for sum = range results {
	}
	if s.First() {
		return m.meet(ctx, sum)
	}
	now := decode(last, m.env.Workers)
	now.centers = slices.Clone(now.centers)
	switch now.phase {
	case gathering:
		now.phase, now.centers = moving, slices.Clone(sum)
	case choosing:
		next, err := m.chosen(sum, &now)
		if err != nil {
			return nil, err
		}
		if now.centers = append(now.centers, next...); now.count() == m.o.k {
			now.phase = moving
		}
	case moving:
		if err := m.move(s, sum, &now); err != nil {
			return nil, err
		}
	}
	return now.encode(), nil
}

// meet gives the first order, knowing what the workers have.
func (m *master) meet(ctx context.Context, sum []float64) ([]float64, error) {
	c, err := train.Meet(m.env.Workers, sum)
	if err != nil {
		return nil, err
	}
	m.state.Rows = c.Rows
	first := order{phase: moving, columns: c.Columns, before: c.Before}
	switch {
	case c.Columns == 0:
		return nil, errs.Errorf(op, errs.Invalid, nil, "the rows have no features")
	case c.Rows < float64(m.o.k):
		return nil, errs.Errorf(op, errs.Invalid, nil, "k=%d, but there are only %g rows", m.o.k, c.Rows)
	case m.o.init == "first":
		first.phase = gathering
	case m.o.init == "kmeans++":
		first.phase = choosing
	default:
		old, err := model.Read(ctx, m.env.Open, m.o.init)
		if err != nil {
			return nil, err
		}
		if len(old.Centers) != m.o.k || old.Features != c.Columns {
			return nil, errs.Errorf(op, errs.Invalid, m.o.init, "%d centers with %d features; want %d with %d",
				len(old.Centers), old.Features, m.o.k, c.Columns)
		}
		first.centers = slices.Concat(old.Centers...)
	}
	return first.encode(), nil
}

// chosen returns the row with the least key among the workers' candidates.
func (m *master) chosen(sum []float64, now *order) ([]float64, error) {
	var best []float64
	for slot := range slices.Chunk(sum, 1+now.columns) {
		if slot[0] > 0 && (best == nil || slot[0] < best[0]) {
			best = slot
		}
	}
	if best == nil {
		return nil, errs.Errorf(op, errs.Invalid, nil, "k=%d, but there are only %d different rows", m.o.k, now.count())
	}
	return best[1:], nil
}

// move makes the means of the clusters the next centers.
func (m *master) move(s *guagua.Step, sum []float64, now *order) error {
	inertia, counts, sums := sum[0], sum[1:1+m.o.k], sum[1+m.o.k:]
	if math.IsNaN(inertia) || math.IsInf(inertia, 0) {
		return errs.Errorf(op, errs.Invalid, nil, "the inertia is %g: scale the features", inertia)
	}
	m.state.Inertia = inertia
	r := guagua.Record{Iteration: m.state.Steps + 1, Values: map[string]float64{"loss": inertia, "inertia": inertia}}
	if r.Final = m.state.Settled || s.Iteration == s.Env.Total; r.Final {
		r.Iteration--
		s.Record(r)
		s.Halt()
		return nil
	}
	s.Record(r)
	m.state.Steps++
	most := 0.0
	for i, n := range counts {
		if n == 0 {
			continue
		}
		mean := sums[i*now.columns : (i+1)*now.columns]
		for j := range mean {
			mean[j] /= n
		}
		most = max(most, model.SquaredDistance(mean, now.center(i)))
		copy(now.center(i), mean)
	}
	m.state.Settled = most <= m.o.tolerance
	return nil
}

// Snapshot implements guagua.Snapshotter.
func (m *master) Snapshot() ([]byte, error) { return json.Marshal(m.state) }

// Restore implements guagua.Snapshotter.
func (m *master) Restore(state []byte) error {
	if err := json.Unmarshal(state, &m.state); err != nil {
		return errs.E(op, errs.Corrupt, nil, err)
	}
	return nil
}

// Finish implements guagua.Finisher.
func (m *master) Finish(ctx context.Context, last []float64, out guagua.Output) error {
	end := decode(last, m.env.Workers)
	result := model.Model{
		Kind: model.KMeans, Features: end.columns, Scale: m.o.data.Scale,
		Centers:  slices.Collect(slices.Chunk(end.centers, end.columns)),
		Training: model.Training{Iterations: m.state.Steps, Loss: m.state.Inertia},
	}
	return result.Write(ctx, out)
}
