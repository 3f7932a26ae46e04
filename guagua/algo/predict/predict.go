// Package predict applies a model.json to a table: every worker writes a file predictions-NNNNN.csv (its index) with
// one line for each row that it read, in the input's order, under a line with names.
//
//	logistic-regression, neural-network   class, then the probability of each class (of 1, if there is one output)
//	linear-regression                     prediction
//	kmeans                                cluster, then the squared distance from its center
//
// Where the table has labels, which label=none denies, metrics.jsonl tells how well they were met: accuracy and mean
// log-loss, or half the mean squared difference. Files of a job whose bad rows are left out have no lines for these.
package predict

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"math"
	"strconv"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/data"
	"github.com/seed3322913c/runner/infra/errs"
)

// options are the parameters.
type options struct {
	data  data.Options
	model string
}

func read(p guagua.Params) (options, error) {
	r := p.Reader()
	o := options{data: data.ReadOptions(r, ""), model: r.String("model", "")}
	r.Check(o.model != "", "model is missing: the URI of a model.json")
	return o, r.Err()
}

// Program returns the program. It takes one iteration. Its parameters are model and those of package data.
func Program() guagua.Program {
	return guagua.App[float64, []float64]{
		Title:  "predict",
		Result: guagua.Float64{}, Part: guagua.Floats{}, Combine: guagua.AddVectors(),
		Master: func(context.Context, *guagua.Env) (guagua.Master[float64, []float64], error) { return master{}, nil },
		Worker: func(ctx context.Context, env *guagua.Env) (guagua.Worker[float64, []float64], error) {
			o, err := read(env.Params)
			if err != nil {
				return nil, err
			}
			m, err := model.Read(ctx, env.Open, o.model)
			return &worker{env: env, o: o, model: m}, err
		},
		Total: func(guagua.Params, int) int { return 1 },
		Files: func(guagua.Params) []string { return []string{"model"} },
		Check: func(p guagua.Params) error { _, err := read(p); return err },
		Whole: func(p guagua.Params, uri string) bool {
			o, err := read(p)
			return err != nil || !o.data.Splittable(uri)
		},
	}.Program()
}

// master tells how well the labels were met.
type master struct{}

// The numbers of a worker's result.
const (
	rows = iota
	labeled
	right // below 0 if it is not a matter of right and wrong
	loss
	numbers
)

func (master) Compute(_ context.Context, s *guagua.Step, _ float64, results iter.Seq[[]float64]) (float64, error) {
	for sum := range results {
		r := guagua.Record{Final: true, Values: map[string]float64{"rows": sum[rows]}}
		if sum[labeled] > 0 {
			r.Values["loss"] = sum[loss] / sum[labeled]
			if sum[right] >= 0 {
				r.Values["accuracy"] = sum[right] / sum[labeled]
			}
		}
		s.Record(r)
		return sum[rows], nil
	}
	return 0, nil
}

// worker writes the file, before it says that it has.
type worker struct {
	env   *guagua.Env
	o     options
	model model.Model
	table *data.Table[float64]
}

func (w *worker) Load(ctx context.Context, in guagua.Split) (err error) {
	o := w.o.data
	if o.Label == "" {
		if o.Label = "1"; w.model.Kind == model.KMeans {
			o.Label = "none"
		}
	}
	if _, told := w.env.Params["scale"]; !told && w.model.Scale != 0 {
		o.Scale = w.model.Scale
	}
	o.Labels = w.labels()
	if w.table, err = data.Load[float64](ctx, w.env, in, o); err != nil {
		return err
	}
	if w.table.Sparse() && w.table.Columns < w.model.Features {
		w.table.Widen(w.model.Features)
	}
	if w.table.Columns != w.model.Features {
		return errs.Errorf("predict.Load", errs.Invalid, nil, "the rows have %d features, the model has %d",
			w.table.Columns, w.model.Features)
	}
	return nil
}

// labels says how labels become the numbers of classes, as when the model was trained.
func (w *worker) labels() data.Labels {
	switch m := &w.model; {
	case m.Positive != "":
		return data.Positive(m.Positive)
	case m.Classes != nil:
		return data.Classes(m.Classes)
	case len(m.Layers) > 0 && m.Layers[len(m.Layers)-1].Activation == model.Sigmoid:
		return data.Binary()
	}
	return data.Labels{}
}

func (w *worker) Close(context.Context, error) error {
	if w.table == nil {
		return nil
	}
	return w.table.Close()
}

func (w *worker) Compute(ctx context.Context, _ *guagua.Step, _ float64) ([]float64, error) {
	file, err := w.env.Create(ctx, fmt.Sprintf("predictions-%05d.csv", w.env.Worker))
	if err != nil {
		return nil, err
	}
	defer file.Abort(ctx) // no effect once committed
	out := bufio.NewWriterSize(file, 1<<20)
	out.WriteString(w.names() + "\n")
	sum, line := make([]float64, numbers), []byte(nil)
	for b, err := range w.table.Range(0, w.table.Rows) {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		x := b.Dense(nil)
		for i := range b.Rows {
			v := w.model.Outputs(x[i*b.Columns : (i+1)*b.Columns])
			if b.Y != nil {
				w.judge(v, b.Y[i], sum)
			}
			sum[rows]++
			line = append(w.line(line[:0], v), '\n')
			out.Write(line)
		}
	}
	if err := out.Flush(); err != nil { // bufio keeps the first error
		return nil, err
	}
	return sum, file.Commit(ctx)
}

// names is the first line of a file.
func (w *worker) names() string {
	switch m := &w.model; {
	case m.Kind == model.KMeans:
		return "cluster,distance"
	case w.regression():
		return "prediction"
	case w.outputs() == 1:
		return "class,p1"
	}
	text := "class"
	for i := range w.outputs() {
		text += "," + "p" + strconv.Itoa(i)
	}
	return text
}

func (w *worker) outputs() int { return len(w.model.Layers[len(w.model.Layers)-1].Bias) }

func (w *worker) regression() bool {
	return w.model.Kind != model.KMeans && w.model.Layers[len(w.model.Layers)-1].Activation == model.Identity
}

// line appends what a file says of one row.
func (w *worker) line(b []byte, v []float64) []byte {
	number := func(x float64) { b = strconv.AppendFloat(b, x, 'g', -1, 64) }
	switch m := &w.model; {
	case m.Kind == model.KMeans:
		best := nearest(v)
		b = append(strconv.AppendInt(b, int64(best), 10), ',')
		number(v[best])
		return b
	case w.regression():
		number(v[0])
		return b
	}
	b = append(b, w.class(v)...)
	for _, p := range v {
		b = append(b, ',')
		number(p)
	}
	return b
}

// class names the class that a model's outputs speak for.
func (w *worker) class(v []float64) string {
	if len(v) > 1 {
		if w.model.Classes != nil {
			return w.model.Classes[model.Best(v)]
		}
		return strconv.Itoa(model.Best(v))
	}
	switch {
	case v[0] <= 0.5 && w.model.Positive != "":
		return "not " + w.model.Positive
	case v[0] <= 0.5:
		return "0"
	case w.model.Positive != "":
		return w.model.Positive
	}
	return "1"
}

func nearest(distances []float64) int {
	best := 0
	for i, d := range distances {
		if d < distances[best] {
			best = i
		}
	}
	return best
}

// judge compares outputs with a label.
func (w *worker) judge(v []float64, y float64, sum []float64) {
	sum[labeled]++
	switch {
	case w.model.Kind == model.KMeans:
		sum[loss] += v[nearest(v)]
		sum[right]--
	case w.regression():
		sum[loss] += (v[0] - y) * (v[0] - y) / 2
		sum[right]--
	case len(v) == 1:
		p := v[0]
		if y == 0 {
			p = 1 - p
		}
		sum[loss] -= math.Log(p)
		if (v[0] > 0.5) == (y == 1) {
			sum[right]++
		}
	default:
		if c := int(y); c >= 0 && c < len(v) && y == float64(c) {
			sum[loss] -= math.Log(v[c])
		}
		if y == float64(model.Best(v)) {
			sum[right]++
		}
	}
}
