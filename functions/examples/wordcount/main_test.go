package main

import (
	"testing"

	"github.com/seed3322913c/runner/functions/functionstest"
)

func TestMain(m *testing.M) { functionstest.Main(m, wordCount()) }

func TestJobWhoseExecutorDies(t *testing.T) {
	functionstest.JobDriver{
		Input:  map[string]string{"a.txt": "to be or\nnot to be\n", "b.txt": "to do\n"},
		Faults: []functionstest.Fault{functionstest.KillAttempt("map-0.0")},
		Want:   "be\t2\ndo\t1\nnot\t1\nor\t1\nto\t3\n",
	}.Run(t)
}

func TestMap(t *testing.T) {
	functionstest.MapDriver[string, int64]{
		Function: wordCount(),
		Input:    "to be or\nnot to be\n",
		Want:     "to\t1\nbe\t1\nor\t1\nnot\t1\nto\t1\nbe\t1\n",
	}.Run(t)
}

func TestWordCount(t *testing.T) {
	functionstest.MapReduceDriver{
		Function: wordCount(),
		Input:    "to be or\nnot to be\n",
		Want:     "be\t2\nnot\t1\nor\t1\nto\t2\n",
	}.Run(t)
}

func TestCombiner(t *testing.T) {
	functionstest.CheckCombiner[int64](t, wordCount(), 1, 2, -3)
}
