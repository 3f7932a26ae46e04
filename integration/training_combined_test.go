package integration

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed3322913c/runner/infra/seedtest"
)

// TestTrainingCombined has a program of one's own combine its results, and kills the process that does or its executor
// in the middle of that, while a worker has not sent its result yet: what comes out is the same to the bit.
func TestTrainingCombined(t *testing.T) {
	chance := seedtest.New(t)
	tr := newTraining(t, chance)
	run := func(tr *trial, output string, set ...string) string {
		args := []string{"run", filepath.Join(os.Getenv(binEnv), "gathered"), "--input", "rows.csv", "--output", output,
			"--set", "workers=5", "--set", "iterations=6", "--cpu", "3"}
		for _, s := range set {
			args = append(args, "--set", s)
		}
		tr.start(args...).end()
		text, err := os.ReadFile(filepath.Join(tr.dir, output, "sums.json"))
		if err != nil {
			tr.t.Fatal(err)
		}
		return string(text)
	}
	want := run(tr, "calm")
	for _, victim := range []string{"child", "executor"} {
		t.Run(victim, func(t *testing.T) {
			one := *tr
			one.t = t
			mark := filepath.Join(t.TempDir(), "mark")
			if got := run(&one, victim, "victim="+victim, "mark="+mark); got != want {
				t.Errorf("got %s, undisturbed %s", got, want)
			}
			if _, err := os.Stat(mark); err != nil {
				t.Errorf("nobody was killed: %v", err)
			}
		})
	}
}
