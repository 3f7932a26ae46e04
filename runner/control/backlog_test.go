package control

import (
	"testing"

	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/scheduler/queue"
	"github.com/seed3322913c/runner/scheduler/roster"
)

// TestBacklog asks a journal, that a control writes meanwhile, for jobs that only wait.
func TestBacklog(t *testing.T) {
	st := mem.New()
	backlog, err := Follow(st)
	if err != nil {
		t.Fatal(err)
	}
	has := func(want int) {
		t.Helper()
		if n, err := backlog.Jobs(t.Context()); err != nil || n != want {
			t.Errorf("%d jobs, %v; want %d", n, err, want)
		}
	}
	has(0) // no control was there yet
	j, err := journal.Lead(t.Context(), st, prefix, roster.New(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close() // returns nil always
	for _, step := range []struct {
		record roster.Record
		want   int
	}{
		{roster.Record{Enter: &roster.Entry{
			Job: "7k2f-words", Queue: "default", Ask: queue.Resources{Cores: 1, Memory: 1}, Want: 1,
		}}, 1},
		{roster.Record{Leave: &roster.Leave{Job: "7k2f-words"}}, 0},
	} {
		line, err := step.record.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Append(t.Context(), line); err != nil {
			t.Fatal(err)
		}
		has(step.want)
	}
}
