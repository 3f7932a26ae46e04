package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/functionstest"
)

func TestMain(m *testing.M) { functionstest.Main(m, sessions()) }

// TestSessions runs the job on the engine, since it is the engine that puts a user's seconds in order: 9 before 100.
func TestSessions(t *testing.T) {
	var log strings.Builder
	for _, second := range []int{5000, 9, 100, 20, 5001, 1000} {
		fmt.Fprintf(&log, "%d:ann\n%d:bob\n", second, second+1)
	}
	functionstest.JobDriver{
		Params: functions.Params{"gap": "200"}, Key: functions.KeyOrder{Group: 1, Numeric: true},
		Input: map[string]string{"a": log.String(), "b": "150:ann\n"},
		Want: "ann\t9\t150\t4\nann\t1000\t1000\t1\nann\t5000\t5001\t2\n" +
			"bob\t10\t101\t3\nbob\t1001\t1001\t1\nbob\t5001\t5002\t2\n",
	}.Run(t)
}

func TestBadLine(t *testing.T) {
	functionstest.MapDriver[string, int64]{Function: sessions(), Input: "ann\n", WantError: "no second"}.Run(t)
}
