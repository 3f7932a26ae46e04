package predict_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/kmeans"
	"github.com/seed3322913c/runner/guagua/algo/linear"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/algo/network"
	"github.com/seed3322913c/runner/guagua/algo/predict"
	"github.com/seed3322913c/runner/guagua/guaguatest"
)

// table has two classes, by the sign of the first feature; features are in tenths.
func table(names ...string) string {
	var b strings.Builder
	for i := range 120 {
		class := 0
		if i%2 == 1 {
			class = 1
		}
		fmt.Fprintf(&b, "%s,%d,%d\n", names[class], (2*class-1)*(5+i%7), i%5)
	}
	return b.String()
}

// TestAppliesWhatWasTrained trains, predicts with several workers, and finds the final loss again.
func TestAppliesWhatWasTrained(t *testing.T) {
	for _, c := range []struct {
		name   string
		train  guagua.Program
		params guagua.Params
		csv    string
		head   string
		lines  [2]string // how the lines of the first two rows begin
	}{
		{"positive", linear.Logistic(), guagua.Params{"positive": "yes", "scale": "10"}, table("no", "yes"),
			"class,p1", [2]string{"not yes,0.", "yes,0."}},
		{"binary", linear.Logistic(), nil, table("-1", "1"), "class,p1", [2]string{"0,", "1,"}},
		{"classes", linear.Logistic(), guagua.Params{"classes": "no,yes"}, table("no", "yes"),
			"class,p0,p1", [2]string{"no,0.", "yes,"}},
		{"network", network.Program(), guagua.Params{"layers": "2-3-2", "scale": "10"}, table("0", "1"),
			"class,p0,p1", [2]string{"0,0.", "1,0."}},
		{"regression", linear.Regression(), guagua.Params{"scale": "10"}, table("-1", "1"),
			"prediction", [2]string{"-", "0."}},
		{"kmeans", kmeans.Program(), guagua.Params{"k": "2", "init": "first", "label": "1"},
			table("0", "1"), "cluster,distance", [2]string{"0,", "1,"}},
	} {
		files := map[string]string{"a.csv": c.csv}
		trained, err := guaguatest.RunProgram(t.Context(), c.train, guaguatest.Options{
			Workers: 2, Iterations: 40, Params: c.params, Files: files,
		})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for workers := 1; workers <= 3; workers++ {
			o := guaguatest.Options{
				Workers: workers, Params: guagua.Params{"model": "m.json"}, Files: files,
				Extra: map[string]string{"m.json": string(trained.Files[model.FileName])}, Chaos: 3, Seed: uint64(workers),
			}
			if c.name == "kmeans" {
				o.Params["label"] = "1"
			}
			out, err := guaguatest.RunProgram(t.Context(), predict.Program(), o)
			if err != nil || len(out.Files) != workers || len(out.Lines) != 1 {
				t.Fatalf("%s: %d files, %d lines of metrics, %v", c.name, len(out.Files), len(out.Lines), err)
			}
			var lines []string
			for i := range workers {
				head, rest, _ := strings.Cut(string(out.Files[fmt.Sprintf("predictions-%05d.csv", i)]), "\n")
				if head != c.head {
					t.Errorf("%s: first line %q", c.name, head)
				}
				lines = append(lines, strings.Split(strings.TrimSuffix(rest, "\n"), "\n")...)
			}
			if len(lines) != 120 || !strings.HasPrefix(lines[0], c.lines[0]) || !strings.HasPrefix(lines[1], c.lines[1]) {
				t.Errorf("%s: %d lines, the first are %q and %q", c.name, len(lines), lines[0], lines[1])
			}
			want := trained.Lines[len(trained.Lines)-1]
			got := out.Lines[0]
			loss := want.Loss()
			if c.name == "kmeans" {
				loss /= 120
			}
			if math.Abs(got.Loss()-loss) > 1e-9*loss || got.Values["accuracy"] != want.Values["accuracy"] {
				t.Errorf("%s: %+v, trained to %+v", c.name, got, want)
			}
		}
	}
}

func TestMistakes(t *testing.T) {
	m := `{"format":"runner-model","version":1,"kind":"linear-regression","features":2,` +
		`"layers":[{"activation":"identity","weights":[[1,2]],"bias":[3]}]}`
	for _, c := range []struct {
		params guagua.Params
		want   string
	}{
		{guagua.Params{}, "model is missing"},
		{guagua.Params{"model": "x"}, "x: not found"},
		{guagua.Params{"model": "bad"}, `this is "" version 0, not runner-model version 1`},
		{guagua.Params{"model": "m", "label": "none"}, "the rows have 3 features, the model has 2"},
	} {
		_, err := guaguatest.RunProgram(t.Context(), predict.Program(), guaguatest.Options{
			Params: c.params, Files: map[string]string{"a.csv": "1,2,3\n"}, Extra: map[string]string{"m": m, "bad": "{}"},
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.params, err, c.want)
		}
	}
}
