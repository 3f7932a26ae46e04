package main

import (
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/functionstest"
)

func TestMain(m *testing.M) { functionstest.Main(m, join()) }

// TestJoin has orders before their customer, one of nobody, and a customer without any.
func TestJoin(t *testing.T) {
	functionstest.JobDriver{
		Key: functions.KeyOrder{Group: 1},
		Input: map[string]string{
			"orders":    "order,2,pen\norder,1,book\norder,9,lost\norder,1,lamp, green\n",
			"customers": "customer,1,Ann\ncustomer,2,Bob\ncustomer,3,Eve\n",
		},
		Want: "Ann\tbook\nAnn\tlamp, green\nBob\tpen\n",
	}.Run(t)
}

func TestBadLine(t *testing.T) {
	functionstest.MapDriver[string, string]{Function: join(), Input: "x,1,2\n", WantError: "neither"}.Run(t)
}
