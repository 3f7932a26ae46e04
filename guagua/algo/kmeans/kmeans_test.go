package kmeans

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/guaguatest"
)

// clouds are points around a few places.
func clouds(seed uint64, rows int) (points [][]float64, csv string) {
	r := rand.New(rand.NewPCG(seed, 2))
	var b strings.Builder
	for i := range rows {
		p := []float64{float64(i%5) * 3, float64(i % 3), 1000}
		for j := range p {
			p[j] += math.Round(r.NormFloat64()*1e3) / 1e3
		}
		points = append(points, p)
		fmt.Fprintf(&b, "%g,%g,%g\n", p[0], p[1], p[2])
	}
	return points, b.String()
}

// lloyd is a plain implementation; it returns the inertia before each step and after the last.
func lloyd(points, centers [][]float64, steps int) (inertia []float64) {
	for t := 0; ; t++ {
		sums, counts, total := make([][]float64, len(centers)), make([]float64, len(centers)), 0.0
		for _, p := range points {
			best := 0
			for k := range centers {
				if model.SquaredDistance(p, centers[k]) < model.SquaredDistance(p, centers[best]) {
					best = k
				}
			}
			total += model.SquaredDistance(p, centers[best])
			if sums[best] == nil {
				sums[best] = make([]float64, len(p))
			}
			for j, v := range p {
				sums[best][j] += v
			}
			counts[best]++
		}
		if inertia = append(inertia, total); t == steps {
			return inertia
		}
		for k := range centers {
			if counts[k] > 0 {
				mean := make([]float64, len(sums[k]))
				for j, v := range sums[k] {
					mean[j] = v / counts[k]
				}
				centers[k] = mean
			}
		}
	}
}

func TestInertiaIsThatOfAReference(t *testing.T) {
	const steps = 6
	points, csv := clouds(3, 500)
	want := lloyd(points, append([][]float64(nil), points[:7]...), steps)
	for workers := 1; workers <= 4; workers++ {
		out, err := guaguatest.RunProgram(t.Context(), Program(), guaguatest.Options{
			Workers: workers, Iterations: steps, Threads: 3, Params: guagua.Params{"k": "7", "init": "first"},
			Files: map[string]string{"a.csv": csv},
		})
		if err != nil || len(out.Lines) != steps+1 {
			t.Fatalf("%d lines, %v", len(out.Lines), err)
		}
		for i, l := range out.Lines {
			if got := l.Values["inertia"]; math.Abs(got-want[i]) > 1e-9*want[i] || l.Final != (i == steps) {
				t.Errorf("%d workers, line %d: %+v, want %v", workers, i, l, want[i])
			}
		}
	}
}

// TestChanceDoesNotDependOnWorkers: kmeans++ chooses the same rows for any number of workers, and good ones.
func TestChanceDoesNotDependOnWorkers(t *testing.T) {
	_, csv := clouds(4, 900)
	var first guaguatest.Outcome
	for workers := 1; workers <= 4; workers++ {
		out, err := guaguatest.RunProgram(t.Context(), Program(), guaguatest.Options{
			Workers: workers, Iterations: 100, Params: guagua.Params{"k": "15", "seed": "5"},
			Files: map[string]string{"a.csv": csv},
		})
		if err != nil {
			t.Fatal(err)
		}
		if workers == 1 {
			first = out
		}
		if len(out.Lines) != len(first.Lines) {
			t.Fatalf("%d workers need %d iterations, one needs %d", workers, len(out.Lines), len(first.Lines))
		}
		for i, l := range out.Lines {
			if want := first.Lines[i].Loss(); math.Abs(l.Loss()-want) > 1e-9*want {
				t.Errorf("%d workers, line %d: %v, want %v", workers, i, l.Loss(), want)
			}
		}
	}
	last := first.Lines[len(first.Lines)-1]
	if !last.Final || last.Loss() != first.Lines[len(first.Lines)-2].Loss() || len(first.Lines) > 90 {
		t.Errorf("it did not settle: %+v after %d lines", last, len(first.Lines))
	}
	if last.Loss() > 900*3 { // three coordinates with variance 1
		t.Errorf("inertia %v", last.Loss())
	}
}

func TestGoesOnFromAModel(t *testing.T) {
	points, csv := clouds(5, 300)
	run := func(steps int, init string, extra map[string]string) guaguatest.Outcome {
		out, err := guaguatest.RunProgram(t.Context(), Program(), guaguatest.Options{
			Workers: 2, Iterations: steps, Params: guagua.Params{"k": "4", "init": init, "precision": "float64"},
			Files: map[string]string{"a.csv": csv}, Extra: extra,
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	half := run(2, "first", nil)
	rest := run(3, "old/model.json", map[string]string{"old/model.json": string(half.Files[model.FileName])})
	want := lloyd(points, append([][]float64(nil), points[:4]...), 5)
	if got := rest.Lines[3].Loss(); math.Abs(got-want[5]) > 1e-9*want[5] {
		t.Errorf("2 and 3 steps end at %v, 5 at %v", got, want[5])
	}
}

func TestWhateverDies(t *testing.T) {
	_, csv := clouds(6, 300)
	for _, init := range []string{"first", "kmeans++"} {
		o := guaguatest.Options{Workers: 3, Iterations: 8, Params: guagua.Params{"k": "5", "init": init},
			Files: map[string]string{"a.csv": csv}}
		want, err := guaguatest.RunProgram(t.Context(), Program(), o)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(20) {
			o.Seed, o.Chaos = seed, 12
			got, err := guaguatest.RunProgram(t.Context(), Program(), o)
			if err != nil || string(got.Files[model.FileName]) != string(want.Files[model.FileName]) ||
				len(got.Lines) != len(want.Lines) {
				t.Fatalf("%s, seed %d: another model, %v", init, seed, err)
			}
		}
	}
}

func TestSparseAndSingle(t *testing.T) {
	svm := "0 1:1\n0 1:1.5\n0 2:9 3:1\n0 2:9.5 3:1\n"
	for _, precision := range []string{"float64", "float32"} {
		out, err := guaguatest.RunProgram(t.Context(), Program(), guaguatest.Options{
			Workers: 2, Iterations: 5, Params: guagua.Params{"k": "2", "precision": precision},
			Files: map[string]string{"a.svm": svm},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := out.Lines[len(out.Lines)-1].Loss(); math.Abs(got-0.25) > 1e-6 {
			t.Errorf("%s: inertia %v, want 0.25", precision, got)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		params guagua.Params
		csv    string
		want   string
	}{
		{guagua.Params{}, "1\n", "k is missing"},
		{guagua.Params{"k": "0"}, "1\n", "k=0: must be a number"},
		{guagua.Params{"k": "3"}, "1\n2\n", "k=3, but there are only 2 rows"},
		{guagua.Params{"k": "3"}, "1\n2\n2\n1\n", "k=3, but there are only 2 different rows"},
		{guagua.Params{"k": "2", "init": "m.json"}, "1\n2\n", "m.json"},
		{guagua.Params{"k": "1", "clusters": "2"}, "1\n", `unknown parameter "clusters"`},
	} {
		_, err := guaguatest.RunProgram(t.Context(), Program(), guaguatest.Options{
			Iterations: 3, Params: c.params, Files: map[string]string{"a.csv": c.csv},
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.params, err, c.want)
		}
	}
}

func TestOverflow(t *testing.T) {
	_, err := guaguatest.RunProgram(t.Context(), Program(), guaguatest.Options{
		Iterations: 3, Params: guagua.Params{"k": "1"}, Files: map[string]string{"a.csv": "1e200\n-1e200\n"},
	})
	if err == nil || !strings.Contains(err.Error(), "scale the features") {
		t.Error(err)
	}
}
