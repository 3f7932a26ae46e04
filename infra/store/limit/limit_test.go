package limit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/limit"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/infra/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return limit.New(mem.New(), limit.Options{Calls: 1}) })
}

func TestFastEnough(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return limit.New(mem.New(), limit.Options{BytesPerSecond: 1e12}) })
}

func TestCallsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := make(chan struct{})
		var mu sync.Mutex
		held := 0
		inner := fault.New(mem.New(), 1, fault.Rule{
			Op: around.Stat, Effect: fault.Hold, Until: until, Hit: func() { mu.Lock(); defer mu.Unlock(); held++ },
		})
		st := limit.New(inner, limit.Options{Calls: 3})
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if _, err := st.Stat(t.Context(), store.Name(fmt.Sprint(i))); !errors.Is(err, errs.NotFound) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if held != 3 {
			t.Errorf("%d calls at a time", held)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := st.Delete(ctx, "a"); !errors.Is(err, errs.Canceled) {
			t.Errorf("a call that gave up waiting: %v", err)
		}
		close(until)
		wg.Wait()
		if held != 10 {
			t.Errorf("%d calls came through", held)
		}
	})
}

func TestBytesPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := limit.New(mem.New(), limit.Options{BytesPerSecond: 1000})
		begin := time.Now()
		if err := store.Put(t.Context(), st, "a", make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Get(t.Context(), st, "a", 5000); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 9*time.Second || took > 10*time.Second {
			t.Errorf("10,000 bytes at 1,000 a second took %v", took)
		}
	})
}
