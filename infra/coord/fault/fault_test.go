package fault_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/coordtest"
	"github.com/seed3322913c/runner/infra/coord/fault"
	"github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/errs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContractWithoutFaults(t *testing.T) {
	coordtest.Run(t, func(*testing.T) coordtest.Space {
		c := mem.New()
		return coordtest.Space{
			Client: func() coord.Coordinator { return fault.New(c.Client(), 1) },
			Lose:   func(key coord.Key) { c.Expire(key) },
		}
	})
}

// TestContractWithDelays also shows that faults which the contract allows leave the suite passing.
func TestContractWithDelays(t *testing.T) {
	coordtest.Run(t, func(*testing.T) coordtest.Space {
		c := mem.New()
		return coordtest.Space{
			Client: func() coord.Coordinator {
				return fault.New(c.Client(), 1, fault.Rule{Chance: 0.3, Effect: fault.Hold, Delay: time.Millisecond})
			},
			Lose: func(key coord.Key) { c.Expire(key) },
		}
	})
}

func TestNthSwapFailsOrLosesItsReply(t *testing.T) {
	for _, c := range []struct {
		effect fault.Effect
		want   string // the value afterwards
	}{{fault.Fail, "1"}, {fault.LoseReply, "2"}} {
		inner := mem.New()
		f := fault.New(inner, 1, fault.Rule{Op: fault.Swap, Match: "job/", Nth: 2, Effect: c.effect})
		if _, err := f.Swap(t.Context(), "other", 0, []byte("x")); err != nil {
			t.Fatal(err)
		}
		v, err := f.Swap(t.Context(), "job/k", 0, []byte("1"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Swap(t.Context(), "job/k", v, []byte("2")); !errors.Is(err, errs.Unavailable) {
			t.Errorf("the second Swap: %v", err)
		}
		if v, err := inner.Get(t.Context(), "job/k"); err != nil || string(v.Data) != c.want {
			t.Errorf("effect %d left %s, %v", c.effect, v.Data, err)
		}
	}
}

func TestSameSeedSameFaults(t *testing.T) {
	pattern := func(seed uint64) (s string) {
		f := fault.New(mem.New(), seed, fault.Rule{Op: fault.Get, Chance: 0.5, Err: errs.Corrupt})
		for range 64 {
			_, err := f.Get(t.Context(), "k")
			s += map[bool]string{true: "x", false: "."}[errors.Is(err, errs.Corrupt)]
		}
		return s
	}
	if a, b := pattern(7), pattern(7); a != b {
		t.Errorf("%s\n%s", a, b)
	}
	if a, b := pattern(7), pattern(8); a == b {
		t.Errorf("another seed, and the same faults: %s", a)
	}
}

func TestLeasesAreLostAtTheNthCall(t *testing.T) {
	inner := mem.New()
	f := fault.New(inner, 1, fault.Rule{Op: fault.Get, Nth: 2, Effect: fault.LoseLeases})
	l, err := f.Acquire(t.Context(), "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case <-l.Done():
			t.Fatal("lost too early")
		default:
		}
		if _, err := f.Get(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	<-l.Done()
	if _, err := inner.Acquire(t.Context(), "k", time.Minute); err != nil { // another client gets it
		t.Error(err)
	}
}

func TestLostReplyOfAcquireLeavesTheLeaseFree(t *testing.T) {
	inner := mem.New()
	f := fault.New(inner, 1, fault.Rule{Op: fault.Acquire, Nth: 1, Effect: fault.LoseReply})
	if _, err := f.Acquire(t.Context(), "k", time.Minute); !errors.Is(err, errs.Unavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := inner.Acquire(t.Context(), "k", time.Minute); err != nil {
		t.Error(err)
	}
}

func TestHeldCallsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := make(chan struct{})
		f := fault.New(mem.New(), 1,
			fault.Rule{Op: fault.Get, Nth: 1, Effect: fault.Hold, Until: until},
			fault.Rule{Op: fault.Get, Nth: 2, Effect: fault.Hold, Delay: time.Hour})
		got := make(chan error)
		get := func(ctx context.Context) {
			_, err := f.Get(ctx, "k")
			got <- err
		}
		go get(t.Context())
		synctest.Wait()
		select {
		case <-got:
			t.Fatal("it did not wait")
		default:
		}
		close(until)
		if err := <-got; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go get(ctx)
		if err := <-got; !errors.Is(err, errs.Canceled) {
			t.Errorf("a held call whose ctx ended: %v", err)
		}
	})
}

func TestWatchBreaks(t *testing.T) {
	f := fault.New(mem.New(), 1, fault.Rule{Op: fault.Event, Nth: 2})
	for _, key := range []coord.Key{"a", "b"} {
		if _, err := f.Swap(t.Context(), key, 0, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	var got []error
	for _, err := range f.Watch(t.Context(), "") {
		got = append(got, err)
	}
	if len(got) != 2 || got[0] != nil || !errors.Is(got[1], errs.Unavailable) {
		t.Errorf("got %v", got)
	}
}
