package optimize

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
)

// bowl is a stretched quadratic; its minimum is at (1, 2, 3, ...).
func bowl(x []float64) (f float64, g []float64) {
	g = make([]float64, len(x))
	for i, v := range x {
		d, stretch := v-float64(i+1), math.Pow(3, float64(i))
		f += stretch * d * d / 2
		g[i] = stretch * d
	}
	return f, g
}

// banana is Rosenbrock's function: a bent valley that is hard to follow. Its minimum is at (1, 1).
func banana(x []float64) (float64, []float64) {
	a, b := 1-x[0], x[1]-x[0]*x[0]
	return a*a + 100*b*b, []float64{-2*a - 400*x[0]*b, 200 * b}
}

func TestMinimaAreFound(t *testing.T) {
	for _, c := range []struct {
		o     Options
		name  string
		f     func([]float64) (float64, []float64)
		start []float64
		want  []float64
		calls int
	}{
		{Options{Method: "gd", Rate: 0.05}, "bowl", bowl, []float64{0, 0, 0}, []float64{1, 2, 3}, 600},
		{Options{Method: "momentum", Rate: 0.02, Momentum: 0.9}, "bowl", bowl, make([]float64, 3), []float64{1, 2, 3}, 500},
		{Options{Method: "adam", Rate: 0.1}, "bowl", bowl, []float64{0, 0, 0}, []float64{1, 2, 3}, 1500},
		{Options{Method: "lbfgs", History: 10}, "bowl", bowl, make([]float64, 8), []float64{1, 2, 3, 4, 5, 6, 7, 8}, 120},
		{Options{Method: "lbfgs", History: 5}, "banana", banana, []float64{-1.2, 1}, []float64{1, 1}, 80},
	} {
		x := slices.Clone(c.start)
		o := New(c.o, len(x))
		for range c.calls {
			f, g := c.f(x)
			o.Next(x, f, g)
		}
		for i := range x {
			if !(math.Abs(x[i]-c.want[i]) < 1e-6) {
				t.Errorf("%s of %s: at %v after %d evaluations", c.o.Method, c.name, x, c.calls)
				break
			}
		}
	}
}

// TestStateIsComplete: an optimizer that goes on in another process takes the same steps, to the bit.
func TestStateIsComplete(t *testing.T) {
	for _, method := range []string{"gd", "momentum", "adam", "lbfgs"} {
		for cut := range 30 {
			x := []float64{-1.2, 1}
			o := New(Options{Method: method, Rate: 1e-3, Momentum: 0.5, History: 3}, 2)
			for range cut {
				f, g := banana(x)
				o.Next(x, f, g)
			}
			next := New(Options{Method: method, Rate: 1e-3, Momentum: 0.5, History: 3}, 2)
			state := o.State()
			if err := next.SetState(state); err != nil {
				t.Fatalf("%s after %d: %v", method, cut, err)
			}
			y := slices.Clone(x)
			for range 10 {
				f, g := banana(x)
				o.Next(x, f, g)
				f, g = banana(y)
				next.Next(y, f, g)
			}
			if !slices.Equal(x, y) {
				t.Errorf("%s after %d: %v and %v", method, cut, x, y)
			}
			for n := range state {
				if err := next.SetState(state[:n]); !errors.Is(err, errs.Corrupt) && method != "gd" {
					t.Errorf("%s: %d of %d bytes of state were taken: %v", method, n, len(state), err)
				}
			}
		}
	}
}

// TestNoDescent: where nothing can be gained any more, lbfgs stays, and its numbers stay finite.
func TestNoDescent(t *testing.T) {
	x := []float64{0, 0, 0}
	o := New(Options{Method: "lbfgs", History: 4}, 3)
	for i := range 500 {
		f, g := bowl(x)
		if math.IsNaN(f) {
			t.Fatalf("NaN after %d evaluations", i)
		}
		o.Next(x, f, g)
	}
	if s := fmt.Sprintf("%.6f", x); s != "[1.000000 2.000000 3.000000]" {
		t.Error(s)
	}
}
