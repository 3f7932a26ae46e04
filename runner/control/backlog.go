package control

import (
	"context"

	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler/roster"
)

// Backlog is what the controls of a fleet have to do, as their journal has it, for who asks none of them. It is used by
// one goroutine.
type Backlog struct {
	roster *roster.Roster
	follow *journal.Follower
}

// Follow returns the backlog of a fleet whose jobs are in a store. Nothing is read yet.
func Follow(st store.Store) (*Backlog, error) {
	r := roster.New()
	f, err := journal.Follow(st, prefix, r, journal.Options{})
	return &Backlog{r, f}, err
}

// Jobs returns how many jobs are not over, those that wait included. It reads what is new since it was asked before.
func (b *Backlog) Jobs(ctx context.Context) (int, error) {
	if err := b.follow.CatchUp(ctx); err != nil {
		return 0, err
	}
	return len(b.roster.Jobs()), nil
}
