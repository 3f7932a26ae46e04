package engine

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/model"
)

// TestTreeAboveAWidth: many workers send their results in groups, few do not, and the model is the same to the bit.
func TestTreeAboveAWidth(t *testing.T) {
	for workers, want := range map[int]int{1: 0, starWidth: 0, starWidth + 1: 8, 64: 8, 65: 16, 256: 16, 1000: 32,
		maxWorkers: 512} {
		if got := groupFor(workers); got != want {
			t.Errorf("%d workers in groups of %d, want %d", workers, got, want)
		}
	}
	s := site{t.TempDir()}
	var csv strings.Builder
	for i := range 400 {
		fmt.Fprintf(&csv, "%d,%d,%d\n", i%2, i%7+5*(i%2), i%3)
	}
	files := s.write(t, map[string]string{"a.csv": csv.String()})
	const workers = starWidth + 3
	train := func(name, group string) (*shelf, Summary) {
		set := guagua.Params{"group": group}
		out, summary, _ := run(t, s, newJob(t, name, builtin(model.Logistic, workers, 5, set)), files)
		return out, summary
	}
	star, flat := train("star", "0")
	tree, deep := train("tree", "auto")
	if flat.Grouped != 0 || deep.Grouped == 0 {
		t.Errorf("groups were used in %d turns of a star and %d of a tree", flat.Grouped, deep.Grouped)
	}
	if !bytes.Equal(star.files[model.FileName], tree.files[model.FileName]) {
		t.Error("the models differ")
	}
}
