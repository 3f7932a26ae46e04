package am_test

import (
	"path/filepath"
	"testing"

	"github.com/seed3322913c/runner/infra/coord/dir"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/scheduler"
)

// BenchmarkTinyJob is a job of a map and two reducers over folders, from its start to the end of all: what the
// scheduler costs beside the processes. Every operation that must be durable is.
func BenchmarkTinyJob(b *testing.B) {
	for b.Loop() {
		s := folderSite(b)
		s.engine.maps = 1
		if r := s.run(b); r.State != scheduler.JobSucceeded {
			b.Fatal(r.Message)
		}
	}
}

// BenchmarkManyTasks is a job of many tasks that do nothing.
func BenchmarkManyTasks(b *testing.B) {
	const maps = 5000
	for b.Loop() {
		s := folderSite(b)
		s.engine.maps, s.body.rounds = maps, 0
		s.job.Resources.CPU = 8
		if r := s.run(b); r.State != scheduler.JobSucceeded {
			b.Fatal(r.Message)
		}
	}
	b.ReportMetric(maps*float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// folderSite is a site whose store and coordinator are folders.
func folderSite(t testing.TB) *site {
	s := newSite(t)
	home := t.TempDir()
	st, err := file.New(filepath.Join(home, "store"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	co, err := dir.Open(filepath.Join(home, "coord"))
	if err != nil {
		t.Fatal(err)
	}
	s.st, s.co, s.engine.st = st, co, st
	return s
}
