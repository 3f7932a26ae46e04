package optimize

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
)

// lbfgs approximates curvature by the last steps (Liu and Nocedal, 1989). Along each direction it looks for a point
// that satisfies the weak Wolfe conditions by bisection (Lewis and Overton, 2013): enough descent, and a slope that is
// less steep. Every point that it looks at is one evaluation.
type lbfgs struct {
	keep int
	n    int

	begun     bool
	x, g      []float64 // the point that the search starts from, and its gradient
	f         float64
	direction []float64
	slope     float64 // of f along direction at x
	step      float64
	low, high float64 // the step lies between; high is infinite until a step was too long
	s, y      [][]float64
}

// The constants of the Wolfe conditions.
const (
	enough = 1e-4
	flat   = 0.9
)

// smallest is the least step: below it the numbers are at the end of their precision, and the best point is kept.
const smallest = 1e-18

func (l *lbfgs) Next(x []float64, loss float64, gradient []float64) {
	switch {
	case !l.begun:
		l.begun = true
		l.accept(x, loss, gradient)
	case math.IsNaN(loss) || loss > l.f+enough*l.step*l.slope:
		l.high = l.step
		if l.step < smallest { // no descent can be seen any more: forget the curvature and stay
			l.s, l.y = nil, nil
			l.aim()
			break
		}
		l.bisect()
	case floats.Dot(gradient, l.direction) < flat*l.slope:
		l.low = l.step
		l.bisect()
	default:
		l.remember(x, gradient)
		l.accept(x, loss, gradient)
	}
	copy(x, l.x)
	floats.AddScaled(x, l.step, l.direction)
}

func (l *lbfgs) bisect() {
	if math.IsInf(l.high, 1) {
		l.step = 2 * l.low
	} else {
		l.step = (l.low + l.high) / 2
	}
}

// accept makes x the point to go on from.
func (l *lbfgs) accept(x []float64, loss float64, gradient []float64) {
	l.x, l.g, l.f = append(l.x[:0], x...), append(l.g[:0], gradient...), loss
	l.aim()
}

// remember keeps a step and the change of the gradient along it, whose product the Wolfe conditions make positive.
func (l *lbfgs) remember(x, gradient []float64) {
	s, y := make([]float64, l.n), make([]float64, l.n)
	floats.SubTo(s, x, l.x)
	floats.SubTo(y, gradient, l.g)
	if !(floats.Dot(s, y) > 0) { // at the minimum there is no step
		return
	}
	drop := max(0, len(l.s)+1-l.keep)
	l.s, l.y = append(slices.Delete(l.s, 0, drop), s), append(slices.Delete(l.y, 0, drop), y)
}

// aim chooses the direction, by the two loops over the remembered steps.
func (l *lbfgs) aim() {
	l.direction = append(l.direction[:0], l.g...)
	d, m := l.direction, len(l.s)
	alpha := make([]float64, m)
	for i := m - 1; i >= 0; i-- {
		alpha[i] = floats.Dot(l.s[i], d) / floats.Dot(l.s[i], l.y[i])
		floats.AddScaled(d, -alpha[i], l.y[i])
	}
	l.step, l.low, l.high = 1, 0, math.Inf(1)
	if m > 0 {
		floats.Scale(floats.Dot(l.s[m-1], l.y[m-1])/floats.Dot(l.y[m-1], l.y[m-1]), d)
	} else if norm := floats.Norm(d, 2); norm > 1 {
		l.step = 1 / norm
	}
	for i := range m {
		beta := floats.Dot(l.y[i], d) / floats.Dot(l.s[i], l.y[i])
		floats.AddScaled(d, alpha[i]-beta, l.s[i])
	}
	floats.Scale(-1, d)
	l.slope = floats.Dot(l.g, d)
}

func (l *lbfgs) State() []byte {
	scalars := []float64{0, l.f, l.slope, l.step, l.low, l.high, float64(len(l.s))}
	if l.begun {
		scalars[0] = 1
	}
	all := [][]float64{scalars, l.x, l.g, l.direction}
	return pack(append(append(all, l.s...), l.y...)...)
}

func (l *lbfgs) SetState(state []byte) error {
	scalars := make([]float64, 7)
	if err := unpack(state[:min(len(state), 8+7*8)], &scalars); err != nil {
		return err
	}
	pairs := int(scalars[6])
	if pairs < 0 || pairs > l.keep {
		return corrupt("%d pairs, at most %d are kept", pairs, l.keep)
	}
	all := []*[]float64{&scalars, &l.x, &l.g, &l.direction}
	l.s, l.y = make([][]float64, pairs), make([][]float64, pairs)
	for i := range l.s {
		all = append(all, &l.s[i])
	}
	for i := range l.y {
		all = append(all, &l.y[i])
	}
	l.begun, l.f, l.slope, l.step = scalars[0] == 1, scalars[1], scalars[2], scalars[3]
	l.low, l.high = scalars[4], scalars[5]
	return unpack(state, all...)
}
