// Package network trains neural networks of fully connected layers by backpropagation, in full batches or small ones.
//
//	layers=784-32-10       inputs, hidden units, outputs; any number of hidden layers, also none
//	activation=relu        of the hidden layers: relu, tanh, sigmoid, identity
//	output=softmax         softmax with cross-entropy (several outputs), sigmoid with log-loss (one), or identity
//	                       with half the squared difference (one); the default is the first that goes
//	classes, positive      how labels become numbers, as in logistic-regression; there are as many classes as outputs
//	batch=0                rows of a step, 0 for all; each worker takes its next batch/workers rows in the input's
//	                       order, so input that is sorted by label should be shuffled first
//	init=random            or the URI of a model.json to go on from; seed= chooses the random weights
//
// Random weights are uniform between -r and r, r = sqrt(6/inputs) before relu and sqrt(6/(inputs+outputs)) otherwise
// (He, Glorot); biases begin at zero. The parameters are, layer by layer, the weights of output 0, of output 1, ...,
// then the biases.
package network

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/linear"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/algo/train"
	"github.com/seed3322913c/runner/guagua/data"
	"github.com/seed3322913c/runner/infra/errs"
)

// Program returns the program neural-network.
func Program() guagua.Program {
	return train.App(model.Network, func(p guagua.Params) (train.Spec, error) {
		r := p.Reader()
		spec := train.Spec{Options: train.ReadOptions(r, 0.1, "gd", "momentum", "adam", "lbfgs")}
		spec.Batch = r.Int("batch", 0, 0, math.MaxInt32)
		r.Check(spec.Batch == 0 || spec.Optimizer.Method != "lbfgs", "lbfgs needs all rows in every step: batch=0")
		n := objective{
			hidden: model.Activation(r.OneOf("activation", "relu", "tanh", "sigmoid", "identity")),
			init:   r.String(train.Init, train.Random),
			seed:   uint64(r.Int("seed", 1, 0, math.MaxInt)),
		}
		n.readLayers(r)
		n.readOutput(r, &spec)
		spec.Objective = n
		spec.Kernel64 = func(int) train.Kernel[float64] { return newKernel[float64](n) }
		spec.Kernel32 = func(int) train.Kernel[float32] { return newKernel[float32](n) }
		return spec, r.Err()
	})
}

// objective is a network's train.Objective.
type objective struct {
	layers   []int // inputs, hidden units, outputs
	hidden   model.Activation
	output   model.Activation
	classes  []string
	positive string
	init     string
	seed     uint64
}

func (n *objective) readLayers(r *guagua.Reader) {
	text := r.String("layers", "")
	for part := range strings.SplitSeq(text, "-") {
		units, err := strconv.Atoi(part)
		if err != nil || units < 1 || units > math.MaxInt32 {
			n.layers = nil
			break
		}
		n.layers = append(n.layers, units)
	}
	r.Check(len(n.layers) >= 2, "layers=%s: say how many inputs, hidden units and outputs, as in layers=784-32-10", text)
	if len(n.layers) < 2 {
		n.layers = []int{1, 1}
	}
}

func (n *objective) readOutput(r *guagua.Reader, spec *train.Spec) {
	last := n.layers[len(n.layers)-1]
	otherwise := []string{"softmax", "sigmoid", "identity"}
	if last == 1 {
		otherwise = []string{"sigmoid", "softmax", "identity"}
	}
	n.output = model.Activation(r.OneOf("output", otherwise...))
	r.Check((n.output == model.Softmax) == (last > 1), "output=%s does not go with %d outputs", n.output, last)
	n.positive = r.String("positive", "")
	r.Check(n.positive == "" || n.output == model.Sigmoid, "positive needs one output, a sigmoid")
	outputs, names, labels := linear.Classes(r)
	n.classes = names
	r.Check(outputs == 1 || outputs == last, "classes: there are %d of them and %d outputs", outputs, last)
	switch {
	case n.output == model.Softmax && outputs == 1:
		spec.Data.Labels = data.Count(last)
	case n.output == model.Softmax:
		spec.Data.Labels = labels
	case n.output == model.Sigmoid && n.positive != "":
		spec.Data.Labels = data.Positive(n.positive)
	case n.output == model.Sigmoid:
		spec.Data.Labels = data.Binary()
	}
}

// part is where a layer's parameters are.
type part struct {
	in, out       int
	weights, bias int // where they begin
	end           int
	activation    model.Activation
}

func (n *objective) parts() []part {
	var out []part
	at := 0
	for i := range n.layers[1:] {
		p := part{in: n.layers[i], out: n.layers[i+1], weights: at, activation: n.hidden}
		p.bias = at + p.in*p.out
		p.end = p.bias + p.out
		at = p.end
		out = append(out, p)
	}
	out[len(out)-1].activation = n.output
	return out
}

// Size implements train.Objective.
func (n objective) Size(columns int) (int, error) {
	if columns != n.layers[0] {
		return 0, errs.Errorf("network.Size", errs.Invalid, nil, "layers=%s: %d inputs, but the rows have %d features",
			strings.ReplaceAll(strings.Trim(fmt.Sprint(n.layers), "[]"), " ", "-"), n.layers[0], columns)
	}
	parts := n.parts()
	return parts[len(parts)-1].end, nil
}

// Start implements train.Objective.
func (n objective) Start(ctx context.Context, env *guagua.Env, _ int) ([]float64, error) {
	if n.init != train.Random {
		return n.resume(ctx, env)
	}
	r := rand.New(rand.NewPCG(n.seed, 0x6e65742e))
	var x []float64
	for _, p := range n.parts() {
		width := math.Sqrt(6 / float64(p.in+p.out))
		if p.activation == model.ReLU {
			width = math.Sqrt(6 / float64(p.in))
		}
		for range p.in * p.out {
			x = append(x, (2*r.Float64()-1)*width)
		}
		x = append(x, make([]float64, p.out)...)
	}
	return x, nil
}

// resume returns the parameters of a model that was trained before.
func (n objective) resume(ctx context.Context, env *guagua.Env) ([]float64, error) {
	old, err := model.Read(ctx, env.Open, n.init)
	if err != nil {
		return nil, err
	}
	layers := []int{old.Features}
	var x []float64
	for _, l := range old.Layers {
		layers = append(layers, len(l.Bias))
		x = append(append(x, slices.Concat(l.Weights...)...), l.Bias...)
	}
	if !slices.Equal(layers, n.layers) {
		return nil, errs.Errorf("network.Start", errs.Invalid, n.init, "its layers are %v, not %v", layers, n.layers)
	}
	return x, nil
}

// Weights implements train.Objective.
func (n objective) Weights(int) (out [][2]int) {
	for _, p := range n.parts() {
		out = append(out, [2]int{p.weights, p.bias})
	}
	return out
}

// Model implements train.Objective.
func (n objective) Model(_ int, x []float64) model.Model {
	m := model.Model{Kind: model.Network, Positive: n.positive, Classes: n.classes}
	for _, p := range n.parts() {
		l := model.Layer{Activation: p.activation, Bias: x[p.bias:p.end]}
		l.Weights = slices.Collect(slices.Chunk(x[p.weights:p.bias], p.in))
		m.Layers = append(m.Layers, l)
	}
	return m
}
