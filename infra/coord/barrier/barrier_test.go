package barrier_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/barrier"
	"github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/errs"
)

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("w%d", i)
	}
	return all
}

// counting counts the calls that change or read something.
type counting struct {
	coord.Coordinator
	gets, swaps, events *atomic.Int64
}

func (c counting) Get(ctx context.Context, key coord.Key) (coord.Value, error) {
	c.gets.Add(1)
	return c.Coordinator.Get(ctx, key)
}

func (c counting) Swap(ctx context.Context, key coord.Key, old coord.Version, next []byte) (coord.Version, error) {
	c.swaps.Add(1)
	return c.Coordinator.Swap(ctx, key, old, next)
}

// keys returns what is left in the space.
func keys(t *testing.T, c coord.Coordinator) (all []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for e, err := range c.Watch(ctx, "") {
		if err != nil {
			return all
		}
		all = append(all, string(e.Key))
	}
	return all
}

func TestAllBeginTogetherAndEndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, epochs = 20, 3
		space := mem.New()
		c := counting{space, &atomic.Int64{}, &atomic.Int64{}, &atomic.Int64{}}
		var inside, left [epochs + 1]atomic.Int64
		var wg sync.WaitGroup
		for i, name := range names(n) {
			wg.Go(func() {
				for e := uint64(1); e <= epochs; e++ {
					b := barrier.New(c, "job/b", e)
					time.Sleep(time.Duration(i) * time.Second)
					inside[e].Add(1)
					if err := b.Enter(t.Context(), name); err != nil {
						t.Error(err)
					}
					if got := inside[e].Load(); got != n {
						t.Errorf("epoch %d began with %d", e, got)
					}
					time.Sleep(time.Duration(n-i) * time.Second)
					left[e].Add(1)
					if err := b.Leave(t.Context(), name); err != nil {
						t.Error(err)
					}
					if got := left[e].Load(); got != n {
						t.Errorf("epoch %d ended with %d", e, got)
					}
				}
			})
		}
		for e := uint64(1); e <= epochs; e++ {
			b := barrier.New(c, "job/b", e)
			if err := b.AwaitEnter(t.Context(), names(n)); err != nil {
				t.Fatal(err)
			}
			if err := b.AwaitLeave(t.Context(), names(n)); err != nil {
				t.Fatal(err)
			}
		}
		wg.Wait()
		if got := keys(t, space); len(got) != 1 || got[0] != "job/b/state" {
			t.Errorf("left behind: %v", got)
		}
		// Two writes and two deletions for each participant, a few of the host.
		if got := c.swaps.Load() + c.gets.Load(); got > epochs*(6*n+20) {
			t.Errorf("%d calls for %d participants and %d epochs", got, n, epochs)
		}
	})
}

func TestMissingFailEverybodyByName(t *testing.T) {
	for _, phase := range []string{"enter", "leave"} {
		t.Run(phase, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := mem.New()
				b := barrier.New(c, "b", 1)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				check := func(who string, err error) {
					if !errors.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "missing: w1, w3") {
						t.Errorf("%s: %v", who, err)
					}
				}
				for i, name := range names(5) {
					wg.Go(func() {
						dead := i == 1 || i == 3
						if dead && phase == "enter" {
							return
						}
						err := b.Enter(context.Background(), name)
						if phase == "leave" && !dead {
							if err != nil {
								t.Error(err)
							}
							err = b.Leave(context.Background(), name)
						}
						if !dead {
							check(name, err)
						}
					})
				}
				start := time.Now()
				err := b.AwaitEnter(ctx, names(5))
				if phase == "leave" {
					if err != nil {
						t.Fatal(err)
					}
					err = b.AwaitLeave(ctx, names(5))
				}
				check("host", err)
				wg.Wait()
				if d := time.Since(start); d != time.Minute {
					t.Errorf("it took %v", d)
				}
				check("who comes late", b.Enter(t.Context(), "w1"))
				check("who hosts again", b.AwaitEnter(t.Context(), names(5)))
			})
		})
	}
}

func TestAbortEndsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := barrier.New(mem.New(), "b", 1)
		ends := make(chan error)
		go func() { ends <- b.Enter(t.Context(), "w0") }()
		go func() { ends <- b.AwaitEnter(t.Context(), names(2)) }()
		synctest.Wait()
		for range 2 { // the second time changes nothing
			if err := b.Abort(t.Context(), "told to stop"); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := <-ends; !errors.Is(err, errs.Canceled) || !strings.Contains(err.Error(), "told to stop") {
				t.Error(err)
			}
		}
	})
}

func TestLaterEpochFencesEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mem.New()
		old, next := barrier.New(c, "b", 1), barrier.New(c, "b", 2)
		ends := make(chan error)
		go func() { ends <- old.Enter(t.Context(), "w0") }()
		go func() { ends <- old.AwaitEnter(t.Context(), names(2)) }()
		synctest.Wait()
		if err := next.AwaitEnter(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := <-ends; !errors.Is(err, errs.Fenced) {
				t.Error(err)
			}
		}
		if err := old.Abort(t.Context(), "late"); err != nil {
			t.Error(err)
		}
		if err := next.AwaitLeave(t.Context(), nil); err != nil {
			t.Errorf("an earlier epoch's Abort reached a later one: %v", err)
		}
	})
}

// TestSlowLeaverIsNotFenced lets the host go on to the next epoch before a participant has seen that all have left.
func TestSlowLeaverIsNotFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mem.New()
		b := barrier.New(c, "b", 1)
		for _, step := range []func() error{
			func() error { go b.Enter(t.Context(), "w0"); return b.AwaitEnter(t.Context(), names(1)) },
			func() error { go b.Leave(t.Context(), "w0"); return b.AwaitLeave(t.Context(), names(1)) },
			func() error { return barrier.New(c, "b", 2).AwaitEnter(t.Context(), nil) },
			func() error { return b.Leave(t.Context(), "w0") }, // its first answer was lost
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
	})
}

func TestHostMayBeReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := mem.New()
		second := first.Client()
		var wg sync.WaitGroup
		for _, name := range names(2) {
			wg.Go(func() {
				b := barrier.New(second, "b", 1)
				time.Sleep(time.Second)
				if err := b.Enter(t.Context(), name); err != nil {
					t.Error(err)
				}
			})
		}
		ended := make(chan error)
		go func() { ended <- barrier.New(first, "b", 1).AwaitEnter(t.Context(), names(2)) }()
		synctest.Wait()
		first.Partition()
		if err := <-ended; !errors.Is(err, errs.Unavailable) {
			t.Errorf("the host that was cut off: %v", err)
		}
		if err := barrier.New(second, "b", 1).AwaitEnter(t.Context(), names(2)); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
}

func TestBadNameIsRefused(t *testing.T) {
	if err := barrier.New(mem.New(), "b", 1).Enter(t.Context(), "a name"); !errors.Is(err, errs.Invalid) {
		t.Error(err)
	}
}

// Watch counts what whoever watches is told.
func (c counting) Watch(ctx context.Context, prefix string) iter.Seq2[coord.Event, error] {
	return func(yield func(coord.Event, error) bool) {
		for e, err := range c.Coordinator.Watch(ctx, prefix) {
			c.events.Add(1)
			if !yield(e, err) {
				return
			}
		}
	}
}

// TestCostGrowsWithParticipants: a barrier of a thousand costs ten times as much as one of a hundred, not a hundred
// times.
func TestCostGrowsWithParticipants(t *testing.T) {
	for _, n := range []int{100, 1000} {
		synctest.Test(t, func(t *testing.T) {
			c := counting{mem.New(), &atomic.Int64{}, &atomic.Int64{}, &atomic.Int64{}}
			var wg sync.WaitGroup
			b := barrier.New(c, "job/b", 1)
			for _, name := range names(n) {
				wg.Go(func() {
					if err := errors.Join(b.Enter(t.Context(), name), b.Leave(t.Context(), name)); err != nil {
						t.Error(err)
					}
				})
			}
			if err := errors.Join(b.AwaitEnter(t.Context(), names(n)), b.AwaitLeave(t.Context(), names(n))); err != nil {
				t.Fatal(err)
			}
			wg.Wait()
			calls, events := c.gets.Load()+c.swaps.Load(), c.events.Load()
			t.Logf("%d participants: %d calls, told %d times", n, calls, events)
			if calls > int64(6*n+20) || events > int64(10*n+20) {
				t.Errorf("%d participants cost %d calls, and are told %d times", n, calls, events)
			}
		})
	}
}

// ending ends a ctx when it tells of a key.
type ending struct {
	coord.Coordinator
	key coord.Key
	end func()
}

func (c ending) Watch(ctx context.Context, prefix string) iter.Seq2[coord.Event, error] {
	return func(yield func(coord.Event, error) bool) {
		for e, err := range c.Coordinator.Watch(ctx, prefix) {
			if err == nil && e.Key == c.key {
				c.end()
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// TestADeadlineWhenAllHaveCome lets the host's time be over just when it sees the last participant: they all pass, and
// none waits for what nobody says.
func TestADeadlineWhenAllHaveCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space := mem.New()
		entered := make(chan error, 1)
		go func() { entered <- barrier.New(space, "b", 1).Enter(t.Context(), "w0") }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		host := barrier.New(ending{space, "b/1/enter/w0", cancel}, "b", 1)
		if err := host.AwaitEnter(ctx, names(1)); err != nil {
			t.Error(err)
		}
		if err := <-entered; err != nil {
			t.Error(err)
		}
	})
}
