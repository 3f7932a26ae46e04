package mapreduce

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/scheduler"
)

// TestSkewIsReported: a key that most lines have is found, and the reducer that had it.
func TestSkewIsReported(t *testing.T) {
	var text strings.Builder
	for i := range 120_000 {
		word := "hot"
		if i%10 == 0 {
			word = fmt.Sprintf("w%d", i)
		}
		fmt.Fprintln(&text, word)
	}
	o := builtins("wordcount", "", "sum")
	o.Reducers, o.SplitSize = ExactReducers(4), 200_000
	c := newCluster(t, BodyOptions{})
	sum, err := c.run(newJob(t, o, t.TempDir()+"/out", fill(t, map[string]string{"a": text.String()})))
	if err != nil {
		t.Fatal(err)
	}
	if sum.Skew == nil || len(sum.Skew.Largest) != 3 || len(sum.Skew.Hot) != 3 {
		t.Fatalf("skew %+v", sum.Skew)
	}
	hot, worst := sum.Skew.Hot[0], sum.Skew.Largest[0]
	if hot.Key != "hot" || hot.Records != 108_000 || hot.Task != worst.Task || worst.Records < 108_000 ||
		worst.Bytes == 0 ||
		sum.Skew.Mean != 30_000 || sum.Skew.Hot[1].Records != 1 {
		t.Errorf("skew %+v", sum.Skew)
	}
	want := fmt.Sprintf(`%s had %d%% of all records, 90%% the key "hot" alone; `, worst.Task, worst.Records*100/120_000)
	if got := sum.Skew.Sentence(120_000); !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSkewSentence(t *testing.T) {
	load := func(records ...int64) (s Skew) {
		for i, n := range records {
			s.add(scheduler.TaskID{Stage: "reduce", Index: i}, reduceResult{Records: n})
		}
		return s.settled()
	}
	for _, c := range []struct {
		skew Skew
		all  int64
		want string
	}{
		{Skew{}, 0, ""},
		{load(1_000_000), 1_000_000, ""},
		{load(90_000, 10), 90_010, ""},
		{load(300_000, 200_000, 300_000), 800_000, ""},
		{load(10, 20, 300_000, 10), 300_040,
			"reduce-2 had 99% of all records; more reducers would divide them"},
	} {
		if got := c.skew.Sentence(c.all); got != c.want {
			t.Errorf("%+v: %q, want %q", c.skew, got, c.want)
		}
	}
}
