package guagua

import "testing"

func TestStatus(t *testing.T) {
	for want, s := range map[string]Status{
		"iteration 0 of 1": {Iterations: 1},
		"iteration 23 of 60  loss 0.241  58.1 iterations/s": {23, 60, "loss", 0.241, 58.1},
		"iteration 2 of 3  sum 15345":                       {2, 3, "sum", 15345, 0},
		"iteration 2 of 3  999 iterations/s":                {2, 3, "", 0, 999},
		"iteration 2 of 3  1,000 iterations/s":              {2, 3, "", 0, 1000},
		"iteration 2 of 3  3,610 iterations/s":              {2, 3, "", 0, 3610},
		"iteration 2 of 3  1,234,567 iterations/s":          {2, 3, "", 0, 1234567},
	} {
		if got := s.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got, ok := ParseStatus(want); !ok || got != s {
			t.Errorf("%q is read as %+v, %v", want, got, ok)
		}
	}
	if got := (Status{Rate: 999.7}).String(); got != "iteration 0 of 0  1,000 iterations/s" {
		t.Errorf("%q", got)
	}
	for _, text := range []string{"", "iteration 3", "iteration 1 of 2  loss", "iteration 1 of 2  loss x", "map 3"} {
		if s, ok := ParseStatus(text); ok {
			t.Errorf("%q is read as %+v", text, s)
		}
	}
}
