// Package model is what training leaves behind: the file model.json, and how to use it.
//
//	{
//	  "format": "runner-model", "version": 1,
//	  "kind": "logistic-regression",         linear-regression, neural-network, kmeans
//	  "features": 784,                       columns of the input, without the label
//	  "scale": 255,                          features are divided by this first; left out if 1
//	  "positive": "0",                       the label that output 1 stands for, if there is one output and it was told
//	  "classes": ["cat", "dog"],             what the outputs stand for, if it was told; else their numbers from 0
//	  "layers": [                            the input goes through these in order
//	    {"activation": "sigmoid",            identity, sigmoid, tanh, relu, softmax
//	     "weights": [[0.1, -0.2, ...]],      one row for each output, one column for each input
//	     "bias": [0.5]}                      output = activation(weights * input + bias)
//	  ],
//	  "centers": [[...], ...],               of kmeans, which has no layers: one row for each cluster
//	  "training": {"iterations": 100, "loss": 0.24}
//	}
//
// Numbers have as many digits as it takes to read the same float64 back.
package model

import (
	"context"
	"encoding/json"
	"io"
	"math"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// FileName is the name of the file among a job's output.
const FileName = "model.json"

const (
	format  = "runner-model"
	version = 1
)

// The kinds of models.
const (
	Logistic = "logistic-regression"
	Linear   = "linear-regression"
	Network  = "neural-network"
	KMeans   = "kmeans"
)

// Model is the content of model.json.
type Model struct {
	Format   string      `json:"format"`
	Version  int         `json:"version"`
	Kind     string      `json:"kind"`
	Features int         `json:"features"`
	Scale    float64     `json:"scale,omitempty"`
	Positive string      `json:"positive,omitempty"`
	Classes  []string    `json:"classes,omitempty"`
	Layers   []Layer     `json:"layers,omitempty"`
	Centers  [][]float64 `json:"centers,omitempty"`
	Training Training    `json:"training"`
}

// Layer is an affine map and what follows it.
type Layer struct {
	Activation Activation  `json:"activation"`
	Weights    [][]float64 `json:"weights"`
	Bias       []float64   `json:"bias"`
}

// Training says how a model came about.
type Training struct {
	Iterations int     `json:"iterations"`
	Loss       float64 `json:"loss"`
}

// Activation is the function at the end of a layer.
type Activation string

// The activations.
const (
	Identity Activation = "identity"
	Sigmoid  Activation = "sigmoid"
	Tanh     Activation = "tanh"
	ReLU     Activation = "relu"
	Softmax  Activation = "softmax"
)

// Apply replaces v by the activation's values.
func (a Activation) Apply(v []float64) {
	switch a {
	case Sigmoid:
		for i, z := range v {
			v[i] = 1 / (1 + math.Exp(-z))
		}
	case Tanh:
		for i, z := range v {
			v[i] = math.Tanh(z)
		}
	case ReLU:
		for i, z := range v {
			v[i] = max(0, z)
		}
	case Softmax:
		most, sum := math.Inf(-1), 0.0
		for _, z := range v {
			most = max(most, z)
		}
		for i, z := range v {
			v[i] = math.Exp(z - most)
			sum += v[i]
		}
		for i := range v {
			v[i] /= sum
		}
	}
}

// Write puts a model out as model.json.
func (m Model) Write(ctx context.Context, create guagua.Output) error {
	const op = "model.Write"
	m.Format, m.Version = format, version
	if m.Scale == 1 {
		m.Scale = 0
	}
	if err := m.check(); err != nil {
		return err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return errs.E(op, errs.Internal, FileName, err)
	}
	w, err := create(ctx, FileName)
	if err != nil {
		return err
	}
	defer w.Abort(ctx) // no effect once committed
	if _, err := w.Write(append(text, '\n')); err != nil {
		return err
	}
	return w.Commit(ctx)
}

// largest is the length of a model.json that is read, in bytes.
const largest = 4 << 30

// Read reads a model.json.
func Read(ctx context.Context, open guagua.Opener, uri string) (Model, error) {
	const op = "model.Read"
	r, err := open(ctx, uri, store.Range{})
	if err != nil {
		return Model{}, errs.E(op, errs.Other, uri, err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, largest))
	if err != nil {
		return Model{}, errs.E(op, errs.Other, uri, err)
	}
	m, err := Parse(text)
	if err != nil {
		return Model{}, errs.E(op, errs.Other, uri, err)
	}
	return m, nil
}

// Parse reads the text of a model.json.
func Parse(text []byte) (Model, error) {
	var m Model
	if err := json.Unmarshal(text, &m); err != nil {
		return m, errs.E("model.Parse", errs.Invalid, nil, err)
	}
	return m, m.check()
}

// check refuses a model whose parts do not fit together.
func (m *Model) check() error {
	bad := func(format string, args ...any) error {
		return errs.Errorf("model.Parse", errs.Invalid, nil, format, args...)
	}
	if m.Format != format || m.Version != version {
		return bad("this is %q version %d, not %s version %d", m.Format, m.Version, format, version)
	}
	width := m.Features
	for i, l := range m.Layers {
		if len(l.Weights) == 0 || len(l.Weights) != len(l.Bias) {
			return bad("layer %d has %d rows of weights and %d biases", i, len(l.Weights), len(l.Bias))
		}
		for _, row := range l.Weights {
			if len(row) != width || !finite(row) {
				return bad("layer %d has a row of %d weights for %d inputs, or one that is not finite", i, len(row), width)
			}
		}
		if !finite(l.Bias) {
			return bad("layer %d has a bias that is not finite", i)
		}
		width = len(l.Bias)
	}
	for _, c := range m.Centers {
		if len(c) != m.Features || !finite(c) {
			return bad("a center has %d numbers for %d features, or one that is not finite", len(c), m.Features)
		}
	}
	if (m.Kind == KMeans) != (len(m.Layers) == 0) || (m.Kind == KMeans) != (len(m.Centers) > 0) {
		return bad("kind %q with %d layers and %d centers", m.Kind, len(m.Layers), len(m.Centers))
	}
	if m.Classes != nil && len(m.Classes) != width {
		return bad("%d classes for %d outputs", len(m.Classes), width)
	}
	return nil
}

func finite(v []float64) bool {
	for _, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}

// Outputs returns what the model says of one row of features, which are scaled already: the outputs of the last layer,
// or the squared distances to the centers.
func (m *Model) Outputs(x []float64) []float64 {
	if m.Kind == KMeans {
		out := make([]float64, len(m.Centers))
		for i, c := range m.Centers {
			out[i] = SquaredDistance(x, c)
		}
		return out
	}
	for _, l := range m.Layers {
		out := make([]float64, len(l.Bias))
		for i, row := range l.Weights {
			out[i] = l.Bias[i]
			for j, w := range row {
				out[i] += w * x[j]
			}
		}
		l.Activation.Apply(out)
		x = out
	}
	return x
}

// SquaredDistance returns the sum of the squares of the differences.
func SquaredDistance(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		d := v - b[i]
		sum += d * d
	}
	return sum
}

// Best returns the index of the greatest number, the first of several.
func Best(v []float64) int {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	return best
}
