package api

import (
	"testing"
	"testing/fstest"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
)

// TestClientWatches: whoever watches a job hears of its end, also when the connection breaks in between.
func TestClientWatches(t *testing.T) {
	b := newBoard("RUNNING")
	a := newAsker(t, b)
	c := client.New(client.Options{URL: a.http.URL})
	var seen []scheduler.JobState
	for s, err := range c.Events(t.Context(), "7k2a-words") {
		if err != nil {
			t.Fatal(err)
		}
		if seen = append(seen, s.State); len(seen) == 1 {
			a.http.CloseClientConnections()
			b.set("7k2a-words", "SUCCEEDED", "")
		}
	}
	if len(seen) < 2 || seen[0] != "RUNNING" || seen[len(seen)-1] != "SUCCEEDED" {
		t.Errorf("seen were %v", seen)
	}
	for _, err := range c.Events(t.Context(), "nobody") {
		if errs.KindOf(err) != errs.NotFound {
			t.Errorf("a job that is not there: %v", err)
		}
	}
}

// TestClientOfJobs: what verbs ask about jobs, they find.
func TestClientOfJobs(t *testing.T) {
	b := newBoard("RUNNING", "FAILED", "SUCCEEDED")
	a := newAsker(t, b)
	ctx, c := t.Context(), client.New(client.Options{URL: a.http.URL})
	if job, err := c.Find(ctx, "7k2b"); err != nil || job.ID != "7k2b-words" || job.Output == "" {
		t.Errorf("found was %+v, %v", job, err)
	}
	if _, err := c.Find(ctx, "9"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a job that is not there: %v", err)
	}
	var ids []scheduler.JobID
	for s, err := range c.Jobs(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.Job)
	}
	if len(ids) != 3 || ids[0] != "7k2a-words" {
		t.Errorf("listed were %v", ids)
	}
	count := func(s embedded.Status, err error) int {
		if err != nil {
			t.Error(err)
		}
		return len(s.Attempts)
	}
	if short, whole := count(c.Job(ctx, "7k2a-words")), count(c.WholeJob(ctx, "7k2a-words")); short != 2 || whole != 3 {
		t.Errorf("a job has %d attempts, and the whole of it %d", short, whole)
	}
	if used, err := c.Usage(ctx, "7k2a-words"); err != nil || used.CoreSeconds != 3 {
		t.Errorf("it has used %+v, %v", used, err)
	}
	if err := c.Resize(ctx, "7k2a-words", 5); err != nil || len(b.status["7k2a-words"].Executors) != 5 {
		t.Errorf("resized: %v", err)
	}
	if err := c.Resize(ctx, "7k2a-words", 0); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no executors at all: %v", err)
	}
	b.files["map-3.0@10.0.0.7.log"] = &fstest.MapFile{Data: []byte("one\ntwo\n")}
	if logs, err := c.Logs(ctx, "7k2a-words"); err != nil || len(logs) != 1 || logs[0].Name != "map-3.0@10.0.0.7" {
		t.Errorf("logs: %+v, %v", logs, err)
	}
	if text, err := c.Log(ctx, "7k2a-words", "map-3.0@10.0.0.7", 4); err != nil || string(text) != "two\n" {
		t.Errorf("the log says %q, %v", text, err)
	}
}

// TestClientOfPages: a list of several pages is read to its end.
func TestClientOfPages(t *testing.T) {
	states := make([]scheduler.JobState, 26)
	for i := range states {
		states[i] = "SUCCEEDED"
	}
	b := newBoard(states...)
	for i := range jobsPage { // two pages and a bit
		job := b.jobs[0]
		job.ID = scheduler.JobID("9" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + "x-more")
		s := b.status["7k2a-words"]
		s.Job = job.ID
		b.jobs, b.status[job.ID] = append(b.jobs, job), s
	}
	a := newAsker(t, b)
	n := 0
	for _, err := range client.New(client.Options{URL: a.http.URL}).Jobs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != len(b.jobs) {
		t.Errorf("%d of %d jobs", n, len(b.jobs))
	}
}
