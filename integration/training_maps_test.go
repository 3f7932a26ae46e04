package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/seedtest"
	"github.com/seed3322913c/runner/scheduler"
)

// asMaps is the cast where master and workers are the maps of a MapReduce job.
func asMaps() cast {
	worker := func(i int) scheduler.TaskID { return scheduler.TaskID{Stage: "map", Index: i + 1} }
	return cast{scheduler.TaskID{Stage: "map"}, worker}
}

// TestTrainingAsMaps trains with the maps of a map-only MapReduce job as master and workers, kills some of them, the
// application master and everything: the model and every loss are those of a job whose tasks are its own, to the bit.
func TestTrainingAsMaps(t *testing.T) {
	chance := seedtest.New(t)
	tr := newTraining(t, chance)
	tr.start("run", "train.yaml", "--output", "calm").end()
	model, losses := tr.trained("calm")
	whom := []string{"worker", "master", "am", "everything"}
	if testing.Short() {
		whom = whom[:1]
	}
	for _, victim := range whom {
		t.Run(victim, func(t *testing.T) {
			one := *tr
			one.t = t
			output := "maps-" + victim
			w := one.start("run", "train.yaml", "--output", output, "--set", "adapter=mapreduce")
			one.disturb(w, asMaps(), victim, 2+chance.IntN(steps-3))
			gotModel, gotLosses := one.trained(output)
			if gotModel != model {
				t.Errorf("the model is\n%s, of tasks of its own\n%s", gotModel, model)
			}
			if !slices.Equal(gotLosses, losses) {
				t.Errorf("the losses are %q, of tasks of its own %q", gotLosses, losses)
			}
			if out, err := one.command("verify", output).CombinedOutput(); err != nil {
				t.Errorf("verify: %v\n%s", err, out)
			}
		})
	}
}

// TestTrainingSideBySide runs several trainings at once, with both adapters: each has its own outcome and exit code,
// and one that is wrong takes nobody with it.
func TestTrainingSideBySide(t *testing.T) {
	tr := newTraining(t, seedtest.New(t))
	if err := os.WriteFile(filepath.Join(tr.dir, "bad.csv"), []byte("1,2\n0,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	own := tr.start("run", "train.yaml", "--output", "own")
	bad := tr.start("run", "train.yaml", "--input", "bad.csv", "--output", "bad", "--set", "workers=1")
	maps := tr.start("run", "train.yaml", "--output", "maps", "--set", "adapter=mapreduce")
	for _, ok := bad.next(); ok; _, ok = bad.next() {
	}
	if err := bad.cmd.Wait(); bad.cmd.ProcessState.ExitCode() != 1 ||
		!strings.Contains(bad.last.Message, `"x" is not a number`) {
		t.Errorf("rows that are none: %v, %q", err, bad.last.Message)
	}
	own.end()
	maps.end()
	model, losses := tr.trained("own")
	if got, also := tr.trained("maps"); got != model || !slices.Equal(also, losses) {
		t.Error("the models differ")
	}
	if _, err := os.Stat(filepath.Join(tr.dir, "bad")); err == nil {
		t.Error("a job that failed has left an output")
	}
}
