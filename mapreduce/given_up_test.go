package mapreduce

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// TestGivenUp: a job that may lose a tenth of its maps counts the words of the others, and says so.
func TestGivenUp(t *testing.T) {
	line := strings.Repeat("x", 99) + "\n"
	for _, reducer := range []string{"sum", ""} {
		o := builtins("wordcount", "", reducer)
		o.SplitSize, o.MaxFailedPercent = 100, 10
		job := newJob(t, o, t.TempDir()+"/out", fill(t, map[string]string{"a": strings.Repeat(line, 40)}))
		c := newCluster(t, BodyOptions{})
		bad := 0
		c.before = func(a *scheduler.Attempt) {
			if a.ID.Task.Stage == mapStage && a.ID.Task.Index%11 == 3 && bad > 0 {
				bad--
				a.Payload = nil
			}
		}
		bad = 4
		sum, err := c.run(job)
		if err != nil {
			t.Fatal(err)
		}
		parts := merged(t, c.parts(strings.TrimPrefix(job.Output, "file://")))
		want := map[string]int{strings.Repeat("x", 99) + "\t36": 1}
		if reducer == "" {
			want = map[string]int{strings.Repeat("x", 99) + "\t1": 36}
		}
		if d := gocmp.Diff(want, parts); d != "" {
			t.Error(d)
		}
		if g := sum.Totals; g.SplitsPlanned != 40 || g.SplitsGivenUp != 4 || g.BytesGivenUp != 400 {
			t.Errorf("totals %+v", g)
		}
	}
}

// TestProofOfGivenUp: outputs that are missing without leave fail the job.
func TestProofOfGivenUp(t *testing.T) {
	job, _ := wordJob(t)
	c := newCluster(t, BodyOptions{})
	plan, err := c.engine(job).Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in := scheduler.Outputs{mapStage: make([]scheduler.Output, len(plan.Stages[0].Tasks))}
	if _, err := c.engine(job).Commit(t.Context(), in, nil); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("committed without maps: %v", err)
	}
	nothing(t, job)
}
