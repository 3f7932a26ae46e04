// Package limit keeps the use of a store within bounds: so many calls at a time, so many bytes a second.
//
// A call is one method of the Store, of a Writer or of a reader; between calls an open reader holds no place, so any
// number of them may be open and nobody waits for somebody who waits for him. What a driver does in the background
// between calls, such as reading ahead, is bounded by the driver's own options.
package limit

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
)

// Options are the bounds.
type Options struct {
	Calls          int     // at a time; 0: any number
	BytesPerSecond float64 // read and written, together; 0: any number
}

// New returns st within bounds. Calls wait for their turn in the order of their arrival. Abort never waits.
func New(st store.Store, opts Options) *around.Store {
	var calls *semaphore.Weighted
	if opts.Calls > 0 {
		calls = semaphore.NewWeighted(int64(opts.Calls))
	}
	var bytes *rate.Limiter
	if opts.BytesPerSecond > 0 {
		burst := max(1, int(opts.BytesPerSecond/10)) // a tenth of a second's: large calls wait in such steps
		bytes = rate.NewLimiter(rate.Limit(opts.BytesPerSecond), burst)
	}
	return around.New(st, func(ctx context.Context, c around.Call, do func([]byte) (int, error)) (int, error) {
		if c.Op == around.Abort {
			return do(c.Data)
		}
		if calls != nil {
			if err := calls.Acquire(ctx, 1); err != nil {
				return 0, errs.E("limit."+c.Op.String(), errs.Canceled, c.Name, err)
			}
		}
		n, err := do(c.Data)
		if calls != nil {
			calls.Release(1)
		}
		if bytes != nil && n > 0 {
			pay(ctx, bytes, n)
		}
		return n, err
	})
}

// pay waits until n bytes may have been moved. If ctx ends it returns at once: the bytes were moved, and the next call
// will see the end of ctx by itself.
func pay(ctx context.Context, bytes *rate.Limiter, n int) {
	for n > 0 {
		step := min(n, bytes.Burst())
		wait := time.NewTimer(bytes.ReserveN(time.Now(), step).Delay())
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
		n -= step
	}
}
