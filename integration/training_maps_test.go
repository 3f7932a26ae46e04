package integration

import (
	"slices"
	"testing"

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
	chance := seed(t)
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
