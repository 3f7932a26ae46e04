package linear

import (
	"math"

	"gonum.org/v1/gonum/floats"

	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/algo/train"
	"github.com/seed3322913c/runner/guagua/data"
)

// tile is how many bytes of rows are worked on at a time: they are read from memory once, and are in the second-level
// cache when they are needed again for the gradient.
const tile = 128 << 10

// kernel sums loss and gradient over rows, a tile at a time: outputs z = rows * weights + bias, residuals r from z and
// the labels, gradient += residuals * rows.
type kernel[T data.Float] struct {
	o        objective
	columns  int
	rows     int // of a tile
	z        []T // rows x outputs; then the residuals
	out      []float64
	gradient []T // in the rows' precision, if that is not float64
}

func newKernel[T data.Float](o objective, columns int) *kernel[T] {
	k := &kernel[T]{o: o, columns: columns, rows: max(4, min(1024, tile/8/max(1, columns)))}
	k.z, k.out = make([]T, k.rows*o.outputs), make([]float64, o.outputs)
	if _, double := any(k.z).([]float64); !double {
		k.gradient = make([]T, o.outputs*columns)
	}
	return k
}

// Add implements train.Kernel.
func (k *kernel[T]) Add(x []T, b data.Block[T], sum *train.Sum) {
	weights, bias := x[:k.o.outputs*k.columns], x[k.o.outputs*k.columns:]
	for from := 0; from < b.Rows; from += k.rows {
		n := min(k.rows, b.Rows-from)
		z, y := k.z[:n*k.o.outputs], b.Y[from:from+n]
		if b.Sparse() {
			k.sparseOutputs(z, b, from, weights)
		} else {
			k.outputs(z, b.X[from*k.columns:(from+n)*k.columns], weights)
		}
		k.residuals(z, y, bias, sum)
		if b.Sparse() {
			k.sparseGradient(z, b, from, sum.Gradient)
		} else {
			k.denseGradient(z, b.X[from*k.columns:(from+n)*k.columns], sum.Gradient)
		}
	}
}

func (k *kernel[T]) outputs(z, rows, weights []T) {
	if k.columns == 0 {
		clear(z)
		return
	}
	if k.o.outputs == 1 {
		train.MulVec(z, rows, weights)
		return
	}
	clear(z)
	train.MulT(z, rows, weights, len(z)/k.o.outputs, k.o.outputs, k.columns)
}

// residuals turns outputs without bias into the derivative of the loss by the outputs, and adds loss and biases'
// gradient.
func (k *kernel[T]) residuals(z []T, y []float64, bias []T, sum *train.Sum) {
	outputs, gradient := k.o.outputs, sum.Gradient[k.o.outputs*k.columns:]
	for i, label := range y {
		row := z[i*outputs : (i+1)*outputs]
		switch {
		case k.o.activation == model.Identity:
			r := float64(row[0]+bias[0]) - label
			sum.Loss += r * r / 2
			sum.Right-- // there is no right and wrong
			row[0], gradient[0] = T(r), gradient[0]+r
		case outputs == 1:
			loss, p := LogLoss(float64(row[0]+bias[0]), label)
			sum.Loss += loss
			if (p > 0.5) == (label == 1) {
				sum.Right++
			}
			row[0], gradient[0] = T(p-label), gradient[0]+p-label
		default:
			for j, v := range row {
				k.out[j] = float64(v + bias[j])
			}
			if model.Best(k.out) == int(label) {
				sum.Right++
			}
			sum.Loss += CrossEntropy(k.out, int(label))
			for j, r := range k.out {
				row[j] = T(r)
				gradient[j] += r
			}
		}
	}
}

// LogLoss returns the log-loss of output z for a label of 0 or 1, and the probability of 1.
func LogLoss(z, label float64) (loss, p float64) {
	e := math.Exp(-math.Abs(z))
	loss = max(z, 0) + math.Log1p(e) - label*z
	if z >= 0 {
		return loss, 1 / (1 + e)
	}
	return loss, e / (1 + e)
}

// CrossEntropy replaces outputs by the derivatives of their softmax's cross-entropy for a class, and returns that.
func CrossEntropy(z []float64, class int) float64 {
	most := floats.Max(z)
	sum := 0.0
	own := z[class] - most
	for j := range z {
		z[j] = math.Exp(z[j] - most)
		sum += z[j]
	}
	floats.Scale(1/sum, z)
	z[class]--
	return math.Log(sum) - own
}

func (k *kernel[T]) denseGradient(r, rows []T, out []float64) {
	if k.columns == 0 {
		return
	}
	n := k.o.outputs * k.columns
	into := k.gradient
	if into == nil {
		into = any(out[:n]).([]T)
	} else {
		clear(into)
	}
	if k.o.outputs == 1 {
		train.AddTMulVec(into, rows, r)
	} else {
		train.TMul(into, r, rows, k.o.outputs, k.columns, len(r)/k.o.outputs)
	}
	for i, g := range k.gradient {
		out[i] += float64(g)
	}
}

func (k *kernel[T]) sparseOutputs(z []T, b data.Block[T], from int, weights []T) {
	for i := range len(z) / k.o.outputs {
		lo, hi := b.Starts[from+i], b.Starts[from+i+1]
		values := b.Values[lo:hi]
		for o := range k.o.outputs {
			w, v := weights[o*k.columns:(o+1)*k.columns], T(0)
			for n, column := range b.Indexes[lo:hi] {
				v += w[column] * values[n]
			}
			z[i*k.o.outputs+o] = v
		}
	}
}

func (k *kernel[T]) sparseGradient(r []T, b data.Block[T], from int, out []float64) {
	for i := range len(r) / k.o.outputs {
		lo, hi := b.Starts[from+i], b.Starts[from+i+1]
		values := b.Values[lo:hi]
		for o := range k.o.outputs {
			g, v := out[o*k.columns:(o+1)*k.columns], r[i*k.o.outputs+o]
			for n, column := range b.Indexes[lo:hi] {
				g[column] += float64(v * values[n])
			}
		}
	}
}
