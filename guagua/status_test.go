package guagua

import "testing"

func TestStatus(t *testing.T) {
	for want, s := range map[string]Status{
		"iteration 0 of 1": {Iterations: 1},
		"iteration 23 of 60  loss 0.241  58.1 iterations/s": {23, 60, "loss", 0.241, 58.1},
		"iteration 2 of 3  sum 15345":                       {2, 3, "sum", 15345, 0},
		"iteration 2 of 3  1e+03 iterations/s":              {2, 3, "", 0, 1000},
	} {
		if got := s.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got, ok := ParseStatus(want); !ok || got != s {
			t.Errorf("%q is read as %+v, %v", want, got, ok)
		}
	}
	for _, text := range []string{"", "iteration 3", "iteration 1 of 2  loss", "iteration 1 of 2  loss x", "map 3"} {
		if s, ok := ParseStatus(text); ok {
			t.Errorf("%q is read as %+v", text, s)
		}
	}
}
