package amrpc

import (
	"context"
	"iter"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/scheduler"
)

// Follow yields the endpoint of job's application master, and each that replaces it: those of a higher epoch, and the
// word that the job is over. It ends after the first error, ctx's end included.
func Follow(ctx context.Context, c coord.Coordinator, job scheduler.JobID) iter.Seq2[Endpoint, error] {
	return func(yield func(Endpoint, error) bool) {
		var last Endpoint
		for ev, err := range c.Watch(ctx, string(Key(job))) {
			if err != nil {
				yield(Endpoint{}, err)
				return
			}
			if ev.Key != Key(job) || ev.Value.Version == 0 { // a key that begins like it, or its removal
				continue
			}
			e, err := ParseEndpoint(ev.Value.Data)
			if err != nil {
				yield(Endpoint{}, err)
				return
			}
			if e.Epoch < last.Epoch || e == last {
				continue
			}
			last = e
			if !yield(e, nil) {
				return
			}
		}
	}
}
