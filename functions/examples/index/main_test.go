package main

import (
	"testing"

	"github.com/seed3322913c/runner/functions/functionstest"
)

func TestMain(m *testing.M) { functionstest.Main(m, index()) }

func TestIndex(t *testing.T) {
	functionstest.JobDriver{
		Files: map[string]string{"stop.txt": "the a\n"},
		Input: map[string]string{"one": "A\tthe sea the sea\n", "two": "B\ta boat at sea\n"},
		Want:  "at\tB\nboat\tB\nsea\tA, B\n",
	}.Run(t)
}

func TestMistakes(t *testing.T) {
	stop := map[string]string{"stop.txt": ""}
	functionstest.MapDriver[string, string]{
		Function: index(), Files: stop, Input: "no title\n", WantError: "without a title",
	}.Run(t)
	functionstest.MapDriver[string, string]{
		Function: index(), Input: "A\ta\n", WantError: "the job has no file stop.txt",
	}.Run(t)
}
