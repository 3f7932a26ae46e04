package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

var begin = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// attempt is an attempt at a map that began and ended so many seconds after the job.
func attempt(index, n int, state scheduler.AttemptState, from, to int) am.AttemptReport {
	id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: "map", Index: index}, N: n}
	return am.AttemptReport{
		ID: id, State: state, Executor: "executor-5.0", Start: begin.Add(time.Duration(from) * time.Second),
		End: begin.Add(time.Duration(to) * time.Second),
	}
}

func someJob(t *testing.T) (scheduler.Job, am.Report) {
	t.Helper()
	totals := proof.Totals{
		SplitsRead: 824, BytesRead: 102_400_000_000, InputRecords: 893412, Reduces: 16, ReduceInputRecords: 1000,
		OutputRecords: 41284, OutputBytes: 1_300_000_000, SegmentBytes: 9_800_000_000,
	}
	task := func(i int) scheduler.TaskID { return scheduler.TaskID{Stage: "reduce", Index: i} }
	skew := mapreduce.Skew{
		Mean: 100_000, Largest: []mapreduce.Load{{Task: task(3), Records: 800_000}, {Task: task(1), Records: 10}},
		Hot: []mapreduce.HotKey{{Key: "the", Records: 500_000, Task: task(3)}},
	}
	totals.ReduceInputRecords = 1_000_000
	result, err := json.Marshal(mapreduce.Summary{Output: "file:///elsewhere", Parts: 2, Totals: totals, Skew: &skew})
	if err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	job := scheduler.Job{ID: "7k2f-wordcount", Name: "wordcount", Output: "file://" + wd + "/out/words"}
	slow := attempt(311, 0, scheduler.AttemptSucceeded, 0, 14)
	return job, am.Report{
		Job: job.ID, Name: job.Name, State: scheduler.JobSucceeded, Started: begin, Ended: begin.Add(62 * time.Second),
		Result: result,
		Stages: []am.StageReport{
			{Name: "map", Tasks: 824, Done: 824, Failed: 1, Lost: 2}, {Name: "reduce", Tasks: 16, Done: 16},
		},
		Attempts: []am.AttemptReport{
			attempt(1, 0, scheduler.AttemptFailed, 0, 1), attempt(2, 0, scheduler.AttemptSucceeded, 0, 2), slow,
			attempt(1, 1, scheduler.AttemptSucceeded, 1, 4),
		},
		Slowest: []am.AttemptReport{attempt(2, 0, scheduler.AttemptSucceeded, 0, 2), slow},
	}
}

func TestSuccess(t *testing.T) {
	job, r := someJob(t)
	want := `Done in 1m02s. 893,412 records in, 41,284 out.
Proof: 824 splits of 102.4 GB read once, 1,000,000 records out of maps = into reduces, every block's checksum seen.
Skew: reduce-3 had 80% of all records, 50% the key "the" alone; a combiner would fold it, more reducers would not help.
Output: out/words/part-r-00000, part-r-00001, _SUCCESS
`
	if diff := cmp.Diff(want, success(job, r, []string{"part-r-00000", "part-r-00001"})); diff != "" {
		t.Error(diff)
	}
}

func TestDescribe(t *testing.T) {
	job, r := someJob(t)
	want := `7k2f-wordcount  SUCCEEDED  1m02s  824 maps (3 tried again: 2 lost, 1 failed)  16 reduces
  in 102.4 GB   out 1.3 GB   shuffled 9.8 GB   1.7 GB/s
  Output: out/words (2 parts, 1.3 GB)
  Skew: reduce-3 had 80% of all records, 50% the key "the" alone; a combiner would fold it, more reducers would not help.
  slowest: map-311 on executor-5.0, 14.0 s (median 3.0 s)      runner logs 7k2f --task map-311
`
	if diff := cmp.Diff(want, describe(job, embedded.Status{Report: r}, "")); diff != "" {
		t.Error(diff)
	}
	cut := am.Report{
		Job: job.ID, State: scheduler.JobRunning, Started: begin,
		Stages: []am.StageReport{{Name: "map", Tasks: 824, Done: 1}, {Name: "reduce", Open: true}},
	}
	want = `7k2f-wordcount  INTERRUPTED  -  1 of 824 maps  reduce open
  It was cut off; finished tasks are kept. To go on: runner resume 7k2f
`
	if diff := cmp.Diff(want, describe(job, embedded.Status{Report: cut, Interrupted: true}, "")); diff != "" {
		t.Error(diff)
	}
}

func TestTell(t *testing.T) {
	job, r := someJob(t)
	r.State, r.Message = scheduler.JobFailed, "map-1 failed 4 times, the last time: no luck"
	for _, c := range []struct {
		interrupted bool
		state       scheduler.JobState
		want        int
	}{
		{false, scheduler.JobSucceeded, 0}, {false, scheduler.JobFailed, 1}, {false, scheduler.JobKilled, 1},
		{true, scheduler.JobKilled, 130}, {true, scheduler.JobSucceeded, 0}, {true, scheduler.JobFailed, 1},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if c.interrupted {
			cancel()
		}
		for _, inJSON := range []bool{false, true} {
			var out, story strings.Builder
			p := &program{out: &out, err: &story}
			r.State = c.state
			err := p.tell(ctx, &embedded.Home{}, job, r, watchOptions{json: inJSON})
			if got := say.ExitCode(err); got != c.want {
				t.Errorf("%s: exit code %d, want %d", c.state, got, c.want)
			}
			if text := sentenceFor(err); text != "" {
				t.Errorf("%s: said twice: %s", c.state, text)
			}
			if answered := out.Len() > 0; answered != (inJSON || c.want == 0) || inJSON && story.Len() > 0 {
				t.Errorf("%s: answer %q, story %q", c.state, out.String(), story.String())
			}
		}
	}
	r.State = scheduler.JobFailed
	want := `job 7k2f-wordcount FAILED after 1m02s: map-1 failed 4 times, the last time: no luck
Nothing was written to out/words. What the task said: runner logs 7k2f --task map-1
`
	if diff := cmp.Diff(want, failure(job, r)); diff != "" {
		t.Error(diff)
	}
}

func TestOutputLine(t *testing.T) {
	m := mapreduce.Summary{Parts: 1500, Totals: proof.Totals{OutputBytes: 2e9}}
	if got := outputLine("s3://bucket/x", m, nil); got != "Output: s3://bucket/x (1,500 parts, 2.0 GB)\n" {
		t.Errorf("%q", got)
	}
	if got := outputLine("s3://bucket/x", m, []string{"a"}); got != "Output: s3://bucket/x/a, _SUCCESS\n" {
		t.Errorf("%q", got)
	}
}

func TestFreshFolder(t *testing.T) {
	base := filepath.Join(t.TempDir(), "demo")
	for _, want := range []string{base, base + "-2", base + "-3"} {
		got, err := freshFolder(base)
		if err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
		if err := os.Mkdir(want, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTopWords(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"part-r-00000": "a\t3\nb\t20000\nc\t3\n", "part-r-00001": "d\t7\n",
		"other": "z\t99\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := proof.Manifest{Parts: []proof.Part{{Name: "part-r-00000"}, {Name: "part-r-00001"}}}
	got, err := topWords(dir, m, 3)
	if diff := cmp.Diff([]string{"b 20,000", "d 7", "a 3"}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	m.Parts = append(m.Parts, proof.Part{Name: "missing"})
	if _, err := topWords(dir, m, 3); err == nil {
		t.Error("a part is missing and nobody noticed")
	}
}

func TestTaskPrefix(t *testing.T) {
	for text, want := range map[string]string{"map-3": "map-3.", "m3": "map-3.", "r12": "reduce-12.",
		"reduce-0": "reduce-0.", "m": "!", "map": "!", "m3x": "!"} {
		got, err := taskPrefix(text)
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestTail(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	logs := &tail{files: logFolder(dir), prefix: "map-1.", out: &out, read: map[string]int64{}}
	look := func(last bool, want string) {
		t.Helper()
		out.Reset()
		if err := logs.print(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("printed %q, want %q", out.String(), want)
		}
	}
	look(false, "")
	write("map-1.0.log", "one\ntw")
	write("map-10.0.log", "another task\n")
	look(false, "map-1.0        one\n")
	look(false, "")
	write("map-1.0.log", "one\ntwo\nthree")
	write("map-1.1.log", "again\n")
	look(false, "map-1.0        two\nmap-1.1        again\n")
	look(true, "map-1.0        three\n")
}
