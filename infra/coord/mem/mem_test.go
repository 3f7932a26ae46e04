package mem_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/coordtest"
	"github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/errs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	coordtest.Run(t, func(*testing.T) coordtest.Space {
		c := mem.New()
		return coordtest.Space{
			Client: func() coord.Coordinator { return c.Client() },
			Lose:   func(key coord.Key) { c.Expire(key) },
		}
	})
}

func TestPartitionEndsLeasesAfterTheirTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = 10 * time.Second
		a := mem.New()
		b := a.Client()
		l, err := a.Acquire(t.Context(), "k", ttl)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan time.Time, 1)
		go func() {
			if _, err := b.Acquire(t.Context(), "k", ttl); err == nil {
				got <- time.Now()
			}
		}()
		synctest.Wait()

		a.Partition()
		time.Sleep(ttl - 1)
		a.Heal()
		time.Sleep(ttl)
		select {
		case <-l.Done():
			t.Fatal("a partition shorter than the ttl ended the lease")
		default:
		}

		a.Partition()
		start := time.Now()
		if after := (<-got).Sub(start); after != ttl {
			t.Errorf("the other got the lease after %v", after)
		}
		<-l.Done()
		if err := l.Release(t.Context()); err != nil {
			t.Errorf("Release of a lost lease: %v", err)
		}
	})
}

func TestPartitionedCallsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mem.New()
		held, err := c.Client().Acquire(t.Context(), "held", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		ends := make(chan error)
		go func() {
			_, err := c.Acquire(t.Context(), "held", time.Second)
			ends <- err
		}()
		go func() {
			for _, err := range c.Watch(context.Background(), "") {
				ends <- err
			}
		}()
		synctest.Wait()
		c.Partition()
		for range 2 {
			if err := <-ends; !errors.Is(err, errs.Unavailable) {
				t.Errorf("a waiting call ended with %v", err)
			}
		}
		if _, err := c.Get(t.Context(), "k"); !errors.Is(err, errs.Unavailable) {
			t.Errorf("Get: %v", err)
		}
		if _, err := c.Swap(t.Context(), "k", 0, nil); !errors.Is(err, errs.Unavailable) {
			t.Errorf("Swap: %v", err)
		}
		if err := held.Release(t.Context()); err != nil {
			t.Error(err)
		}
		c.Heal()
		if _, err := c.Acquire(t.Context(), "held", time.Second); err != nil {
			t.Errorf("after Heal: %v", err)
		}
	})
}
