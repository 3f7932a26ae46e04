package role

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/superstep"
)

// Summary is what a master's attempt leaves for people.
type Summary struct {
	Iterations int      `json:"iterations"`
	Seconds    float64  `json:"seconds"`
	Late       int      `json:"late_results"`   // pieces of results that came for another turn
	Partial    int      `json:"partial"`        // iterations in which somebody was missing
	Grouped    int      `json:"grouped"`        // turns in which groups of workers sent one result
	PeakBytes  int64    `json:"peak_bytes"`     // most bytes of results that waited to be added up
	Members    int      `json:"members"`        // how many workers there were
	Workers    []Worker `json:"workers"`        // sums over all iterations of this attempt; of very many the latest
	Last       float64  `json:"last,omitempty"` // the last "loss" recorded
}

// Worker is what became of one worker's time, in seconds.
type Worker struct {
	Index     int     `json:"index"`
	Compute   float64 `json:"compute"`   // computing
	Broadcast float64 `json:"broadcast"` // from the start of the iteration until the master result had been sent to it
	Transfer  float64 `json:"transfer"`  // the rest of the time until its result was there: mostly data on its way
	Wait      float64 `json:"wait"`      // from then until the last result was there
	Late      float64 `json:"late"`      // what its results came after the median
	Missing   int     `json:"missing"`   // iterations that went on without it
}

// stats measures a master's iterations. result and dropped are for readers, sent for writers, the rest for the loop.
type stats struct {
	begun    time.Time // the master
	since    time.Time // its first turn
	gathered time.Time // when the last result of the turn had come
	workers  []Worker
	late     atomic.Int64
	done     int
	partial  int
	last     float64

	mu    sync.Mutex // guards what follows
	turn  time.Time  // when the turn began
	at    superstep.Position
	times []times // of this turn, by worker
}

// times are those of a worker in one turn.
type times struct {
	came    bool
	sent    time.Duration // until the order, and the master result with it, had been sent to it
	arrival time.Duration // until its result was there
	compute time.Duration
}

func newStats(workers int) *stats {
	now := time.Now()
	return &stats{begun: now, turn: now, workers: make([]Worker, workers), times: make([]times, workers)}
}

func (s *stats) begin(at superstep.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn, s.at = time.Now(), at
	if s.since.IsZero() {
		s.since = s.turn
	}
	clear(s.times)
}

// sent says that a worker has been sent the order of a turn.
func (s *stats) sent(index int, at superstep.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at == s.at {
		s.times[index].sent = time.Since(s.turn)
	}
}

func (s *stats) result(index int, compute time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.times[index]
	t.came, t.arrival, t.compute = true, time.Since(s.turn), compute
}

func (s *stats) dropped() { s.late.Add(1) }

func (s *stats) arrived() { s.gathered = time.Now() }

// computed closes an iteration and returns its times in seconds: all of it, the median worker's computing, waiting for
// those slower than the median, the master's own part, and what remains, which is mostly data on its way. If there are
// not too many workers, the times of each are there too.
func (s *stats) computed(step *guagua.Step) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var arrivals, compute []time.Duration
	for _, t := range s.times {
		if t.came {
			arrivals, compute = append(arrivals, t.arrival), append(compute, t.compute)
		}
	}
	slices.Sort(arrivals)
	slices.Sort(compute)
	middle, last := arrivals[len(arrivals)/2], arrivals[len(arrivals)-1]
	s.done++
	if len(step.Missing) > 0 {
		s.partial++
	}
	all, own := now.Sub(s.turn), now.Sub(s.gathered)
	work, wait := compute[len(compute)/2], last-middle
	return map[string]any{
		"seconds": seconds(all), "compute": seconds(work), "wait": seconds(wait), "aggregate": seconds(own),
		"transfer": seconds(max(0, all-work-wait-own)), "workers": s.eachLocked(middle, last),
	}
}

// maxListed is how many workers a line tells the times of; of more workers the sums in the summary must do.
const maxListed = 64

// eachLocked adds to the workers' sums, and returns their times of this turn for the line, null for who is missing.
func (s *stats) eachLocked(middle, last time.Duration) map[string][]any {
	line := map[string][]any{}
	for i, t := range s.times {
		w := &s.workers[i]
		if !t.came {
			w.Missing++
		} else {
			w.Late += max(0, t.arrival-middle).Seconds()
		}
		for _, part := range []struct {
			name string
			sum  *float64
			took time.Duration
		}{
			{"compute", &w.Compute, t.compute}, {"broadcast", &w.Broadcast, t.sent},
			{"transfer", &w.Transfer, max(0, t.arrival-t.sent-t.compute)}, {"wait", &w.Wait, last - t.arrival},
		} {
			switch {
			case t.came:
				*part.sum += part.took.Seconds()
				line[part.name] = append(line[part.name], seconds(part.took))
			default:
				line[part.name] = append(line[part.name], nil)
			}
		}
	}
	if len(s.times) > maxListed {
		return nil
	}
	return line
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
		Grouped: m.grouped, PeakBytes: m.pool.Peak(), Members: len(s.workers), Workers: s.latest(), Last: s.last,
	}
}

// maxSummed is how many workers a summary tells the times of: it must fit the result of an attempt.
const maxSummed = 2048

// latest returns the workers in order of their index; if they are too many, those that came latest.
func (s *stats) latest() []Worker {
	all := slices.Clone(s.workers)
	for i := range all {
		w := &all[i]
		w.Index = i
		for _, v := range []*float64{&w.Compute, &w.Broadcast, &w.Transfer, &w.Wait, &w.Late} {
			*v = math.Round(*v*1e6) / 1e6
		}
	}
	if len(all) > maxSummed {
		slices.SortStableFunc(all, func(a, b Worker) int { return cmp.Compare(b.Late, a.Late) })
		all = all[:maxSummed]
		slices.SortFunc(all, func(a, b Worker) int { return cmp.Compare(a.Index, b.Index) })
	}
	return all
}

func itoa(i int) string { return strconv.Itoa(i) }
