package control

import (
	"io"
	"sync"

	"github.com/seed3322913c/runner/scheduler/roster"
)

// book is a roster that several goroutines read while its journal changes it.
type book struct {
	mu sync.Mutex
	*roster.Roster
}

// Apply implements journal.State, as do the next two.
func (b *book) Apply(record []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Roster.Apply(record)
}

func (b *book) Snapshot() (io.WriterTo, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Roster.Snapshot()
}

func (b *book) Restore(snapshot io.Reader) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Roster.Restore(snapshot)
}

// read lets f look at the roster.
func (b *book) read(f func(r *roster.Roster)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b.Roster)
}
