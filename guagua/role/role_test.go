package role

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

func TestUndisturbed(t *testing.T) {
	for _, c := range []struct {
		workers, total, size int
		kind                 guagua.Reduction
		durable              bool
	}{
		{1, 1, 1, guagua.Vectors, false},
		{1, 5, 3, guagua.Vectors, true},
		{2, 20, 40, guagua.Vectors, false},
		{5, 20, 40, guagua.Pairs, true},
		{3, 5, 2*wire.Chunk/8 + 11, guagua.Vectors, false},
		{4, 4, wire.Chunk / 8, guagua.Pairs, false},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &descent{size: c.size, kind: c.kind}
				y := newYard(t, d.app(), c.workers, c.total)
				y.job.Config.Durable = c.durable
				y.job.Largest = 16 << 20
				y.startAll(t.Context())
				if y.finished() != reference(c.size, c.workers, c.total) {
					t.Error("the outcome differs")
				}
				if lines := strings.Count(y.output("metrics.jsonl"), "\n"); lines != c.total {
					t.Errorf("%d lines of metrics", lines)
				}
				if d.opened != c.workers+1 || d.closed != d.opened {
					t.Errorf("%d were opened, %d closed", d.opened, d.closed)
				}
				if y.summary.Iterations != c.total || len(y.status) != c.total {
					t.Errorf("%+v, %d lines of status", y.summary, len(y.status))
				}
			})
		})
	}
}

// TestKilledInEveryIteration kills the master, or a worker, at the beginning of every iteration, first and last
// included.
func TestKilledInEveryIteration(t *testing.T) {
	const workers, total, size = 3, 6, 5
	want := reference(size, workers, total)
	for _, durable := range []bool{false, true} {
		for victim := guagua.MasterIndex; victim < workers; victim++ {
			for at := 1; at <= total; at++ {
				t.Run(fmt.Sprintf("durable=%v/victim=%d/iteration=%d", durable, victim, at), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						d := &descent{size: size, kind: guagua.Vectors}
						y := newYard(t, d.app(), workers, total)
						y.job.Config.Durable = durable
						killed := false
						d.before = func(ctx context.Context, s *guagua.Step) error {
							if s.Env.Worker == victim && s.Iteration == at && !killed {
								killed = true
								y.strike(victim)
								return wait(ctx, time.Hour)
							}
							return wait(ctx, time.Millisecond)
						}
						y.startAll(t.Context())
						if y.finished() != want {
							t.Error("the outcome differs")
						}
						if lines := strings.Count(y.output("metrics.jsonl"), "\n"); lines != total {
							t.Errorf("%d lines of metrics", lines)
						}
						if !killed || d.closed != d.opened {
							t.Errorf("killed %v; %d were opened, %d closed", killed, d.opened, d.closed)
						}
					})
				})
			}
		}
	}
}

// TestChaos kills and cuts at random moments of the bubble's time.
func TestChaos(t *testing.T) {
	runs := uint64(80)
	if testing.Short() {
		runs = 25
	}
	for seed := range runs {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, seed) })
		})
	}
}

func chaos(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 6))
	workers, total := 1+r.IntN(7), 1+r.IntN(30)
	size := []int{3, 3, 3, wire.Chunk/8 + 5}[r.IntN(4)]
	d := &descent{size: size, kind: []guagua.Reduction{guagua.Vectors, guagua.Pairs}[r.IntN(2)]}
	y := newYard(t, d.app(), workers, total)
	y.job.Largest = 16 << 20
	y.job.Group = []int{0, 2, 4}[r.IntN(3)]
	y.job.Config.Durable = r.IntN(3) == 0
	y.job.Config.SaveEvery = time.Duration(r.IntN(20)) * time.Millisecond
	pace := rand.New(rand.NewPCG(seed, 7))
	d.before = func(ctx context.Context, s *guagua.Step) error {
		d.mu.Lock()
		n := pace.IntN(10)
		d.mu.Unlock()
		return wait(ctx, time.Duration(n)*time.Millisecond)
	}
	y.startAll(t.Context())
	for range 1 + r.IntN(8) {
		if wait(t.Context(), time.Duration(r.IntN(60))*time.Millisecond) != nil {
			return
		}
		switch r.IntN(4) {
		case 0:
			y.strike(guagua.MasterIndex)
		case 1:
			y.strike(r.IntN(workers))
		case 2:
			y.links.Cut(r.IntN(100))
		case 3: // everything at once
			for i := guagua.MasterIndex; i < workers; i++ {
				y.strike(i)
			}
		}
	}
	if y.finished() != reference(size, workers, total) {
		t.Error("the outcome differs")
	}
	if lines := strings.Count(y.output("metrics.jsonl"), "\n"); lines != total {
		t.Errorf("%d lines of metrics, want %d", lines, total)
	}
}

// TestGroups: leaders add up what their groups send, to the same bit; when one of a group goes, the turn begins again
// without it, and later the group is used again.
func TestGroups(t *testing.T) {
	for _, c := range []struct{ workers, group, size, victim int }{
		{2, 2, 1, none}, {4, 4, 40, none}, {5, 2, wire.Chunk/8 + 11, none}, {6, 4, wire.Chunk / 8, none},
		{9, 8, 3, none}, {7, 4, 3, 0}, {7, 4, 3, 1}, {7, 4, 3, 6}, {8, 2, 3, guagua.MasterIndex},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				total := 20
				if c.size > wire.Chunk/16 {
					total = 6
				}
				killed := false
				d := &descent{size: c.size, kind: guagua.Vectors}
				y := newYard(t, d.app(), c.workers, total)
				y.job.Group, y.job.Largest = c.group, 16<<20
				d.before = func(ctx context.Context, s *guagua.Step) error {
					if s.Env.Worker == c.victim && s.Iteration == total/2 && !killed {
						killed = true
						y.strike(c.victim)
						return wait(ctx, time.Hour)
					}
					return wait(ctx, time.Duration(2+s.Env.Worker)*time.Millisecond)
				}
				y.startAll(t.Context())
				if y.finished() != reference(c.size, c.workers, total) {
					t.Error("the outcome differs")
				}
				if y.summary.Grouped < total/2-1 || killed == (c.victim == none) {
					t.Errorf("killed: %v; groups were used in %d turns", killed, y.summary.Grouped)
				}
				if d.closed != d.opened {
					t.Errorf("%d were opened, %d closed", d.opened, d.closed)
				}
			})
		})
	}
}

// none is the victim of tests in which nobody dies.
const none = -2

// TestTwoMastersAtOnce: an old master that does not know that it was replaced is fenced, and changes nothing.
func TestTwoMastersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers, total, size = 3, 30, 5
		d := &descent{size: size, kind: guagua.Vectors}
		d.before = func(ctx context.Context, s *guagua.Step) error { return wait(ctx, time.Millisecond) }
		y := newYard(t, d.app(), workers, total)
		for i := range workers {
			y.start(t.Context(), i)
		}
		y.work.Go(func() {
			if err := y.run(t.Context(), guagua.MasterIndex, 0); !errors.Is(err, errs.Fenced) {
				t.Errorf("the old master ended with %v", err)
			}
		})
		if err := wait(t.Context(), 10*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if err := y.run(t.Context(), guagua.MasterIndex, 1); err != nil {
			t.Error(err)
		}
		if y.finished() != reference(size, workers, total) {
			t.Error("the outcome differs")
		}
	})
}

func TestRegistrationDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &descent{size: 2, kind: guagua.Vectors}
		y := newYard(t, d.app(), 3, 5)
		y.start(t.Context(), 0)
		y.start(t.Context(), 2)
		err := y.run(t.Context(), guagua.MasterIndex, 0)
		if !errors.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "worker 1") {
			t.Error(err)
		}
		y.strike(0)
		y.start(t.Context(), 1)
		y.start(t.Context(), guagua.MasterIndex)
		if y.finished() != reference(2, 3, 5) {
			t.Error("the outcome differs")
		}
	})
}

// TestPartialCompletion: a worker that hangs in one iteration is missing there, said to be so, and back in the next.
func TestPartialCompletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &descent{size: 2, kind: guagua.Vectors}
		y := newYard(t, d.app(), 4, 6)
		y.job.Config.MinRatio, y.job.Config.MinTimeout = 0.75, 2*time.Second
		d.before = func(ctx context.Context, s *guagua.Step) error {
			if s.Env.Worker == 2 && s.Iteration == 3 {
				return wait(ctx, 5*time.Second)
			}
			return wait(ctx, 10*time.Millisecond)
		}
		y.startAll(t.Context())
		y.finished()
		lines := strings.Split(y.output("metrics.jsonl"), "\n")
		if !strings.Contains(lines[2], `"missing":[2]`) || strings.Contains(lines[0], "missing") {
			t.Error(lines)
		}
		if y.summary.Workers[2].Missing < 1 || y.summary.Partial < 1 || y.summary.Workers[1].Missing != 0 {
			t.Errorf("%+v", y.summary)
		}
		if y.counters["Guagua/MISSING_RESULTS"] < 1 {
			t.Error(y.counters)
		}
	})
}

// TestStaleness: a worker that is slow is left behind by so many iterations and no more, and what it computes counts.
func TestStaleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const total, staleness = 12, 2
		d := &descent{size: 2, kind: guagua.Vectors}
		y := newYard(t, d.app(), 3, total)
		y.job.Config.Staleness, y.job.Config.MinRatio = staleness, 0.6
		var computed atomic.Int64
		d.before = func(ctx context.Context, s *guagua.Step) error {
			if s.Env.Worker == 2 {
				computed.Add(1)
				return wait(ctx, time.Second)
			}
			return wait(ctx, 10*time.Millisecond)
		}
		y.startAll(t.Context())
		y.finished()
		counted, behind := 0, 0
		for i, line := range strings.Split(strings.TrimSpace(y.output("metrics.jsonl")), "\n") {
			missing := strings.Contains(line, `"missing":[2]`)
			if behind++; !missing {
				counted, behind = counted+1, 0
			}
			if missing && (i == 0 || i == total-1 || behind > staleness) || strings.Contains(line, `"missing":[0`) {
				t.Errorf("line %d: %s", i, line)
			}
		}
		// What it has when the last iteration begins is not wanted there.
		if n := int(computed.Load()); n > counted+1 || n > total/2 {
			t.Errorf("the slow worker computed %d results, %d counted", n, counted)
		}
	})
}

// TestTimesOfEachWorker: worker i computes for i+1 seconds, and waits for the slowest.
func TestTimesOfEachWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &descent{size: 2, kind: guagua.Vectors}
		y := newYard(t, d.app(), 3, 4)
		d.before = func(ctx context.Context, s *guagua.Step) error {
			return wait(ctx, time.Duration(1+s.Env.Worker)*time.Second) // nothing on the master
		}
		y.startAll(t.Context())
		y.finished()
		var line struct {
			Seconds, Compute, Wait float64
			Workers                map[string][]float64
		}
		text, _, _ := strings.Cut(y.output("metrics.jsonl"), "\n")
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		want := map[string][]float64{"compute": {1, 2, 3}, "wait": {2, 1, 0}, "broadcast": {0, 0, 0}, "transfer": {0, 0, 0}}
		if diff := cmp.Diff(want, line.Workers); diff != "" {
			t.Error(diff)
		}
		if last := y.status[len(y.status)-1]; !strings.Contains(last, "0.333 iterations/s") {
			t.Error(last)
		}
		if line.Seconds != 3 || line.Compute != 2 || line.Wait != 1 {
			t.Errorf("%+v", line)
		}
		if w := y.summary.Workers; w[0].Wait != 8 || w[2].Compute != 12 || w[2].Wait != 0 {
			t.Errorf("%+v", w)
		}
	})
}

func TestStragglerIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &descent{size: 2, kind: guagua.Vectors}
		y := newYard(t, d.app(), 3, 8)
		y.job.Config.Stragglers, y.job.Config.Strikes = superstep.Replace, 2
		d.before = func(ctx context.Context, s *guagua.Step) error {
			if s.Env.Worker == 1 && s.Env.Attempt == 0 {
				return wait(ctx, time.Minute)
			}
			return wait(ctx, time.Second)
		}
		y.startAll(t.Context())
		y.work.Wait()
		if !errors.Is(y.last, errs.Fenced) || y.attempts[1] != 2 || y.failures != 1 {
			t.Errorf("%d attempts, %d failures: %v", y.attempts[1], y.failures, y.last)
		}
		y.last = nil
		if y.finished() != reference(2, 3, 8) {
			t.Error("the outcome differs")
		}
		if y.counters["Guagua/STRAGGLERS"] < 2 {
			t.Error(y.counters)
		}
	})
}

func TestHalting(t *testing.T) {
	for who, halts := range map[string]func(s *guagua.Step) bool{
		"master":      func(s *guagua.Step) bool { return s.Env.Worker == guagua.MasterIndex && s.Iteration == 4 },
		"all workers": func(s *guagua.Step) bool { return s.Env.Worker != guagua.MasterIndex && s.Iteration == 4 },
		"one worker":  func(s *guagua.Step) bool { return s.Env.Worker == 1 },
	} {
		t.Run(who, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &descent{size: 2, kind: guagua.Vectors}
				d.before = func(_ context.Context, s *guagua.Step) error {
					if halts(s) {
						s.Halt()
					}
					return nil
				}
				y := newYard(t, d.app(), 3, 9)
				y.startAll(t.Context())
				want := 4
				if who == "one worker" {
					want = 9
				}
				if y.finished() != reference(2, 3, want) {
					t.Error("the outcome differs")
				}
			})
		})
	}
}

// TestProgramErrors: what the user's code says ends the attempt with its words, and everybody cleans up.
func TestProgramErrors(t *testing.T) {
	for who, index := range map[string]int{"master": guagua.MasterIndex, "worker 1 in iteration 3": 1} {
		t.Run(who, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &descent{size: 2, kind: guagua.Vectors}
				d.before = func(_ context.Context, s *guagua.Step) error {
					if s.Env.Worker == index && s.Iteration == 3 {
						panic("the loss is NaN")
					}
					return nil
				}
				y := newYard(t, d.app(), 2, 9)
				ctx, cancel := context.WithCancel(t.Context())
				y.startAll(ctx)
				synctest.Wait()
				for y.failures < 4 {
					if wait(t.Context(), time.Second) != nil {
						t.Fatal("no failures")
					}
				}
				cancel()
				y.work.Wait()
				if !errors.Is(y.last, errs.Failed) || !strings.Contains(y.last.Error(), "the loss is NaN") ||
					!strings.Contains(y.last.Error(), who) || !strings.Contains(y.last.Error(), "role_test.go:") {
					t.Error(y.last)
				}
				if d.opened != d.closed {
					t.Errorf("%d were opened, %d closed", d.opened, d.closed)
				}
			})
		})
	}
}
