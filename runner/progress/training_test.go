package progress

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// trainingAt is the report of a training job of 20 iterations after so many seconds, one iteration each, the first
// second for loading.
func trainingAt(second int) am.Report {
	r := am.Report{Job: "7k2f-lr", Kind: engine.Kind, State: scheduler.JobRunning, Masters: 1, Started: start}
	r.Stages = []am.StageReport{
		{Name: "master", Tasks: 1, Running: 1, Weight: 20, Worked: int64(second), Started: start},
		{Name: "worker", Tasks: 3, Running: 3, Weight: 60, Started: start, Lost: 1},
	}
	status := guagua.Status{Iteration: second, Iterations: 20, Name: "loss", Value: 1 / float64(second+1), Rate: 1}
	if second == 0 {
		status = guagua.Status{}
	}
	if second == 20 {
		r.Stages[0].Done, r.Stages[1].Done = 1, 3
		return r
	}
	id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: "master"}}
	text := status.String()
	if second == 0 {
		text = ""
	}
	r.Attempts = []am.AttemptReport{{ID: id, State: scheduler.AttemptRunning, Status: text}}
	return r
}

func playTraining(mode Mode) string {
	var out bytes.Buffer
	now := start
	size := func() (int, int) { return 120, 24 }
	v := New(mode, &out, Options{Now: func() time.Time { return now }, Size: size}).View("")
	for second := range 21 {
		now = start.Add(time.Duration(second) * time.Second)
		v.Show(trainingAt(second))
		v.Show(trainingAt(second)) // nothing new
	}
	v.Close()
	return out.String()
}

func TestTrainingLines(t *testing.T) {
	want := `  train      5/20 at 1/s   loss 0.5 ▇▄▂▂▁ 0.1667   1 tried again
  train     10/20 at 1/s   loss 0.5 ▇▅▃▂▂▁▁▁ 0.09091   1 tried again
  train     15/20 at 1/s   loss 0.5 ▇▄▃▂▂▁▁▁ 0.0625   1 tried again
  train   3 workers   loss 0.5 ▇▄▃▂▂▁▁▁ 0.05   1 tried again
`
	if diff := cmp.Diff(want, playTraining(Lines)); diff != "" {
		t.Error(diff)
	}
}

func TestTrainingBars(t *testing.T) {
	frames := strings.Split(playTraining(Bars), clearEnd)
	for i, want := range map[int]string{
		0:  "  train   " + cyan + plain + strings.Repeat("░", 20) + "loading   1 tried again\n",
		10: "  train   " + cyan + strings.Repeat("█", 10) + plain + strings.Repeat("░", 10) + "  10/20 at 1/s   loss 0.5 ",
		20: "  train   " + green + strings.Repeat("█", 20) + plain + "3 workers   loss 0.5 ",
	} {
		if i >= len(frames) || !strings.Contains(frames[i], want) {
			t.Errorf("frame %d is %q, want %q", i, frames[i], want)
		}
	}
}

func TestTrainingEvents(t *testing.T) {
	out := playTraining(JSON)
	if n := strings.Count(out, `"event":"iteration"`); n != 19 {
		t.Errorf("%d events of iterations:\n%s", n, out)
	}
	want := `"job":"7k2f-lr","iteration":3,"iterations":20,"values":{"loss":0.25},"perSecond":1}`
	if !strings.Contains(out, want) {
		t.Errorf("no event %s in\n%s", want, out)
	}
}

// TestLongTraining: however long it takes, no more is kept than can be drawn.
func TestLongTraining(t *testing.T) {
	var seen training
	r := trainingAt(1)
	for i := range 3 * maxLosses {
		r.Attempts[0].Status = fmt.Sprintf("iteration %d of 99999  loss %d", i+1, 3*maxLosses-i)
		seen.note(r)
	}
	if n := len(seen.losses); n > maxLosses || n < maxLosses/4 || seen.losses[0] != 3*maxLosses || seen.losses[n-1] != 1 {
		t.Errorf("%d losses from %v to %v", n, seen.losses[0], seen.losses[n-1])
	}
}
