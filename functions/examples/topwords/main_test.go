package main

import (
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/functionstest"
)

func TestMain(m *testing.M) { functionstest.Main(m, top()) }

// TestTop has more words of one count than are wanted, and a count that is only the highest if it is read as a number.
func TestTop(t *testing.T) {
	functionstest.JobDriver{
		Key:    functions.KeyOrder{Numeric: true, Reverse: true},
		Params: functions.Params{"top": "3"},
		Input:  map[string]string{"a": "fox\t9\ndog\t10\n", "b": "cat\t9\nant\t9\nrat\t1\n"},
		Want:   "10\tdog\n9\tant\n9\tcat\n",
	}.Run(t)
}

func TestBadLine(t *testing.T) {
	functionstest.MapDriver[string, string]{Function: top(), Input: "word\n", WantError: "no word and count"}.Run(t)
}
