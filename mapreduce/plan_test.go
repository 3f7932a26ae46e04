package mapreduce

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/mapreduce/split"
	"github.com/seed3322913c/runner/scheduler"
)

var accept = flag.Bool("accept", false, "accept the plans as they are now")

// TestPlanGolden shows what the application master keeps of typical jobs, and what their attempts are told. Read the
// difference before you accept it with -accept.
func TestPlanGolden(t *testing.T) {
	line := "a line of text that is as long as it is\n" // 40 bytes
	dir := fill(t, map[string]string{
		"small": line, "large": strings.Repeat(line, 100), "more/1": line, "more/2": line + line, "more/empty": "",
	})
	sort := builtins("sort", "", "sort")
	sort.Partitioner = TotalOrderPartitioner
	mapOnly := builtins("wordcount", "", "")
	sized := builtins("wordcount", "sum", "sum")
	sized.SplitSize, sized.Reducers = 1500, ExactReducers(3)
	var b strings.Builder
	for _, c := range []struct {
		name  string
		opts  Options
		input string
	}{
		{"word count", builtins("wordcount", "sum", "sum"), dir},
		{"word count, 3 reducers, splits of 1500 bytes", sized, dir},
		{"sort", sort, dir + "/more"},
		{"map-only", mapOnly, dir + "/{small,more}"},
		{"nothing to read", sized, dir + "/more/empty"},
	} {
		fmt.Fprintf(&b, "%s\n", c.name)
		cl := newCluster(t, BodyOptions{})
		job := newJob(t, c.opts, t.TempDir()+"/out", c.input)
		plan, err := cl.engine(job).Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		show(t, &b, "plan", plan)
		in := scheduler.Outputs{}
		for i := range plan.Stages[0].Tasks {
			b.WriteString(mapTold(t, cl, job, i))
			in[mapStage] = append(in[mapStage], finished(t, i))
		}
		if len(plan.Stages) > 1 {
			tasks, err := cl.engine(job).Cut(t.Context(), reduceStage, in)
			if err != nil {
				t.Fatal(err)
			}
			show(t, &b, "reduces", tasks)
			for i := range tasks {
				p, err := cl.engine(job).Payload(t.Context(), scheduler.TaskID{Stage: reduceStage, Index: i}, in)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&b, "  reduce-%d %s\n", i, p)
			}
		}
	}
	const golden = "testdata/plans.golden"
	got := strings.ReplaceAll(b.String(), dir, "/in")
	if *accept {
		if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Error(d)
	}
}

func show(t *testing.T, b *strings.Builder, what string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(b, "  %s %s\n", what, text)
}

// mapTold returns a map's payload, with its split as people read it.
func mapTold(t *testing.T, c *cluster, job scheduler.Job, index int) string {
	t.Helper()
	id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: mapStage, Index: index}}
	b, err := c.engine(job).Payload(t.Context(), id.Task, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := decode[mapPayload](id, b)
	if err != nil {
		t.Fatal(err)
	}
	s, err := split.Decode(p.Split)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("  %v %v, %d partitions, cuts %q\n", id.Task, s, p.Shuffle.Partitions, p.Shuffle.Cuts)
}

// finished is the output of a map whose partitions grow with their numbers.
func finished(t *testing.T, index int) scheduler.Output {
	t.Helper()
	sizes := make([]int64, 64)
	for i := range sizes {
		sizes[i] = int64(i * 1000)
	}
	data, err := encode(mapResult{Values: "int64", Sizes: appendSizes(nil, sizes)})
	if err != nil {
		t.Fatal(err)
	}
	id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: mapStage, Index: index}, N: index % 2}
	return scheduler.Output{Attempt: id, Node: fmt.Sprintf("node%d:80", index%2), Data: data}
}
