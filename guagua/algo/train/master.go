package train

import (
	"context"
	"encoding/binary"
	"iter"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/algo/optimize"
	"github.com/seed3322913c/runner/infra/errs"
)

// master's results are the number of columns and the parameters.
type master struct {
	env       *guagua.Env
	spec      Spec
	optimizer optimize.Optimizer
	progress  progress
	next      []float64
}

// progress is what the master knows besides its result and the optimizer's state.
type progress struct {
	rows    float64
	columns float64
	loss    float64 // the last one recorded
	steps   float64
	settled bool // the gradient is within the tolerance
}

// Compute implements guagua.Master.
func (m *master) Compute(ctx context.Context, s *guagua.Step, last []float64, results iter.Seq[[]float64]) (
	[]float64, error) {
	var sum []float64
	for sum = range results {
	}
	if s.First() {
		return m.meet(ctx, s, sum)
	}
	if m.next == nil {
		m.next = slices.Clone(last)
	}
	x, loss, gradient := m.next[1:], sum[0]/sum[1], sum[head:]
	floats.Scale(1/sum[1], gradient)
	loss += m.penalize(x, gradient)
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return nil, errs.Errorf("train.Step", errs.Invalid, nil,
			"the loss of iteration %d is %g: try a learning-rate below %g, or scale the features",
			s.Iteration-1, loss, m.spec.Optimizer.Rate)
	}
	m.progress.loss = loss
	m.record(s, loss, sum)
	if s.Halted() {
		return m.next, nil
	}
	m.progress.steps++
	if floats.Norm(gradient, math.Inf(1)) <= m.spec.Tolerance {
		m.progress.settled = true
		return m.next, nil
	}
	m.optimizer.Next(x, loss, gradient)
	return m.next, nil
}

// meet makes the first parameters, knowing what the workers have.
func (m *master) meet(ctx context.Context, s *guagua.Step, sum []float64) ([]float64, error) {
	c, err := Meet(s.Env.Workers, sum)
	if err != nil {
		return nil, err
	}
	if len(s.Missing) > 0 {
		return nil, errs.Errorf("train.Meet", errs.Internal, nil, "workers %v are missing in iteration 1", s.Missing)
	}
	n, err := m.spec.Size(c.Columns)
	if err != nil {
		return nil, err
	}
	x, err := m.spec.Start(ctx, m.env, c.Columns)
	if err != nil {
		return nil, err
	}
	m.progress = progress{rows: c.Rows, columns: float64(c.Columns)}
	m.optimizer = optimize.New(m.spec.Optimizer, n)
	m.next = append([]float64{float64(c.Columns)}, x...)
	return m.next, nil
}

// penalize adds the penalty's gradient, and returns the penalty.
func (m *master) penalize(x, gradient []float64) (penalty float64) {
	if m.spec.L2 == 0 {
		return 0
	}
	for _, w := range m.spec.Weights(int(m.progress.columns)) {
		weights := x[w[0]:w[1]]
		floats.AddScaled(gradient[w[0]:w[1]], m.spec.L2, weights)
		penalty += m.spec.L2 / 2 * floats.Dot(weights, weights)
	}
	return penalty
}

// record writes the line of an iteration. The last one is final, and halts.
func (m *master) record(s *guagua.Step, loss float64, sum []float64) {
	r := guagua.Record{Iteration: s.Iteration - 1, Values: map[string]float64{"loss": loss}}
	if sum[2] >= 0 {
		r.Values["accuracy"] = sum[2] / sum[1]
	}
	if m.progress.settled || s.Iteration == s.Env.Total {
		r.Iteration, r.Final = int(m.progress.steps), true
		s.Halt()
	}
	s.Record(r)
}

// Snapshot implements guagua.Snapshotter.
func (m *master) Snapshot() ([]byte, error) {
	p := m.progress
	head := []float64{p.rows, p.columns, p.loss, p.steps, 0}
	if p.settled {
		head[4] = 1
	}
	return append(slices.Clone(guagua.FloatBytes(head)), m.optimizer.State()...), nil
}

// Restore implements guagua.Snapshotter.
func (m *master) Restore(state []byte) error {
	var head [5]float64
	if len(state) < len(head)*8 {
		return errs.Errorf("train.Restore", errs.Corrupt, nil, "%d bytes are no state", len(state))
	}
	for i := range head {
		head[i] = math.Float64frombits(binary.LittleEndian.Uint64(state[i*8:]))
	}
	m.progress = progress{rows: head[0], columns: head[1], loss: head[2], steps: head[3], settled: head[4] == 1}
	n, err := m.spec.Size(int(m.progress.columns))
	if err != nil {
		return err
	}
	m.optimizer = optimize.New(m.spec.Optimizer, n)
	return m.optimizer.SetState(state[len(head)*8:])
}

// Finish implements guagua.Finisher.
func (m *master) Finish(ctx context.Context, last []float64, out guagua.Output) error {
	result := m.spec.Model(int(m.progress.columns), last[1:])
	result.Features, result.Scale = int(m.progress.columns), m.spec.Data.Scale
	result.Training = model.Training{Iterations: int(m.progress.steps), Loss: m.progress.loss}
	return result.Write(ctx, out)
}

// differs is the error of workers whose rows have different lengths.
func differs(worker, columns, others int) error {
	return errs.Errorf("train.Meet", errs.Invalid, nil, "the rows of worker %d have %d features, others have %d",
		worker, columns, others)
}
