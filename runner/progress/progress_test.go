package progress

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// at is the report of a job of two stages after so many seconds: 12 maps of 10 MB, one a second, then 2 reducers.
func at(second int) am.Report {
	r := am.Report{Job: "7k2f-wordcount", State: scheduler.JobRunning, Masters: 1, Started: start}
	done := min(second, 12)
	maps := am.StageReport{
		Name: "map", Tasks: 12, Done: done, Weight: 120e6, Worked: int64(done) * 10e6, Started: start.Add(time.Millisecond),
	}
	reduces := am.StageReport{Name: "reduce", Open: true}
	if done == 12 {
		maps.Ended = start.Add(12 * time.Second)
		reduces = am.StageReport{Name: "reduce", Tasks: 2, Started: maps.Ended, Weight: 2e6}
	}
	if second >= 14 {
		reduces.Done, reduces.Worked, reduces.Ended, r.State = 2, 2e6, start.Add(14*time.Second), scheduler.JobSucceeded
	}
	r.Stages = []am.StageReport{maps, reduces}
	r.Executors = []am.ExecutorReport{{ID: "executor-0.0", Cores: 1}, {ID: "executor-1.0", Cores: 1}}
	return r
}

// play shows a job from its start to its end, second by second.
func play(mode Mode, width int) string {
	var out bytes.Buffer
	now := start
	size := func() (int, int) { return width, 24 }
	v := New(mode, &out, Options{Size: size, Now: func() time.Time { return now }}).View("")
	v.Say("job 7k2f-wordcount")
	for second := range 15 {
		now = start.Add(time.Duration(second) * time.Second)
		v.Show(at(second))
	}
	v.Say("Done.")
	v.Close()
	return out.String()
}

func TestLines(t *testing.T) {
	want := `job 7k2f-wordcount
  map        6/12   60.0 MB   10 MB/s   5.0 MB/s per core   about 6 s left
  map        11/12   110.0 MB   10 MB/s   5.0 MB/s per core   about 1 s left
  map       12/12   120.0 MB   10 MB/s   5.0 MB/s per core
  reduce      2/2   2.0 MB   1.0 MB/s   500 KB/s per core
Done.
`
	want = strings.Replace(want, "   11/12", "  11/12", 1)
	if diff := cmp.Diff(want, play(Lines, 80)); diff != "" {
		t.Error(diff)
	}
	if out := play(Quiet, 80); out != "" {
		t.Errorf("quiet said %q", out)
	}
}

func TestBars(t *testing.T) {
	frames := strings.Split(play(Bars, 80), clearEnd)
	first, middle, last := frames[0], frames[6], frames[len(frames)-1]
	maps, reduces := bar("  map     ", at(0).Stages[0], 80, []string{"   0/12"}),
		bar("  reduce  ", at(0).Stages[1], 80, nil)
	if want := "job 7k2f-wordcount\n" + maps + "\n" + reduces + "\n"; !strings.HasPrefix(first, want) {
		t.Errorf("first frame\n%q\nwant\n%q", first, want)
	}
	if want := "  map     " + cyan + strings.Repeat("█", 10) + plain + strings.Repeat("░", 10) +
		"   6/12   60.0 MB   10 MB/s   5.0 MB/s per core\n"; !strings.HasPrefix(middle, want) {
		t.Errorf("frame in the middle\n%q\nwant\n%q", middle, want)
	}
	if !strings.Contains(last, green+strings.Repeat("█", 20)+plain+"    2/2   2.0 MB") {
		t.Errorf("last frame %q", last)
	}
	for _, width := range []int{1, 20, 40, 80, 200} {
		for _, frame := range strings.Split(play(Bars, width), clearEnd) {
			for line := range strings.Lines(frame) {
				if n := visible(line); strings.Contains(line, "░") && n >= max(width, 18) {
					t.Errorf("%d columns wide, line of %d: %q", width, n, line)
				}
			}
		}
	}
}

// visible counts the columns of a line.
func visible(line string) int {
	for _, code := range []string{green, cyan, plain, "\n"} {
		line = strings.ReplaceAll(line, code, "")
	}
	line, _, _ = strings.Cut(line, "\x1b") // what follows moves the cursor
	return utf8.RuneCountInString(line)
}

func TestBarsAreDrawnAtMostTenTimesASecond(t *testing.T) {
	var out bytes.Buffer
	now := start
	v := New(Bars, &out, Options{Now: func() time.Time { return now }}).View("")
	for range 1000 {
		now = now.Add(time.Millisecond)
		v.Show(at(3))
	}
	v.Close()
	if n := strings.Count(out.String(), clearEnd); n < 5 || n > 11 {
		t.Errorf("drawn %d times in a second", n)
	}
}

func TestEvents(t *testing.T) {
	seen := map[string]int{}
	for line := range strings.Lines(play(JSON, 80)) {
		var e struct {
			Event, Job, Name, State, Text string
			Time                          time.Time
			Tasks, Done, Masters          int
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time.IsZero() {
			t.Fatalf("%q: %v", line, err)
		}
		switch {
		case e.Event == "stage" && e.Name == "map" && e.Done == 12 && e.Tasks == 12,
			e.Event == "state" && e.State == "SUCCEEDED" && e.Masters == 1,
			e.Event == "message" && e.Text == "Done.":
			seen["needed"]++
		}
		if e.Event != "message" && e.Job != "7k2f-wordcount" {
			t.Errorf("%q names no job", line)
		}
		seen[e.Event]++
	}
	want := map[string]int{"needed": 3, "message": 2, "state": 2, "stage": 13 + 3} // each change once, and nothing twice
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestEventsOfAttempts(t *testing.T) {
	var out bytes.Buffer
	v := NewEvents(&out, func() time.Time { return start })
	id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: "map", Index: 3}}
	running, failed := scheduler.AttemptRunning, scheduler.AttemptFailed
	for _, state := range []scheduler.AttemptState{running, running, failed} {
		v.Show(am.Report{Job: "7k2f-x", Attempts: []am.AttemptReport{{ID: id, State: state, Executor: "executor-0.0"}}})
	}
	if n := strings.Count(out.String(), `"id":"map-3.0"`); n != 2 {
		t.Errorf("%d events of an attempt that ran and failed:\n%s", n, out.String())
	}
}

// TestSeveralJobs shows two jobs at once: each line has its job's name, one that ends leaves its lines above those of
// the other, and what is said aside is not drawn over.
func TestSeveralJobs(t *testing.T) {
	var out bytes.Buffer
	now := start
	rows := 24
	s := New(Bars, &out, Options{Size: func() (int, int) { return 100, rows }, Now: func() time.Time { return now }})
	words, sorted := s.View("words"), s.View("a-very-long-name")
	take := func() string {
		defer out.Reset()
		text := out.String()
		for _, code := range []string{green, cyan, plain} {
			text = strings.ReplaceAll(text, code, "")
		}
		return text
	}
	words.Show(at(12))
	take()
	now = now.Add(time.Second)
	sorted.Show(at(3))
	named := []string{"  words         map ", "  words         reduce ", "  a-very-long-  map ", "  a-very-long-  reduce "}
	text := take()
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if i >= len(named) || !strings.Contains(line, named[i]) {
			t.Errorf("line %d of\n%s", i, text)
		}
	}
	words.Say("waits")
	if text := take(); !strings.HasPrefix(text, "\x1b[4A\r"+clearEnd+"words: waits\n") || strings.Count(text, "\n") != 5 {
		t.Errorf("%q", text)
	}
	words.Close()
	s.Aside(func() { out.WriteString("Done.\n") })
	_, text, _ = strings.Cut(take(), "Done.\n")
	if strings.Contains(text, "words") || strings.Count(text, "\n") != 2 {
		t.Errorf("beside the answer there is %q", text)
	}
	rows = 2
	sorted.Say("in a low window")
	if text := take(); strings.Count(text, "\n") != 2 {
		t.Errorf("a window of two rows has %q", text)
	}
}

func TestLinesOfSeveralJobs(t *testing.T) {
	var out bytes.Buffer
	s := New(Lines, &out, Options{Now: func() time.Time { return start.Add(12 * time.Second) }})
	s.Say("chain 7k2f-day of 2 jobs")
	s.View("words").Show(at(12))
	s.View("sort").Say("waits")
	want := "chain 7k2f-day of 2 jobs\n  words         map       12/12   120.0 MB " +
		"  10 MB/s   5.0 MB/s per core\nsort: waits\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}
