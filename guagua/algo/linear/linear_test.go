package linear

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/algo/train"
	"github.com/seed3322913c/runner/guagua/data"
	"github.com/seed3322913c/runner/guagua/guaguatest"
)

// sample is a table that can be separated, but not perfectly.
type sample struct {
	x [][]float64
	y []float64
}

func newSample(seed uint64, rows, columns, classes int) sample {
	r := rand.New(rand.NewPCG(seed, 1))
	var s sample
	for range rows {
		x, z := make([]float64, columns), make([]float64, max(2, classes))
		for j := range x {
			if x[j] = math.Round(r.NormFloat64()*1e4) / 1e4; r.IntN(3) == 0 {
				x[j] = 0
			}
			z[j%len(z)] += x[j]
		}
		for j := range z {
			z[j] += r.NormFloat64()
		}
		y := float64(model.Best(z))
		if classes == 0 {
			y = z[0]
		}
		s.x, s.y = append(s.x, x), append(s.y, y)
	}
	return s
}

func (s sample) csv() string {
	var b strings.Builder
	for i, row := range s.x {
		b.WriteString(strconv.FormatFloat(s.y[i], 'g', -1, 64))
		for _, v := range row {
			b.WriteString("," + strconv.FormatFloat(v, 'g', -1, 64))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (s sample) svm() string {
	var b strings.Builder
	for i, row := range s.x {
		b.WriteString(strconv.FormatFloat(s.y[i], 'g', -1, 64))
		for j, v := range row {
			if v != 0 {
				fmt.Fprintf(&b, " %d:%g", j+1, v)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// evaluate is an independent, plain implementation: mean loss and gradient at w (one row for each output, the bias
// last).
func (s sample) evaluate(kind string, w [][]float64, l2 float64) (loss float64, g [][]float64) {
	n := float64(len(s.x))
	g = make([][]float64, len(w))
	for k := range w {
		g[k] = make([]float64, len(w[k]))
	}
	for i, x := range s.x {
		z := make([]float64, len(w))
		for k := range w {
			z[k] = w[k][len(x)]
			for j, v := range x {
				z[k] += w[k][j] * v
			}
		}
		r := make([]float64, len(w))
		switch {
		case kind == model.Linear:
			r[0] = z[0] - s.y[i]
			loss += r[0] * r[0] / 2 / n
		case len(w) == 1:
			p := 1 / (1 + math.Exp(-z[0]))
			r[0] = p - s.y[i]
			loss -= (s.y[i]*math.Log(p) + (1-s.y[i])*math.Log(1-p)) / n
		default:
			sum := 0.0
			for _, v := range z {
				sum += math.Exp(v)
			}
			for k := range z {
				r[k] = math.Exp(z[k]) / sum
			}
			loss -= math.Log(r[int(s.y[i])]) / n
			r[int(s.y[i])]--
		}
		for k := range w {
			for j, v := range x {
				g[k][j] += r[k] * v / n
			}
			g[k][len(x)] += r[k] / n
		}
	}
	for k := range w {
		for j := range w[k][:len(w[k])-1] {
			loss += l2 / 2 * w[k][j] * w[k][j]
			g[k][j] += l2 * w[k][j]
		}
	}
	return loss, g
}

// descend is gradient descent over evaluate; it returns the loss before each step and after the last.
func (s sample) descend(kind string, outputs, steps int, rate, momentum, l2 float64) (losses []float64, w [][]float64) {
	w, v := make([][]float64, outputs), make([][]float64, outputs)
	for k := range w {
		w[k], v[k] = make([]float64, len(s.x[0])+1), make([]float64, len(s.x[0])+1)
	}
	for t := 0; ; t++ {
		loss, g := s.evaluate(kind, w, l2)
		if losses = append(losses, loss); t == steps {
			return losses, w
		}
		for k := range w {
			for j := range w[k] {
				v[k][j] = momentum*v[k][j] + g[k][j]
				w[k][j] -= rate * v[k][j]
			}
		}
	}
}

func close9(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b)) }

// TestLossesAreThoseOfAReference: to 1e-9 in every iteration, for every number of workers and threads, dense and
// sparse.
func TestLossesAreThoseOfAReference(t *testing.T) {
	const steps = 15
	for _, c := range []struct {
		name    string
		program guagua.Program
		kind    string
		outputs int
		params  guagua.Params
	}{
		{"binary", Logistic(), model.Logistic, 1, guagua.Params{"learning-rate": "0.5", "positive": "1"}},
		{"momentum", Logistic(), model.Logistic, 1,
			guagua.Params{"optimizer": "momentum", "learning-rate": "0.3", "l2": "0.01"}},
		{"multinomial", Logistic(), model.Logistic, 4, guagua.Params{"learning-rate": "0.5", "classes": "4", "l2": "0.1"}},
		{"regression", Regression(), model.Linear, 1, guagua.Params{"learning-rate": "0.1"}},
	} {
		classes := 2
		if c.outputs > 1 {
			classes = c.outputs
		} else if c.kind == model.Linear {
			classes = 0
		}
		s := newSample(7, 700, 9, classes)
		rate, _ := strconv.ParseFloat(c.params["learning-rate"], 64)
		l2, _ := strconv.ParseFloat(c.params["l2"], 64)
		momentum := 0.0
		if c.params["optimizer"] == "momentum" {
			momentum = 0.9
		}
		want, w := s.descend(c.kind, c.outputs, steps, rate, momentum, l2)
		for workers := 1; workers <= 5; workers++ {
			for file, text := range map[string]string{"a.csv": s.csv(), "a.svm": s.svm()} {
				out, err := guaguatest.RunProgram(t.Context(), c.program, guaguatest.Options{
					Workers: workers, Iterations: steps, Threads: workers, Params: c.params,
					Files: map[string]string{file: text},
				})
				if err != nil || len(out.Lines) != steps+1 {
					t.Fatalf("%s: %d lines, %v", c.name, len(out.Lines), err)
				}
				for i, l := range out.Lines {
					if !close9(l.Loss(), want[i]) || l.Final != (i == steps) || !l.Final && l.Iteration != i+1 {
						t.Fatalf("%s, %d workers, %s, line %d: %+v, want loss %v", c.name, workers, file, i, l, want[i])
					}
				}
				m, err := model.Parse(out.Files[model.FileName])
				if err != nil || len(m.Layers[0].Bias) != c.outputs || m.Training.Iterations != steps {
					t.Fatalf("%s: %v, %+v", c.name, err, m.Training)
				}
				for k := range w {
					for j, v := range append(m.Layers[0].Weights[k], m.Layers[0].Bias[k]) {
						if math.Abs(v-w[k][j]) > 1e-9 {
							t.Fatalf("%s: weight %d of output %d is %v, want %v", c.name, j, k, v, w[k][j])
						}
					}
				}
			}
		}
	}
}

// TestGradients compares the kernels with finite differences of their own losses.
func TestGradients(t *testing.T) {
	for _, o := range []objective{
		{kind: model.Logistic, activation: model.Sigmoid, outputs: 1},
		{kind: model.Logistic, activation: model.Softmax, outputs: 3},
		{kind: model.Linear, activation: model.Identity, outputs: 1},
	} {
		const columns = 4
		s := newSample(3, 50, columns, max(2, o.outputs))
		b := data.Block[float64]{Rows: len(s.x), Columns: columns, Y: s.y}
		for _, row := range s.x {
			b.X = append(b.X, row...)
		}
		r := rand.New(rand.NewPCG(5, 5))
		x := make([]float64, o.outputs*(columns+1))
		for i := range x {
			x[i] = r.NormFloat64()
		}
		k := newKernel[float64](o, columns)
		at := func() train.Sum {
			sum := train.Sum{Gradient: make([]float64, len(x))}
			k.Add(x, b, &sum)
			return sum
		}
		g := at().Gradient
		for i := range x {
			const h = 1e-5
			keep := x[i]
			x[i] = keep + h
			above := at().Loss
			x[i] = keep - h
			below := at().Loss
			x[i] = keep
			if slope := (above - below) / (2 * h); math.Abs(slope-g[i]) > 1e-5*math.Max(1, math.Abs(slope)) {
				t.Errorf("%s with %d outputs: component %d is %v, want %v", o.kind, o.outputs, i, g[i], slope)
			}
		}
	}
}

// TestClosedForm: linear regression by lbfgs ends where the normal equations say.
func TestClosedForm(t *testing.T) {
	s := newSample(11, 400, 3, 0)
	out, err := guaguatest.RunProgram(t.Context(), Regression(), guaguatest.Options{
		Workers: 3, Iterations: 200, Params: guagua.Params{"optimizer": "lbfgs", "tolerance": "1e-10"},
		Files: map[string]string{"a.csv": s.csv()},
	})
	if err != nil {
		t.Fatal(err)
	}
	if out.Iterations > 60 {
		t.Errorf("the tolerance did not halt: %d iterations", out.Iterations)
	}
	m, err := model.Parse(out.Files[model.FileName])
	if err != nil {
		t.Fatal(err)
	}
	want := normalEquations(s)
	for j, v := range append(m.Layers[0].Weights[0], m.Layers[0].Bias[0]) {
		if math.Abs(v-want[j]) > 1e-8 {
			t.Errorf("coefficient %d is %v, want %v", j, v, want[j])
		}
	}
}

// normalEquations solves (X'X) w = X'y by Gauss's elimination; the bias comes last.
func normalEquations(s sample) []float64 {
	n := len(s.x[0]) + 1
	a := make([][]float64, n)
	for i := range a {
		a[i] = make([]float64, n+1)
	}
	for k, row := range s.x {
		x := append(append([]float64(nil), row...), 1)
		for i := range x {
			for j := range x {
				a[i][j] += x[i] * x[j]
			}
			a[i][n] += x[i] * s.y[k]
		}
	}
	for i := range a {
		for k := range a {
			if f := a[k][i] / a[i][i]; k != i {
				for j := range a[k] {
					a[k][j] -= f * a[i][j]
				}
			}
		}
	}
	w := make([]float64, n)
	for i := range w {
		w[i] = a[i][n] / a[i][i]
	}
	return w
}

// TestOptimizersAgree: all of them find the same minimum, whatever dies meanwhile.
func TestOptimizersAgree(t *testing.T) {
	s := newSample(13, 500, 5, 2)
	losses := map[string]float64{}
	for optimizer, steps := range map[string]int{"gd": 1500, "momentum": 600, "adam": 1500, "lbfgs": 100} {
		p := guagua.Params{"optimizer": optimizer, "learning-rate": "0.5", "l2": "0.05", "tolerance": "1e-9"}
		o := guaguatest.Options{Workers: 2, Iterations: steps, Params: p, Files: map[string]string{"a.csv": s.csv()}}
		want, err := guaguatest.RunProgram(t.Context(), Logistic(), o)
		if err != nil {
			t.Fatal(err)
		}
		losses[optimizer] = want.Lines[len(want.Lines)-1].Loss()
		o.Chaos, o.Seed = 20, 5
		o.Iterations = min(steps, 100)
		got, err := guaguatest.RunProgram(t.Context(), Logistic(), o)
		o.Chaos = 0
		same, err2 := guaguatest.RunProgram(t.Context(), Logistic(), o)
		if err != nil || err2 != nil || string(got.Files[model.FileName]) != string(same.Files[model.FileName]) {
			t.Errorf("%s: faults changed the model: %v %v", optimizer, err, err2)
		}
		if len(got.Lines) != len(same.Lines) {
			t.Errorf("%s: faults changed the number of lines from %d to %d", optimizer, len(same.Lines), len(got.Lines))
		}
	}
	for optimizer, loss := range losses {
		if math.Abs(loss-losses["lbfgs"]) > 1e-7 {
			t.Errorf("%s ends at %v, lbfgs at %v", optimizer, loss, losses["lbfgs"])
		}
	}
}

func TestSinglePrecision(t *testing.T) {
	s := newSample(17, 600, 8, 3)
	loss := map[string]float64{}
	for _, precision := range []string{"float64", "float32"} {
		out, err := guaguatest.RunProgram(t.Context(), Logistic(), guaguatest.Options{
			Workers: 2, Iterations: 30,
			Params: guagua.Params{"precision": precision, "classes": "3", "learning-rate": "0.5"},
			Files:  map[string]string{"a.csv": s.csv()},
		})
		if err != nil {
			t.Fatal(err)
		}
		loss[precision] = out.Lines[30].Loss()
	}
	if d := math.Abs(loss["float64"] - loss["float32"]); d == 0 || d > 1e-5 {
		t.Errorf("%v", loss)
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		program guagua.Program
		params  guagua.Params
		file    string
		want    string
	}{
		{Logistic(), nil, "3,1\n0,2\n", "label 3 is neither 0 nor 1: name the positive one, or the classes"},
		{Logistic(), guagua.Params{"classes": "3"}, "3,1\n0,2\n", "label 3 is no whole number from 0 to 2"},
		{Logistic(), guagua.Params{"classes": "a,b"}, "c,1\n", `label "c" is none of a, b`},
		{Logistic(), guagua.Params{"classes": "1"}, "", "classes=1: at least 2"},
		{Logistic(), guagua.Params{"positive": "1", "classes": "2"}, "", "say one of them"},
		{Logistic(), guagua.Params{"learning_rate": "1"}, "", `did you mean "learning-rate"?`},
		{Logistic(), guagua.Params{"learning-rate": "-1"}, "", "learning-rate=-1: must be a number"},
		{Regression(), guagua.Params{"learning-rate": "1e200"}, "1,1e100\n2,3\n", "try a learning-rate below 1e+200"},
	} {
		_, err := guaguatest.RunProgram(t.Context(), c.program, guaguatest.Options{
			Iterations: 10, Params: c.params, Files: map[string]string{"a.csv": c.file},
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.params, err, c.want)
		}
	}
	_, err := guaguatest.RunProgram(t.Context(), Regression(), guaguatest.Options{
		Workers: 2, Iterations: 3, Files: map[string]string{"a.csv": "1,2,3\n", "b.csv": "1,2,3,4\n"},
	})
	if err == nil || !strings.Contains(err.Error(), "fields, want") && !strings.Contains(err.Error(), "features") {
		t.Error(err)
	}
}

// BenchmarkGradient is one full-batch gradient of logistic regression over 60,000 rows of 784 columns, as those of
// Fashion-MNIST.
func BenchmarkGradient(b *testing.B) {
	b.Run("float64", func(b *testing.B) { gradient[float64](b) })
	b.Run("float32", func(b *testing.B) { gradient[float32](b) })
}

func gradient[T data.Float](b *testing.B) {
	const rows, columns, threads = 60_000, 784, 2
	o := objective{kind: model.Logistic, activation: model.Sigmoid, outputs: 1}
	r := rand.New(rand.NewPCG(1, 1))
	x := make([]T, rows*columns)
	for i := range x {
		x[i] = T(r.Uint32()&255) / 255
	}
	y := make([]float64, rows)
	for i := range y {
		y[i] = float64(i % 2)
	}
	w := make([]T, columns+1)
	done := make(chan bool, threads)
	b.SetBytes(int64(len(x)) * 8)
	for b.Loop() {
		for i := range threads {
			go func() {
				k, sum := newKernel[T](o, columns), train.Sum{Gradient: make([]float64, columns+1)}
				lo, hi := rows*i/threads, rows*(i+1)/threads
				rows := data.Block[T]{Rows: hi - lo, Columns: columns, X: x[lo*columns : hi*columns], Y: y[lo:hi]}
				k.Add(w, rows, &sum)
				done <- true
			}()
		}
		for range threads {
			<-done
		}
	}
}
