package mapreduce

import (
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/mapreduce/collect"
	"github.com/seed3322913c/runner/mapreduce/split"
)

// The groups of counters, as Hadoop has them.
const (
	taskCounters   = "org.apache.hadoop.mapreduce.TaskCounter"
	fileCounters   = "org.apache.hadoop.mapreduce.FileSystemCounter"
	inputCounters  = "org.apache.hadoop.mapreduce.lib.input.FileInputFormatCounter"
	namedCounters  = "org.apache.hadoop.mapreduce.lib.output.MultipleOutputs"
	outputCounters = "org.apache.hadoop.mapreduce.lib.output.FileOutputFormatCounter"
)

// count adds to a counter that Hadoop keeps for every task.
func (t *task) count(name string, n int64) { t.r.Count(taskCounters, name, n) }

// countRead counts the input of a map. Like Hadoop it has a counter for each file system.
func (t *task) countRead(s split.Split) {
	t.r.Count(inputCounters, "BYTES_READ", s.Bytes())
	for _, p := range s {
		scheme, _, _ := strings.Cut(p.URI, "://")
		t.r.Count(fileCounters, strings.ToUpper(scheme)+"_BYTES_READ", p.Length)
	}
}

// countWritten counts a part of the output.
func (t *task) countWritten(n int64) {
	t.r.Count(outputCounters, "BYTES_WRITTEN", n)
	scheme, _, _ := strings.Cut(t.Job.Output, "://")
	t.r.Count(fileCounters, strings.ToUpper(scheme)+"_BYTES_WRITTEN", n)
}

func (t *task) countCollected(s collect.Stats, stored int64) {
	t.count("MAP_OUTPUT_RECORDS", s.Records)
	t.count("MAP_OUTPUT_BYTES", s.Bytes)
	t.count("MAP_OUTPUT_MATERIALIZED_BYTES", stored)
	t.count("COMBINE_INPUT_RECORDS", s.CombineIn)
	t.count("COMBINE_OUTPUT_RECORDS", s.CombineOut)
	t.count("SPILLED_RECORDS", s.Spilled)
}

// cpuMeter divides the CPU time of this process and of the children that it has waited for among the attempts that run.
// The shares add up to what was used; how it falls on attempts at the same time is a guess.
type cpuMeter struct {
	mu struct {
		sync.Mutex
		last    time.Duration
		running map[*time.Duration]bool // the share of each attempt so far
	}
}

// begin starts an attempt's account. The function that it returns ends it and reports the milliseconds.
func (m *cpuMeter) begin(report func(millis int64)) (end func()) {
	share := new(time.Duration)
	m.change(func(running map[*time.Duration]bool) { running[share] = true })
	return func() {
		m.change(func(running map[*time.Duration]bool) { delete(running, share) })
		report(share.Milliseconds())
	}
}

// change deals out what was used since the last change, and makes the next one.
func (m *cpuMeter) change(next func(running map[*time.Duration]bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.running == nil {
		m.mu.running = map[*time.Duration]bool{}
	}
	now := cpuTime()
	for share := range m.mu.running {
		*share += (now - m.mu.last) / time.Duration(len(m.mu.running))
	}
	m.mu.last = now
	next(m.mu.running)
}

// cpuTime returns the CPU time that this process and its ended children have used, or 0 where that is not known.
func cpuTime() time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err == nil {
			total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return total
}
