package invoke

import (
	"context"
	"sync"

	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
)

// Follower knows what there is of invocations in a store, whether there is a host or not. Its method may be called by
// many goroutines at once.
type Follower struct {
	mu     sync.Mutex
	follow *journal.Follower
	ledger *Ledger
}

// Follow returns a Follower that has read nothing yet.
func Follow(st store.Store) (*Follower, error) {
	l := &Ledger{}
	f, err := journal.Follow(st, journalName, l, journal.Options{})
	return &Follower{follow: f, ledger: l}, err
}

// Ledger returns what is known: all that was accepted before the call, and what has become of it.
func (f *Follower) Ledger(ctx context.Context) (*Ledger, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.follow.CatchUp(ctx); err != nil {
		return nil, err
	}
	f.ledger.takeDropped() // the host looks after what belonged to them
	return f.ledger, nil
}
