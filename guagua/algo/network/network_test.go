package network

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/algo/train"
	"github.com/seed3322913c/runner/guagua/data"
	"github.com/seed3322913c/runner/guagua/guaguatest"
)

// rings are points whose class is a matter of their distance from the middle, which no linear model can tell.
func rings(seed uint64, rows, classes int) (x [][]float64, y []int, csv string) {
	r := rand.New(rand.NewPCG(seed, 2))
	var b strings.Builder
	for range rows {
		p := []float64{math.Round(r.NormFloat64()*1e4) / 1e4, math.Round(r.NormFloat64()*1e4) / 1e4}
		class := min(classes-1, int(math.Hypot(p[0], p[1])*float64(classes)/2))
		x, y = append(x, p), append(y, class)
		fmt.Fprintf(&b, "%d,%g,%g\n", class, p[0], p[1])
	}
	return x, y, b.String()
}

// reference trains plainly, row by row, from a model; it returns the loss before each step and after the last.
func reference(m model.Model, x [][]float64, y []int, steps int, rate float64) (losses []float64) {
	for t := 0; ; t++ {
		loss := 0.0
		var gw [][][]float64
		var gb [][]float64
		for _, l := range m.Layers {
			g := make([][]float64, len(l.Weights))
			for i := range g {
				g[i] = make([]float64, len(l.Weights[i]))
			}
			gw, gb = append(gw, g), append(gb, make([]float64, len(l.Bias)))
		}
		for r, row := range x {
			values := [][]float64{row}
			for _, l := range m.Layers {
				one := model.Model{Layers: []model.Layer{l}}
				values = append(values, one.Outputs(values[len(values)-1]))
			}
			out := values[len(values)-1]
			loss -= math.Log(out[y[r]])
			delta := append([]float64(nil), out...)
			delta[y[r]]--
			for i := len(m.Layers) - 1; i >= 0; i-- {
				before := make([]float64, len(values[i]))
				for o, d := range delta {
					gb[i][o] += d
					for j, v := range values[i] {
						gw[i][o][j] += d * v
						before[j] += d * m.Layers[i].Weights[o][j]
					}
				}
				if i > 0 {
					for j, v := range values[i] {
						before[j] *= 1 - v*v // tanh
					}
				}
				delta = before
			}
		}
		if losses = append(losses, loss/float64(len(x))); t == steps {
			return losses
		}
		for i, l := range m.Layers {
			for o := range l.Weights {
				l.Bias[o] -= rate * gb[i][o] / float64(len(x))
				for j := range l.Weights[o] {
					l.Weights[o][j] -= rate * gw[i][o][j] / float64(len(x))
				}
			}
		}
	}
}

func run(t *testing.T, workers, steps int, p guagua.Params, csv string, extra map[string]string) guaguatest.Outcome {
	t.Helper()
	out, err := guaguatest.RunProgram(t.Context(), Program(), guaguatest.Options{
		Workers: workers, Iterations: steps, Threads: 2, Params: p, Files: map[string]string{"a.csv": csv}, Extra: extra,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLossesAreThoseOfAReference also goes on from a model that was trained before.
func TestLossesAreThoseOfAReference(t *testing.T) {
	const steps = 10
	x, y, csv := rings(1, 300, 3)
	params := guagua.Params{"layers": "2-6-5-3", "activation": "tanh", "learning-rate": "0.4", "seed": "7"}
	first := run(t, 1, 1, params, csv, nil)
	old := string(first.Files[model.FileName])
	params["init"] = "old.json"
	for workers := 1; workers <= 4; workers++ {
		start, err := model.Parse([]byte(old))
		if err != nil {
			t.Fatal(err)
		}
		want := reference(start, x, y, steps, 0.4)
		out := run(t, workers, steps, params, csv, map[string]string{"old.json": old})
		if got := out.Lines[0].Loss(); got != first.Lines[1].Loss() && workers == 1 {
			t.Errorf("goes on at %v, ended at %v", got, first.Lines[1].Loss())
		}
		for i, l := range out.Lines {
			if math.Abs(l.Loss()-want[i]) > 1e-9*want[i] {
				t.Errorf("%d workers, line %d: %v, want %v", workers, i, l.Loss(), want[i])
			}
		}
	}
}

// TestGradients compares backpropagation with finite differences of its own loss.
func TestGradients(t *testing.T) {
	for _, n := range []objective{
		{layers: []int{3, 4, 2}, hidden: model.Tanh, output: model.Softmax},
		{layers: []int{3, 4, 3, 1}, hidden: model.Sigmoid, output: model.Sigmoid},
		{layers: []int{3, 5, 1}, hidden: model.ReLU, output: model.Identity},
		{layers: []int{3, 2, 4}, hidden: model.Identity, output: model.Softmax},
	} {
		r := rand.New(rand.NewPCG(3, 3))
		b := data.Block[float64]{Rows: 20, Columns: 3}
		for i := range b.Rows {
			b.Y = append(b.Y, float64(i%2))
			for range b.Columns {
				b.X = append(b.X, r.NormFloat64())
			}
		}
		size, err := n.Size(3)
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float64, size)
		for i := range x {
			x[i] = r.NormFloat64()
		}
		k := newKernel[float64](n)
		at := func() train.Sum {
			sum := train.Sum{Gradient: make([]float64, len(x))}
			k.Add(x, b, &sum)
			return sum
		}
		g := at().Gradient
		for i := range x {
			const h = 1e-6
			keep := x[i]
			x[i] = keep + h
			above := at().Loss
			x[i] = keep - h
			below := at().Loss
			x[i] = keep
			if slope := (above - below) / (2 * h); math.Abs(slope-g[i]) > 1e-5*math.Max(1, math.Abs(slope)) {
				t.Errorf("%v %v: component %d is %v, want %v", n.layers, n.hidden, i, g[i], slope)
			}
		}
	}
}

func TestLearnsWhatIsNotLinear(t *testing.T) {
	_, _, csv := rings(2, 600, 2)
	for name, params := range map[string]guagua.Params{
		"full batch": {"layers": "2-16-2", "optimizer": "adam", "learning-rate": "0.05"},
		"batches":    {"layers": "2-16-2", "optimizer": "momentum", "learning-rate": "0.1", "batch": "50"},
		"sigmoid":    {"layers": "2-16-1", "optimizer": "lbfgs", "activation": "tanh"},
		"float32":    {"layers": "2-16-2", "optimizer": "adam", "learning-rate": "0.05", "precision": "float32"},
	} {
		out := run(t, 2, 400, params, csv, nil)
		last := out.Lines[len(out.Lines)-1]
		if last.Values["accuracy"] < 0.97 || !last.Final {
			t.Errorf("%s: %+v", name, last)
		}
		m, err := model.Parse(out.Files[model.FileName])
		if err != nil || m.Kind != model.Network {
			t.Fatal(err)
		}
		p := m.Outputs([]float64{0.05, 0.05})
		inner := p[0]
		if len(p) == 1 {
			inner = 1 - p[0]
		}
		if inner < 0.9 {
			t.Errorf("%s: the middle belongs to class 0 with %v only", name, inner)
		}
	}
}

func TestWhateverDies(t *testing.T) {
	_, _, csv := rings(3, 200, 2)
	for name, params := range map[string]guagua.Params{
		"adam":    {"layers": "2-5-2", "optimizer": "adam"},
		"batches": {"layers": "2-5-2", "optimizer": "momentum", "batch": "30"},
	} {
		want := run(t, 3, 12, params, csv, nil)
		for seed := range uint64(15) {
			got, err := guaguatest.RunProgram(t.Context(), Program(), guaguatest.Options{
				Workers: 3, Iterations: 12, Params: params, Files: map[string]string{"a.csv": csv}, Seed: seed, Chaos: 12,
			})
			if err != nil || string(got.Files[model.FileName]) != string(want.Files[model.FileName]) {
				t.Fatalf("%s, seed %d: another model, %v", name, seed, err)
			}
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		params guagua.Params
		want   string
	}{
		{guagua.Params{}, "say how many inputs"},
		{guagua.Params{"layers": "784-x-10"}, "say how many inputs"},
		{guagua.Params{"layers": "3-4-2"}, "layers=3-4-2: 3 inputs, but the rows have 2 features"},
		{guagua.Params{"layers": "2-4-2", "output": "sigmoid"}, "output=sigmoid does not go with 2 outputs"},
		{guagua.Params{"layers": "2-4-2", "classes": "3"}, "there are 3 of them and 2 outputs"},
		{guagua.Params{"layers": "2-4-2", "positive": "1"}, "positive needs one output"},
		{guagua.Params{"layers": "2-4-2", "batch": "4", "optimizer": "lbfgs"}, "lbfgs needs all rows"},
		{guagua.Params{"layers": "2-4-2", "learning-rate": "1e300"}, "try a learning-rate below"},
		{guagua.Params{"layers": "2-4-2", "init": "other.json"}, "its layers are [2 1], not [2 4 2]"},
	} {
		_, err := guaguatest.RunProgram(t.Context(), Program(), guaguatest.Options{
			Iterations: 20, Params: c.params, Files: map[string]string{"a.csv": "1,2,3\n0,3,1\n"},
			Extra: map[string]string{"other.json": `{"format":"runner-model","version":1,"kind":"logistic-regression",
				"features":2,"layers":[{"activation":"sigmoid","weights":[[1,2]],"bias":[3]}]}`},
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.params, err, c.want)
		}
	}
}
