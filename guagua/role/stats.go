package role

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3322913c/runner/guagua"
)

// Summary is what a master's attempt leaves for people.
type Summary struct {
	Iterations int      `json:"iterations"`
	Seconds    float64  `json:"seconds"`
	Late       int      `json:"late_results"`   // pieces of results that came for another turn
	Partial    int      `json:"partial"`        // iterations in which somebody was missing
	PeakBytes  int64    `json:"peak_bytes"`     // most bytes of results that waited to be added up
	Workers    []Worker `json:"workers"`        // by index, sums over all iterations of this attempt
	Last       float64  `json:"last,omitempty"` // the last "loss" recorded
}

// Worker is what became of one worker's time.
type Worker struct {
	Compute float64 `json:"compute"` // seconds of computing
	Late    float64 `json:"late"`    // seconds that its results came after the median
	Missing int     `json:"missing"` // iterations that went on without it
}

// stats measures a master's iterations. result and dropped are for readers, the rest for the loop.
type stats struct {
	begun    time.Time // the master
	since    time.Time // its first turn
	gathered time.Time // when the last result of the turn had come
	workers  []Worker
	late     atomic.Int64
	done     int
	partial  int
	last     float64

	mu       sync.Mutex      // guards what follows
	turn     time.Time       // when the turn began
	arrivals []time.Duration // of this turn, by worker, below 0 if nothing has come
	compute  []time.Duration
}

func newStats(workers int) *stats {
	now := time.Now()
	s := &stats{begun: now, turn: now, workers: make([]Worker, workers)}
	s.arrivals, s.compute = make([]time.Duration, workers), make([]time.Duration, workers)
	return s
}

func (s *stats) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn = time.Now()
	if s.since.IsZero() {
		s.since = s.turn
	}
	for i := range s.arrivals {
		s.arrivals[i] = -1
	}
}

func (s *stats) result(index int, compute time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrivals[index], s.compute[index] = time.Since(s.turn), compute
}

func (s *stats) dropped() { s.late.Add(1) }

func (s *stats) arrived() { s.gathered = time.Now() }

// computed closes an iteration and returns its times in seconds: all of it, the median worker's computing, waiting for
// those slower than the median, the master's own part, and what remains, which is mostly data on its way.
func (s *stats) computed(step *guagua.Step) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var arrivals, compute []time.Duration
	for i, a := range s.arrivals {
		if a >= 0 {
			arrivals, compute = append(arrivals, a), append(compute, s.compute[i])
		} else {
			s.workers[i].Missing++
		}
	}
	slices.Sort(arrivals)
	slices.Sort(compute)
	middle := arrivals[len(arrivals)/2]
	for i, a := range s.arrivals {
		if a >= 0 {
			s.workers[i].Compute += s.compute[i].Seconds()
			s.workers[i].Late += max(0, a-middle).Seconds()
		}
	}
	s.done++
	if len(step.Missing) > 0 {
		s.partial++
	}
	all, own := now.Sub(s.turn), now.Sub(s.gathered)
	work, wait := compute[len(compute)/2], arrivals[len(arrivals)-1]-middle
	return map[string]any{
		"seconds": seconds(all), "compute": seconds(work), "wait": seconds(wait), "aggregate": seconds(own),
		"transfer": seconds(max(0, all-work-wait-own)),
	}
}

// seconds rounds to a millionth.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1e6) / 1e6 }

// number makes JSON of what JSON has no numbers for.
func number(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Sprint(v)
	}
	return v
}

func (s *stats) status(r *guagua.Record, env *guagua.Env) string {
	status := guagua.Status{Iteration: r.Iteration, Iterations: env.Iterations}
	if loss, ok := r.Values["loss"]; ok {
		s.last = loss
		status.Name, status.Value = "loss", loss
	} else if names := slices.Sorted(maps.Keys(r.Values)); len(names) > 0 {
		status.Name, status.Value = names[0], r.Values[names[0]]
	}
	if elapsed := time.Since(s.since).Seconds(); elapsed > 0 {
		status.Rate = float64(s.done) / elapsed
	}
	return status.String()
}

func (s *stats) summary(m *master) Summary {
	return Summary{
		Iterations: s.done, Seconds: seconds(time.Since(s.begun)), Late: int(s.late.Load()), Partial: s.partial,
		PeakBytes: m.pool.Peak(), Workers: s.workers, Last: s.last,
	}
}

func itoa(i int) string { return strconv.Itoa(i) }
