package network

import (
	"math"
	"slices"

	"github.com/seed3322913c/runner/guagua/algo/linear"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/algo/train"
	"github.com/seed3322913c/runner/guagua/data"
)

// rowsAtATime is the height of the matrices that are multiplied.
const rowsAtATime = 256

// kernel sums loss and gradient over rows: forward through the layers, keeping what each puts out, then backward.
type kernel[T data.Float] struct {
	parts    []part
	dense    []T
	values   [][]T // what each layer puts out: rows x units
	deltas   [][]T // derivatives of the loss by what goes into each layer's activation
	out      []float64
	gradient []T // in the rows' precision, if that is not float64
}

func newKernel[T data.Float](n objective) *kernel[T] {
	k := &kernel[T]{parts: n.parts()}
	for _, p := range k.parts {
		k.values = append(k.values, make([]T, rowsAtATime*p.out))
		k.deltas = append(k.deltas, make([]T, rowsAtATime*p.out))
	}
	last := k.parts[len(k.parts)-1]
	k.out = make([]float64, last.out)
	if _, double := any(k.dense).([]float64); !double {
		k.gradient = make([]T, last.end)
	}
	return k
}

// Add implements train.Kernel.
func (k *kernel[T]) Add(x []T, b data.Block[T], sum *train.Sum) {
	for from := 0; from < b.Rows; from += rowsAtATime {
		rows := b.Slice(from, min(from+rowsAtATime, b.Rows))
		in := rows.Dense(k.dense)
		if rows.Sparse() {
			k.dense = in
		}
		k.forward(x, in, rows.Rows)
		k.judge(rows.Y, sum)
		k.backward(x, in, rows.Rows, sum.Gradient)
	}
}

func (k *kernel[T]) forward(x, in []T, n int) {
	for i, p := range k.parts {
		out, bias := k.values[i][:n*p.out], x[p.bias:p.end]
		for row := range slices.Chunk(out, p.out) {
			copy(row, bias)
		}
		train.MulT(out, in, x[p.weights:p.bias], n, p.out, p.in)
		if i < len(k.parts)-1 {
			activate(p.activation, out)
		}
		in = out
	}
}

func activate[T data.Float](a model.Activation, v []T) {
	switch a {
	case model.ReLU:
		for i, z := range v {
			v[i] = max(z, 0)
		}
	case model.Tanh:
		for i, z := range v {
			v[i] = T(math.Tanh(float64(z)))
		}
	case model.Sigmoid:
		for i, z := range v {
			v[i] = T(1 / (1 + math.Exp(-float64(z))))
		}
	}
}

// judge adds the loss of the last layer's outputs, and makes its deltas.
func (k *kernel[T]) judge(y []float64, sum *train.Sum) {
	last := len(k.parts) - 1
	p := k.parts[last]
	for i, label := range y {
		z, delta := k.values[last][i*p.out:(i+1)*p.out], k.deltas[last][i*p.out:(i+1)*p.out]
		switch p.activation {
		case model.Softmax:
			for j, v := range z {
				k.out[j] = float64(v)
			}
			if model.Best(k.out) == int(label) {
				sum.Right++
			}
			sum.Loss += linear.CrossEntropy(k.out, int(label))
			for j, d := range k.out {
				delta[j] = T(d)
			}
		case model.Sigmoid:
			loss, probability := linear.LogLoss(float64(z[0]), label)
			sum.Loss += loss
			if (probability > 0.5) == (label == 1) {
				sum.Right++
			}
			delta[0] = T(probability - label)
		default:
			d := float64(z[0]) - label
			sum.Loss += d * d / 2
			sum.Right-- // there is no right and wrong
			delta[0] = T(d)
		}
	}
}

func (k *kernel[T]) backward(x, rows []T, n int, out []float64) {
	gradient := k.gradient
	if gradient == nil {
		gradient = any(out).([]T)
	} else {
		clear(gradient)
	}
	for i := len(k.parts) - 1; i >= 0; i-- {
		p, delta, in := k.parts[i], k.deltas[i][:n*k.parts[i].out], rows
		if i > 0 {
			in = k.values[i-1][:n*p.in]
		}
		train.TMul(gradient[p.weights:p.bias], delta, in, p.out, p.in, n)
		bias := gradient[p.bias:p.end]
		for row := range slices.Chunk(delta, p.out) {
			for j, d := range row {
				bias[j] += d
			}
		}
		if i > 0 {
			before := k.deltas[i-1][:n*p.in]
			clear(before)
			train.Mul(before, delta, x[p.weights:p.bias], n, p.in, p.out)
			through(k.parts[i-1].activation, before, in)
		}
	}
	for i, g := range k.gradient {
		out[i] += float64(g)
	}
}

// through multiplies deltas by the derivative of an activation, which its values tell.
func through[T data.Float](a model.Activation, delta, value []T) {
	switch a {
	case model.ReLU:
		for i, v := range value {
			if v <= 0 {
				delta[i] = 0
			}
		}
	case model.Tanh:
		for i, v := range value {
			delta[i] *= 1 - v*v
		}
	case model.Sigmoid:
		for i, v := range value {
			delta[i] *= v * (1 - v)
		}
	}
}
