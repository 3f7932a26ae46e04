package amrpc

import (
	"context"
	"iter"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/scheduler"
)

// Follow yields the endpoint of job's application master whenever it changes: each of a higher epoch than all before,
// and the zero Endpoint when it was taken back because the job is over. It ends after the first error, ctx's end
// included.
func Follow(ctx context.Context, c coord.Coordinator, job scheduler.JobID) iter.Seq2[Endpoint, error] {
	return func(yield func(Endpoint, error) bool) {
		var highest uint64
		for ev, err := range c.Watch(ctx, string(Key(job))) {
			if err != nil {
				yield(Endpoint{}, err)
				return
			}
			if ev.Key != Key(job) { // another key that begins like it
				continue
			}
			var e Endpoint
			if ev.Value.Version != 0 {
				if e, err = ParseEndpoint(ev.Value.Data); err != nil {
					yield(Endpoint{}, err)
					return
				}
				if e.Epoch <= highest {
					continue
				}
				highest = e.Epoch
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}
