// Package kmeans finds clusters by Lloyd's algorithm: every row belongs to the nearest center, every center moves to
// the mean of its rows, and so on. A center without rows stays where it is.
//
// The first centers are, by the parameter init:
//
//	first      the first k rows of the input
//	kmeans++   a row by chance, then each time a row with a chance proportional to its squared distance from the nearest
//	           center so far (Arthur and Vassilvitskii, 2007). Chance is a function of seed, row and round, so the choice
//	           does not depend on how many workers there are
//	a URI      those of a model.json
//
// Supersteps: one for acquaintance, one (first) or k (kmeans++) for the first centers, then one for each iteration and
// one more to measure the inertia at the end: the sum of the squared distances of all rows from their centers. The
// parameter tolerance ends it when no center moves by more, as a squared distance; 0 means when none moves at all.
package kmeans

import (
	"context"
	"math"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/data"
)

// options are the parameters.
type options struct {
	data      data.Options
	k         int
	init      string
	seed      uint64
	tolerance float64
	single    bool
}

func read(p guagua.Params) (options, error) {
	r := p.Reader()
	o := options{
		data:      data.ReadOptions(r, "none"),
		k:         r.Int("k", 0, 1, math.MaxInt32),
		init:      r.String("init", "kmeans++"),
		seed:      uint64(r.Int("seed", 1, 0, math.MaxInt)),
		tolerance: r.Float("tolerance", 0, 0, math.MaxFloat64),
		single:    r.OneOf("precision", "float64", "float32") == "float32",
	}
	r.Check(o.k > 0 || p["k"] != "", "k is missing: how many clusters?")
	return o, r.Err()
}

// rounds returns how many supersteps the first centers take.
func (o *options) rounds() int {
	switch o.init {
	case "first":
		return 1
	case "kmeans++":
		return o.k
	}
	return 0
}

// Program returns the program. Its parameters are k, init, seed, tolerance, precision, and those of package data.
func Program() guagua.Program {
	return guagua.App[[]float64, []float64]{
		Title:  model.KMeans,
		Result: guagua.Floats{}, Part: guagua.Floats{}, Combine: guagua.AddVectors(),
		Master: func(_ context.Context, env *guagua.Env) (guagua.Master[[]float64, []float64], error) {
			o, err := read(env.Params)
			return &master{env: env, o: o}, err
		},
		Worker: func(_ context.Context, env *guagua.Env) (guagua.Worker[[]float64, []float64], error) {
			o, err := read(env.Params)
			if o.single {
				return &worker[float32]{env: env, o: o}, err
			}
			return &worker[float64]{env: env, o: o}, err
		},
		Total: func(p guagua.Params, iterations int) int {
			o, _ := read(p) // checked already
			return 1 + o.rounds() + iterations + 1
		},
		Check: func(p guagua.Params) error { _, err := read(p); return err },
		Files: func(p guagua.Params) []string {
			if o, _ := read(p); o.rounds() == 0 {
				return []string{"init"}
			}
			return nil
		},
		Whole: func(p guagua.Params, uri string) bool {
			o, err := read(p)
			return err != nil || !o.data.Splittable(uri)
		},
	}.Program()
}

// The phases of the algorithm.
const (
	gathering = iota // the first rows
	choosing         // the next center by chance
	moving           // Lloyd's iterations
)

// order is a master result: what the workers are to do next.
type order struct {
	phase   int
	columns int
	before  []float64 // by worker: how many rows come before its own
	centers []float64 // row by row
}

// encode writes the phase, the columns, before, and the centers.
func (o *order) encode() []float64 {
	v := append(make([]float64, 0, 2+len(o.before)+len(o.centers)), float64(o.phase), float64(o.columns))
	return append(append(v, o.before...), o.centers...)
}

func decode(v []float64, workers int) order {
	return order{int(v[0]), int(v[1]), v[2 : 2+workers], v[2+workers:]}
}

// count returns how many centers there are.
func (o *order) count() int { return len(o.centers) / max(1, o.columns) }

// center returns one of them.
func (o *order) center(i int) []float64 { return o.centers[i*o.columns : (i+1)*o.columns] }
