package election_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/election"
	"github.com/seed3322913c/runner/infra/coord/fault"
	"github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/errs"
)

const ttl = 10 * time.Second

func campaign(address string) election.Campaign {
	return election.Campaign{Key: "gateway", TTL: ttl, Address: address}
}

// candidate stands for election until its stop is called.
type candidate struct {
	client *mem.Coordinator
	stop   func() // and waits until Run has returned
	err    error  // of Run, after stop
}

// leaders notes who leads when, and that nobody begins before the last one was told to end.
type leaders struct {
	mu     sync.Mutex
	tokens []uint64
	names  []string
	ended  time.Time // when the last one's ctx ended
}

func (l *leaders) stand(t *testing.T, c *mem.Coordinator, name string) *candidate {
	ctx, cancel := context.WithCancel(t.Context())
	p := &candidate{client: c}
	done := make(chan struct{})
	p.stop = func() { cancel(); <-done }
	go func() {
		defer close(done)
		p.err = election.Run(ctx, c, campaign(name), func(ctx context.Context, token uint64) error {
			l.mu.Lock()
			l.tokens, l.names = append(l.tokens, token), append(l.names, name)
			began := time.Now()
			l.mu.Unlock()
			<-ctx.Done()
			l.mu.Lock()
			defer l.mu.Unlock()
			if began.Before(l.ended) {
				t.Errorf("%s led from %v on, another until %v", name, began, l.ended)
			}
			l.ended = time.Now()
			return ctx.Err()
		})
	}()
	synctest.Wait()
	return p
}

func TestLeadershipPassesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space := mem.New()
		var seen []election.Leader
		watching, stopWatching := context.WithCancel(t.Context())
		go func() {
			for l, err := range election.Watch(watching, space, "gateway") {
				if err == nil {
					seen = append(seen, l)
				}
			}
		}()
		var l leaders
		a := l.stand(t, space.Client(), "a")
		b := l.stand(t, space.Client(), "b")
		c := l.stand(t, space.Client(), "c")

		a.client.Partition() // a's lease is lost after the ttl, and b leads
		time.Sleep(ttl)
		synctest.Wait()
		if now, err := election.Current(t.Context(), space, "gateway"); err != nil || now.Address != "b" {
			t.Errorf("after a was cut off %+v leads, %v", now, err)
		}
		a.client.Heal() // a stands again, behind c
		time.Sleep(2 * time.Second)
		space.Expire("gateway")
		time.Sleep(2 * time.Second)
		c.stop() // c gives up by itself: no ttl has to pass
		synctest.Wait()
		a.stop()
		synctest.Wait()
		b.stop()
		synctest.Wait()
		if now, err := election.Current(t.Context(), space, "gateway"); err != nil || now != (election.Leader{}) {
			t.Errorf("after all have stopped %+v leads, %v", now, err)
		}
		stopWatching()
		synctest.Wait()

		if want := []string{"a", "b", "c", "a", "b"}; !slices.Equal(l.names, want) {
			t.Errorf("%v led, not %v", l.names, want)
		}
		if !slices.IsSorted(l.tokens) || len(slices.Compact(slices.Clone(l.tokens))) != len(l.tokens) {
			t.Errorf("tokens %v", l.tokens)
		}
		var addresses []string
		for _, s := range seen {
			addresses = append(addresses, s.Address)
		}
		if addresses[len(addresses)-1] != "" {
			t.Errorf("observers saw %v", addresses)
		}
		addresses = slices.DeleteFunc(addresses, func(a string) bool { return a == "" }) // some of these are folded
		if want := []string{"a", "b", "c", "a", "b"}; !slices.Equal(addresses, want) {
			t.Errorf("observers saw %v", addresses)
		}
	})
}

func TestRunReturnsWhatTheLeaderReturns(t *testing.T) {
	space := mem.New()
	for _, want := range []error{nil, errors.New("disk full")} {
		err := election.Run(t.Context(), space, campaign("a"), func(context.Context, uint64) error { return want })
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if now, err := election.Current(t.Context(), space, "gateway"); err != nil || now != (election.Leader{}) {
			t.Errorf("afterwards %+v leads, %v", now, err)
		}
	}
}

// slowSwap lets Swaps wait for leave, to model a candidate that is paused between its election and its publication.
type slowSwap struct {
	coord.Coordinator
	leave chan struct{}
}

func (s slowSwap) Swap(ctx context.Context, key coord.Key, old coord.Version, next []byte) (coord.Version, error) {
	<-s.leave
	return s.Coordinator.Swap(context.WithoutCancel(ctx), key, old, next)
}

func TestPausedWinnerDoesNotHideItsSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space := mem.New()
		paused := slowSwap{space.Client(), make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		led := make(chan uint64, 1)
		ended := make(chan error)
		go func() {
			ended <- election.Run(ctx, paused, campaign("paused"), func(ctx context.Context, token uint64) error {
				led <- token
				return nil
			})
		}()
		synctest.Wait()
		space.Expire("gateway")
		var l leaders
		next := l.stand(t, space.Client(), "next")
		close(paused.leave)
		synctest.Wait()
		if now, err := election.Current(t.Context(), space, "gateway"); err != nil || now.Address != "next" {
			t.Errorf("%+v leads, %v", now, err)
		}
		next.stop()
		if token := <-led; token != 3 { // it stood again, and led at last
			t.Errorf("the paused candidate led with token %d", token)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		cancel()
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space := mem.New()
		held, err := space.Acquire(t.Context(), "gateway", ttl)
		if err != nil {
			t.Fatal(err)
		}
		var l leaders
		p := l.stand(t, space.Client(), "a")
		p.stop()
		if !errors.Is(p.err, errs.Canceled) || len(l.names) > 0 {
			t.Errorf("Run ended with %v, after %v led", p.err, l.names)
		}
		if err := held.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestGarbageIsTold(t *testing.T) {
	space := mem.New()
	if _, err := space.Swap(t.Context(), "gateway", 0, []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	if _, err := election.Current(t.Context(), space, "gateway"); !errors.Is(err, errs.Corrupt) {
		t.Errorf("Current: %v", err)
	}
	for _, err := range election.Watch(t.Context(), space, "gateway") {
		if !errors.Is(err, errs.Corrupt) {
			t.Errorf("Watch: %v", err)
		}
	}
	err := election.Run(t.Context(), space, campaign("a"), func(context.Context, uint64) error { return nil })
	if !errors.Is(err, errs.Corrupt) {
		t.Errorf("Run: %v", err)
	}
}

// TestTroubleIsWaitedOut elects through a coordinator that fails every third call, before or after it was made.
func TestTroubleIsWaitedOut(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			space := mem.New()
			c := fault.New(space.Client(), seed,
				fault.Rule{Chance: 0.2, Effect: fault.Fail}, fault.Rule{Chance: 0.2, Effect: fault.LoseReply})
			err := election.Run(t.Context(), c, campaign("a"), func(_ context.Context, token uint64) error {
				now, err := election.Current(t.Context(), space, "gateway")
				if want := (election.Leader{Address: "a", Token: token}); now != want {
					t.Errorf("seed %d: %+v is published, not %+v", seed, now, want)
				}
				return err
			})
			if err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		})
	}
}
