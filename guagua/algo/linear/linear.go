// Package linear trains linear models: logistic regression, binary and multinomial, and linear regression.
//
//	logistic-regression   mean log-loss: of the sigmoid for one output, of the softmax for several
//	linear-regression     half the mean squared difference
//
// plus l2/2 times the sum of the squared weights, biases left out. Parameters begin at zero; they are the weights of
// output 0, of output 1, ..., then the biases. Full batches; see package train for how sums are made.
package linear

import (
	"context"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/algo/train"
	"github.com/seed3322913c/runner/guagua/data"
)

// Logistic returns the program logistic-regression. Its parameters, besides those of package train: positive, the label
// that is 1 while all others are 0; or classes, their number (labels are whole numbers from 0) or their names with
// commas in between. Without either, labels are 0 and 1, or -1 and 1.
func Logistic() guagua.Program {
	return train.App(model.Logistic, func(p guagua.Params) (train.Spec, error) {
		r := p.Reader()
		spec := train.Spec{Options: train.ReadOptions(r, 0.1, "gd", "momentum", "adam", "lbfgs")}
		o := objective{kind: model.Logistic, activation: model.Sigmoid, outputs: 1}
		o.positive = r.String("positive", "")
		spec.Data.Labels = data.Binary()
		if o.positive != "" {
			spec.Data.Labels = data.Positive(o.positive)
		}
		var labels data.Labels
		if o.outputs, o.classes, labels = Classes(r); o.outputs > 1 {
			r.Check(o.positive == "", "positive and classes: say one of them")
			o.activation, spec.Data.Labels = model.Softmax, labels
		}
		return o.complete(spec), r.Err()
	})
}

// Regression returns the program linear-regression.
func Regression() guagua.Program {
	return train.App(model.Linear, func(p guagua.Params) (train.Spec, error) {
		r := p.Reader()
		spec := train.Spec{Options: train.ReadOptions(r, 0.1, "gd", "momentum", "adam", "lbfgs")}
		o := objective{kind: model.Linear, activation: model.Identity, outputs: 1}
		return o.complete(spec), r.Err()
	})
}

// Classes reads the parameter classes: how many there are (1 if nothing is said), their names if they were given, and
// how labels become numbers.
func Classes(r *guagua.Reader) (n int, names []string, labels data.Labels) {
	text := r.String("classes", "")
	if text == "" {
		return 1, nil, data.Labels{}
	}
	if n, err := strconv.Atoi(text); err == nil {
		r.Check(n >= 2, "classes=%d: at least 2", n)
		return n, nil, data.Count(n)
	}
	names = strings.Split(text, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
		r.Check(names[i] != "", "classes=%s: an empty name", text)
	}
	r.Check(len(names) >= 2, "classes=%s: at least 2", text)
	return len(names), names, data.Classes(names)
}

// objective is a linear model's train.Objective.
type objective struct {
	kind       string
	activation model.Activation
	outputs    int
	positive   string
	classes    []string
}

func (o objective) complete(spec train.Spec) train.Spec {
	spec.Objective = o
	spec.Kernel64 = func(columns int) train.Kernel[float64] { return newKernel[float64](o, columns) }
	spec.Kernel32 = func(columns int) train.Kernel[float32] { return newKernel[float32](o, columns) }
	return spec
}

// Size implements train.Objective.
func (o objective) Size(columns int) (int, error) { return o.outputs * (columns + 1), nil }

// Start implements train.Objective.
func (o objective) Start(_ context.Context, _ *guagua.Env, columns int) ([]float64, error) {
	return make([]float64, o.outputs*(columns+1)), nil
}

// Weights implements train.Objective.
func (o objective) Weights(columns int) [][2]int { return [][2]int{{0, o.outputs * columns}} }

// Model implements train.Objective.
func (o objective) Model(columns int, x []float64) model.Model {
	l := model.Layer{Activation: o.activation, Bias: x[o.outputs*columns:]}
	for i := range o.outputs {
		l.Weights = append(l.Weights, x[i*columns:(i+1)*columns])
	}
	return model.Model{Kind: o.kind, Positive: o.positive, Classes: o.classes, Layers: []model.Layer{l}}
}
