// Package train finds the parameters of a model by gradients over all rows: what logistic regression, linear regression
// and neural networks have in common.
//
// The first superstep is for acquaintance: workers say how many rows and columns they have, the master makes the first
// parameters. Step t is superstep t+1: every worker sums loss and gradient over its rows at the master's parameters,
// the master divides by the number of rows, records the loss as that of iteration t, and lets the optimizer choose the
// next parameters. One more superstep measures the loss at the last parameters, and is recorded as final.
//
//	superstep    1           2            3                 T+1          T+2
//	master       x0          loss(x0),    loss(x1),   ...   loss(xT-1),  loss(xT): final
//	                         x1           x2                xT
//
// How sums are made, so that they are the same for any number of threads, and nearly so (some 1e-13) for any number of
// workers: a worker's rows are divided into 16 stripes of equal length (package data); a stripe is summed row block by
// row block, in order; stripes are added as neighbours, then neighbours of these; workers likewise (package fold).
package train

import (
	"context"
	"math"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/algo/optimize"
	"github.com/seed3322913c/runner/guagua/data"
)

// Spec is a training problem, read from a job's parameters.
type Spec struct {
	Options
	Objective
	// Kernel64 and Kernel32 make the inner loops for so many columns. A kernel is used by one goroutine.
	Kernel64 func(columns int) Kernel[float64]
	Kernel32 func(columns int) Kernel[float32]
}

// Init is the parameter that says where to begin, in problems that have it: Random, or the URI of a model.json.
const (
	Init   = "init"
	Random = "random"
)

// Options are what all training problems have.
type Options struct {
	Data      data.Options
	Optimizer optimize.Options
	L2        float64 // the penalty is L2/2 times the sum of the squares of the weights
	Tolerance float64 // stop when no component of the gradient is greater
	Batch     int     // rows of all workers together in one step, 0 for all
	Single    bool    // features and products in float32; sums of many rows are float64 all the same
}

// Objective is the part of a problem that its master knows.
type Objective interface {
	// Size returns the number of parameters for so many features, or why there can't be so many.
	Size(columns int) (int, error)
	// Start returns the first parameters.
	Start(ctx context.Context, env *guagua.Env, columns int) ([]float64, error)
	// Weights returns the ranges of parameters that the penalty is for: all but biases.
	Weights(columns int) [][2]int
	// Model makes a model of parameters.
	Model(columns int, x []float64) model.Model
}

// Kernel sums over rows.
type Kernel[T data.Float] interface {
	// Add adds the loss of the rows at x to sum.Loss, its gradient to sum.Gradient, and the number of those rows whose
	// class the model gets right to sum.Right.
	Add(x []T, rows data.Block[T], sum *Sum)
}

// Sum is what a kernel adds to.
type Sum struct {
	Loss, Rows, Right float64
	Gradient          []float64
}

// ReadOptions reads the parameters of all training problems. label is what the label's column is when nothing is said,
// rate the default learning rate, methods the optimizers that are allowed, the default first.
func ReadOptions(r *guagua.Reader, rate float64, methods ...string) Options {
	return Options{
		Data:      data.ReadOptions(r, "1"),
		Optimizer: optimize.ReadOptions(r, rate, methods...),
		L2:        r.Float("l2", 0, 0, math.MaxFloat64),
		Tolerance: r.Float("tolerance", 0, 0, math.MaxFloat64),
		Single:    r.OneOf("precision", "float64", "float32") == "float32",
	}
}

// App makes a program of a way to read a problem's parameters.
func App(title string, read func(p guagua.Params) (Spec, error)) guagua.Program {
	return guagua.App[[]float64, []float64]{
		Title:  title,
		Result: guagua.Floats{}, Part: guagua.Floats{}, Combine: guagua.AddVectors(),
		Master: func(_ context.Context, env *guagua.Env) (guagua.Master[[]float64, []float64], error) {
			spec, err := read(env.Params)
			return &master{env: env, spec: spec}, err
		},
		Worker: func(_ context.Context, env *guagua.Env) (guagua.Worker[[]float64, []float64], error) {
			spec, err := read(env.Params)
			if spec.Single {
				return &worker[float32]{env: env, spec: spec, kernel: spec.Kernel32}, err
			}
			return &worker[float64]{env: env, spec: spec, kernel: spec.Kernel64}, err
		},
		Total:  func(_ guagua.Params, iterations int) int { return iterations + 2 },
		Steady: true,
		Check:  func(p guagua.Params) error { _, err := read(p); return err },
		Files: func(p guagua.Params) []string {
			if _, told := p[Init]; told && p[Init] != Random {
				return []string{Init}
			}
			return nil
		},
		Whole: func(p guagua.Params, uri string) bool {
			spec, err := read(p)
			return err != nil || !spec.Data.Splittable(uri)
		},
	}.Program()
}

// Acquaint is what a worker says in the first superstep: its rows and columns, in a place of its own among zeros, so
// that adding these vectors up is writing them side by side. more is for what a program has to add.
func Acquaint[T data.Float](env *guagua.Env, t *data.Table[T], more ...float64) []float64 {
	v := make([]float64, env.Workers*(facts+len(more)))
	own := v[env.Worker*(facts+len(more)):]
	own[0], own[1] = float64(t.Rows), float64(t.Columns)
	if t.Sparse() {
		own[2] = 1
	}
	copy(own[facts:], more)
	return v
}

// facts is how many numbers a worker says of itself.
const facts = 3

// Company is what a master knows of its workers after the first superstep.
type Company struct {
	Rows    float64   // of all
	Before  []float64 // rows of the workers with lower indexes
	Columns int
	More    [][]float64
}

// Meet reads the sum of what Acquaint returned. It fails if the workers' columns do not fit together.
func Meet(workers int, sum []float64) (Company, error) {
	each := len(sum) / workers
	c := Company{Before: make([]float64, workers), More: make([][]float64, workers)}
	for i := range workers {
		own := sum[i*each : (i+1)*each]
		c.Before[i] = c.Rows
		c.Rows += own[0]
		c.Columns = max(c.Columns, int(own[1]))
		c.More[i] = own[facts:]
	}
	for i := range workers {
		if own := sum[i*each:]; own[2] == 0 && int(own[1]) != c.Columns {
			return c, differs(i, int(own[1]), c.Columns)
		}
	}
	return c, nil
}
