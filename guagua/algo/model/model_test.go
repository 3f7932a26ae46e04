package model

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
)

func TestNumbersSurvive(t *testing.T) {
	m := Model{
		Format: format, Version: version, Kind: Network, Features: 2, Scale: 255, Classes: []string{"a", "b"},
		Layers: []Layer{
			{Tanh, [][]float64{{0.1, math.MaxFloat64}, {5e-324, -1.0 / 3}, {0, 1}}, []float64{1, 2, 3}},
			{Softmax, [][]float64{{1, 2, 3}, {4, 5, 6}}, []float64{0.5, -0.5}},
		},
		Training: Training{7, 0.25},
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Parse(text)
	if d := cmp.Diff(m, back); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestOutputs(t *testing.T) {
	m := Model{Layers: []Layer{
		{ReLU, [][]float64{{1, 0}, {0, -1}}, []float64{0, 1}},
		{Sigmoid, [][]float64{{2, 3}}, []float64{-4}},
	}}
	if got := m.Outputs([]float64{2, 0.5}); math.Abs(got[0]-1/(1+math.Exp(-1.5))) > 1e-15 {
		t.Error(got)
	}
	v := []float64{1000, 1001}
	if Softmax.Apply(v); math.Abs(v[1]-1/(1+math.Exp(-1))) > 1e-12 {
		t.Error(v)
	}
	k := Model{Kind: KMeans, Centers: [][]float64{{0, 0}, {3, 4}}}
	if got := k.Outputs([]float64{0, 0}); got[0] != 0 || got[1] != 25 {
		t.Error(got)
	}
}

// FuzzParse: whatever a file holds, what is accepted can be applied.
func FuzzParse(f *testing.F) {
	f.Add(`{"format":"runner-model","version":1,"kind":"kmeans","features":2,"centers":[[1,2]]}`)
	f.Add(`{"format":"runner-model","version":1,"kind":"linear-regression","features":1,` +
		`"layers":[{"activation":"identity","weights":[[1]],"bias":[3]}]}`)
	f.Add(`{"format":"runner-model","version":1,"kind":"neural-network","features":1,"classes":["a"],` +
		`"layers":[{"activation":"relu","weights":[[1],[2]],"bias":[3,4]},{"weights":[[1,2]],"bias":[0]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Parse([]byte(text))
		if err != nil {
			if !errors.Is(err, errs.Invalid) {
				t.Error(err)
			}
			return
		}
		if m.Features < 1<<16 {
			m.Outputs(make([]float64, m.Features))
		}
	})
}

func TestBadModels(t *testing.T) {
	const head = `{"format":"runner-model","version":1,"features":2,"kind":`
	for text, want := range map[string]string{
		`[`: "unexpected end", `{}`: "not runner-model version 1", `{"format":"runner-model","version":2}`: "version 2",
		head + `"kmeans"}`:                                                              "0 layers and 0 centers",
		head + `"kmeans","centers":[[1]]}`:                                              "a center has 1 numbers",
		head + `"x","layers":[{"weights":[[1]],"bias":[1]}]}`:                           "a row of 1",
		head + `"x","layers":[{"weights":[[1]],"bias":[]}]}`:                            "0 biases",
		head + `"x","classes":["a"],"layers":[{"weights":[[1,2],[3,4]],"bias":[1,2]}]}`: "1 classes for 2",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
