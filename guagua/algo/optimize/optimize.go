// Package optimize finds minima of functions of which only value and gradient at one point at a time are known.
//
// Such a point costs a superstep over all data, so an Optimizer is a state machine: it is given the value and gradient
// at the point that it asked for, and says which point it wants to know next.
//
//	x := start
//	for { loss, gradient := evaluate(x); o.Next(x, loss, gradient) }   // Next changes x
package optimize

import (
	"encoding/binary"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
)

// Optimizer says where to look next.
type Optimizer interface {
	// Next replaces x by the next point, knowing loss and gradient at x. It does not keep gradient.
	Next(x []float64, loss float64, gradient []float64)
	// State returns what the optimizer knows besides x, and SetState puts it into a new one.
	State() []byte
	SetState(state []byte) error
}

// Options choose an optimizer and its parameters.
type Options struct {
	Method   string  // gd, momentum, adam, lbfgs
	Rate     float64 // the step, above 0
	Momentum float64 // the share of the last step that is added, from 0 below 1
	History  int     // of lbfgs: pairs that are remembered
}

// ReadOptions reads the parameters optimizer, learning-rate and momentum; methods are those allowed, the default first.
func ReadOptions(r *guagua.Reader, rate float64, methods ...string) Options {
	return Options{
		Method:   r.OneOf("optimizer", methods...),
		Rate:     r.Float("learning-rate", rate, math.SmallestNonzeroFloat64, math.MaxFloat64),
		Momentum: r.Float("momentum", 0.9, 0, math.Nextafter(1, 0)),
		History:  r.Int("history", 10, 1, 1000),
	}
}

// New returns an optimizer of n variables.
func New(o Options, n int) Optimizer {
	switch o.Method {
	case "momentum":
		return &momentum{o: o, velocity: make([]float64, n)}
	case "adam":
		return &adam{o: o, mean: make([]float64, n), square: make([]float64, n)}
	case "lbfgs":
		return &lbfgs{keep: o.History, n: n}
	}
	return &descent{o}
}

// descent goes against the gradient.
type descent struct{ o Options }

func (d *descent) Next(x []float64, _ float64, gradient []float64) {
	floats.AddScaled(x, -d.o.Rate, gradient)
}
func (d *descent) State() []byte         { return nil }
func (d *descent) SetState([]byte) error { return nil }

// momentum adds a share of the last step: v = m v + g, x = x - rate v.
type momentum struct {
	o        Options
	velocity []float64
}

func (m *momentum) Next(x []float64, _ float64, gradient []float64) {
	for i, g := range gradient {
		m.velocity[i] = m.o.Momentum*m.velocity[i] + g
	}
	floats.AddScaled(x, -m.o.Rate, m.velocity)
}

func (m *momentum) State() []byte { return pack(m.velocity) }

func (m *momentum) SetState(state []byte) error { return unpack(state, &m.velocity) }

// adam divides by a running root mean square (Kingma and Ba, 2015, with their constants).
type adam struct {
	o            Options
	steps        float64
	mean, square []float64
}

func (a *adam) Next(x []float64, _ float64, gradient []float64) {
	const keepMean, keepSquare, tiny = 0.9, 0.999, 1e-8
	a.steps++
	rate := a.o.Rate * math.Sqrt(1-math.Pow(keepSquare, a.steps)) / (1 - math.Pow(keepMean, a.steps))
	for i, g := range gradient {
		a.mean[i] = keepMean*a.mean[i] + (1-keepMean)*g
		a.square[i] = keepSquare*a.square[i] + (1-keepSquare)*g*g
		x[i] -= rate * a.mean[i] / (math.Sqrt(a.square[i]) + tiny)
	}
}

func (a *adam) State() []byte { return pack([]float64{a.steps}, a.mean, a.square) }

func (a *adam) SetState(state []byte) error {
	steps := make([]float64, 1)
	err := unpack(state, &steps, &a.mean, &a.square)
	a.steps = steps[0]
	return err
}

// pack writes vectors one after the other: a length of 8 bytes, then the numbers.
func pack(vectors ...[]float64) []byte {
	var b []byte
	for _, v := range vectors {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(v)))
		b = append(b, guagua.FloatBytes(v)...)
	}
	return b
}

// unpack is the inverse of pack. Vectors that are not nil must have the length they had.
func unpack(b []byte, vectors ...*[]float64) error {
	for _, v := range vectors {
		if len(b) < 8 || binary.LittleEndian.Uint64(b) > uint64(len(b)-8)/8 {
			return corrupt("%d bytes are left", len(b))
		}
		n := int(binary.LittleEndian.Uint64(b))
		if *v != nil && len(*v) != n {
			return corrupt("a vector of %d numbers, want %d", n, len(*v))
		}
		*v = make([]float64, n)
		copy(guagua.FloatBytes(*v), b[8:])
		b = b[8+8*n:]
	}
	if len(b) > 0 {
		return corrupt("%d bytes too many", len(b))
	}
	return nil
}

func corrupt(format string, args ...any) error {
	return errs.E("guagua.Optimizer", errs.Corrupt, nil, fmt.Errorf("this is not its state: "+format, args...))
}
