package sum_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/sum"
	"github.com/seed3322913c/runner/guagua/guaguatest"
)

var files = map[string]string{"a": "1\n2\n3\n", "b": "2\n3\n4\n"}

func TestOracle(t *testing.T) {
	last, out, err := guaguatest.Run(t.Context(), sum.App(), guaguatest.Options{Workers: 2, Iterations: 10, Files: files})
	if err != nil || last != 15345 || string(out.Files[sum.FileName]) != "15345\n" || len(out.Lines) != 10 {
		t.Errorf("%g, %q, %v", last, out.Files[sum.FileName], err)
	}
	for i, l := range out.Lines {
		if want := 15 * float64(int(1)<<(i+1)-1); l.Values["sum"] != want || l.Iteration != i+1 {
			t.Errorf("iteration %d: %+v, want %g", i+1, l, want)
		}
	}
}

func TestHaltsAboveTheLimit(t *testing.T) {
	for params, want := range map[string]float64{"": 1966065, "100": 105} {
		p := guagua.Params{"halt-above": params}
		if params == "" {
			p = nil
		}
		o := guaguatest.Options{Workers: 2, Iterations: 50, Files: files, Params: p}
		last, _, err := guaguatest.Run(t.Context(), sum.App(), o)
		if err != nil || last != want {
			t.Errorf("halt-above=%s: %g, want %g, %v", params, last, want, err)
		}
	}
}

// TestWhateverDies kills, cuts, doubles and delays: the answer stays.
func TestWhateverDies(t *testing.T) {
	for seed := range uint64(300) {
		o := guaguatest.Options{Workers: 2, Iterations: 10, Files: files, Seed: seed, Chaos: int(seed % 9)}
		last, out, err := guaguatest.Run(t.Context(), sum.App(), o)
		if err != nil || last != 15345 || len(out.Lines) != 10 {
			t.Fatalf("seed %d: %g, %d lines, %v", seed, last, len(out.Lines), err)
		}
	}
	for worker := guagua.MasterIndex; worker < 2; worker++ {
		for iteration := 1; iteration <= 10; iteration++ {
			for kind := guaguatest.Kill; kind <= guaguatest.Stall; kind++ {
				f := guaguatest.Fault{Worker: worker, Iteration: iteration, Kind: kind}
				o := guaguatest.Options{Workers: 2, Iterations: 10, Files: files}
				o.Faults = append(o.Faults, f)
				last, out, err := guaguatest.Run(t.Context(), sum.App(), o)
				if err != nil || last != 15345 {
					t.Errorf("%+v: %g, %v", f, last, err)
				}
				if kind == guaguatest.Kill && out.Attempts[worker] != 2 {
					t.Errorf("%+v: %d attempts", f, out.Attempts[worker])
				}
			}
		}
	}
}

func Example() {
	out, _, err := guaguatest.Run(context.Background(), sum.App(),
		guaguatest.Options{Workers: 2, Iterations: 10, Files: files})
	fmt.Println(out, err)
	// Output: 15345 <nil>
}
