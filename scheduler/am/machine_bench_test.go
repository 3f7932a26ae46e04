package am

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/seed3322913c/runner/scheduler"
)

// BenchmarkMachine takes a hundred thousand tasks through the machine: what it costs to decide, and to remember.
func BenchmarkMachine(b *testing.B) {
	const (
		tasks     = 100_000
		executors = 200
	)
	job := scheduler.Job{}
	for b.Loop() {
		m := newMachine(newLedger(), limits{
			taskFailures: 4, taskLosses: 100, masters: 2, cpu: 4, executors: executors, heartbeat: 1000,
		})
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		work(b, m, tasks, executors)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/tasks, "kept-B/task")
		began := b.Elapsed()
		m.report(job, true)
		b.ReportMetric(float64((b.Elapsed() - began).Microseconds()), "short-report-µs")
		began = b.Elapsed()
		if _, err := m.Snapshot(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64((b.Elapsed() - began).Milliseconds()), "snapshot-ms")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*tasks), "ns/task")
}

// work runs a job of one stage to its end.
func work(b *testing.B, m *machine, tasks, executors int) {
	m.begin("s", 1)
	counters := scheduler.Counters{"task": {}}
	for i := range 20 {
		counters["task"][fmt.Sprintf("COUNTER_%d", i)] = int64(i)
	}
	done := make([]byte, 200)
	for m.state != scheduler.JobSucceeded {
		decisions := m.drain()
		if len(decisions) == 0 {
			b.Fatal("stuck")
		}
		for _, d := range decisions {
			switch d := d.(type) {
			case write:
				if err := m.recorded(d.record, 1); err != nil {
					b.Fatal(err)
				}
			case ask:
				switch d.what {
				case askPlan:
					st := scheduler.Stage{Name: "map", Tasks: make([]scheduler.Task, tasks)}
					m.plan(scheduler.Plan{Stages: []scheduler.Stage{st}}, nil, 1)
				case askPayload:
					m.payload(d.attempt, nil, nil, 1)
				case askCommit:
					m.committed(nil, nil, 1)
				}
			case order:
				if d.verb == orderStart {
					m.reported(report{
						executor: d.executor, attempt: d.attempt, state: scheduler.AttemptSucceeded,
						data: done, counters: counters,
					}, 1)
				}
			case scale:
				for i := range d.count {
					m.register(fmt.Sprintf("executor-%d.0", i), fmt.Sprintf("node-%d:1", i), 4, nil, 1)
				}
			}
		}
	}
}
