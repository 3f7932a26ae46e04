package coordtest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
)

func acquire(t *testing.T, c coord.Coordinator, key coord.Key) coord.Lease {
	t.Helper()
	return must[coord.Lease](t)(c.Acquire(soon(t), key, TTL))
}

func release(t *testing.T, l coord.Lease) {
	t.Helper()
	if err := l.Release(soon(t)); err != nil {
		t.Errorf("Release: %v", err)
	}
}

func ended(l coord.Lease) bool {
	select {
	case <-l.Done():
		return true
	default:
		return false
	}
}

func tokensGrow(t *testing.T, s Space) {
	var last uint64
	for range 5 {
		l := acquire(t, s.Client(), "job/a")
		if l.Token() <= last {
			t.Errorf("token %d after %d", l.Token(), last)
		}
		last = l.Token()
		if ended(l) {
			t.Error("Done is closed while the lease is held")
		}
		release(t, l)
		if !ended(l) {
			t.Error("Done is open after Release")
		}
	}
}

func releaseHandsOver(t *testing.T, s Space) {
	first := acquire(t, s.Client(), "k")
	got := make(chan coord.Lease, 1)
	waiting := s.Client()
	ctx := soon(t)
	go func() {
		defer close(got)
		if l, err := waiting.Acquire(ctx, "k", TTL); err == nil {
			got <- l
		}
	}()
	other := acquire(t, s.Client(), "k2") // another key is free, so this does not wait
	defer release(t, other)
	if len(got) > 0 {
		t.Fatal("two hold the lease")
	}
	release(t, first)
	second, ok := <-got
	if !ok {
		t.Fatal("who waited did not get it")
	}
	release(t, first) // a second time: must not end another's lease
	if ended(second) {
		t.Error("a second Release ended another holder's lease")
	}
	denied(t, s, "k")
	release(t, second)
}

// denied checks that nobody gets the lease on key while it is held.
func denied(t *testing.T, s Space, key coord.Key) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), TTL/3)
	defer cancel()
	l, err := s.Client().Acquire(ctx, key, TTL)
	if err == nil {
		release(t, l)
	}
	wantKind(t, "Acquire of a lease that is held", err, errs.Canceled)
}

func waitingEnds(t *testing.T, s Space) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Client().Acquire(ctx, "k", TTL)
	wantKind(t, "Acquire with an ended ctx", err, errs.Canceled)
	l := acquire(t, s.Client(), "k")
	denied(t, s, "k")
	release(t, l)
	release(t, acquire(t, s.Client(), "k")) // whoever gave up waiting does not hold it
}

// oneHolder lets many fight for one lease, and checks that they hold it one after another with growing tokens.
func oneHolder(t *testing.T, s Space) {
	const clients, each = 6, 8
	ctx := soon(t)
	var holders atomic.Int32
	var last uint64 // guarded by the lease
	var wg sync.WaitGroup
	for range clients {
		c := s.Client()
		wg.Go(func() {
			for range each {
				l, err := c.Acquire(ctx, "k", TTL)
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d hold the lease", n)
				}
				if l.Token() <= last {
					t.Errorf("token %d after %d", l.Token(), last)
				}
				last = l.Token()
				holders.Add(-1)
				if err := l.Release(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func leasesAndValues(t *testing.T, s Space) {
	ctx, c := soon(t), s.Client()
	l := acquire(t, c, "k")
	if v := must[coord.Value](t)(c.Get(ctx, "k")); v.Version != 0 {
		t.Errorf("a lease made a value: %+v", v)
	}
	v := must[coord.Version](t)(c.Swap(ctx, "k", 0, []byte("x")))
	release(t, l)
	if got := must[coord.Value](t)(c.Get(ctx, "k")); got.Version != v || string(got.Data) != "x" {
		t.Errorf("the end of a lease changed the value: %+v", got)
	}
	below := acquire(t, c, "k/below") // a key may be a prefix of another
	release(t, acquire(t, c, "k"))
	release(t, below)
}

func lostLease(t *testing.T, s Space) {
	c := s.Client()
	l := acquire(t, c, "k")
	s.Lose("k")
	select {
	case <-l.Done():
	case <-soon(t).Done():
		t.Fatal("the holder was not told")
	}
	next := acquire(t, s.Client(), "k")
	if next.Token() <= l.Token() {
		t.Errorf("token %d after %d", next.Token(), l.Token())
	}
	release(t, l) // no longer its to give
	if ended(next) {
		t.Error("the old holder's Release ended the new lease")
	}
	release(t, next)
}
