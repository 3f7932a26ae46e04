package journal

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// readAhead is how many entries are fetched at once when there are many to read.
const readAhead = 16

// Follower keeps a State in step with a journal that somebody else writes: a standby, or a reader. It is used by one
// goroutine.
type Follower struct {
	objects
	state State

	loaded bool    // the state is that of entry seq
	base   uint64  // the newest checkpoint when we last looked; what it covers we have read in time, or from it
	seq    uint64  // the state is the log up to and including this entry
	from   uint64  // entries above this one were read one by one, up to seq
	next   segment // where the entry after seq is

	seals   map[uint64]bool // the seals among them
	entries int             // how many of them are above base
	bytes   int64           // and their size
}

// Follow returns a Follower that has read nothing yet. It fails with errs.Invalid for bad options.
func Follow(st store.Store, prefix store.Name, s State, o Options) (*Follower, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Follower{objects: objects{st: st, prefix: prefix, o: o}, state: s}, nil
}

// Read brings s to the journal's present end and returns the number of the last entry, 0 if there is none. It changes
// nothing in the store, and a leader may write meanwhile: s is then as at some moment since the call began. The error
// is errs.Corrupt if an entry or checkpoint is damaged, errs.Unavailable if the store did not answer for
// Options.GiveUp.
func Read(ctx context.Context, st store.Store, prefix store.Name, s State, o Options) (uint64, error) {
	f, err := Follow(st, prefix, s, o)
	if err != nil {
		return 0, err
	}
	err = f.CatchUp(ctx)
	return f.seq, err
}

// Seq returns the number of the entry that the State is at.
func (f *Follower) Seq() uint64 { return f.seq }

// Run catches up every Options.Poll until ctx ends, which it returns as errs.Canceled, or CatchUp fails.
func (f *Follower) Run(ctx context.Context) error {
	tick := time.NewTicker(f.o.Poll)
	defer tick.Stop()
	for {
		if err := f.CatchUp(ctx); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errs.E("journal.Run", errs.Canceled, f.prefix, ctx.Err())
		}
	}
}

// CatchUp brings the State to the present end of the log. Everything that was acknowledged before the call is in it.
// After an error the State is as at an earlier entry, or, if it failed itself, undefined; the next call goes on or
// starts over.
func (f *Follower) CatchUp(ctx context.Context) error {
	for {
		if !f.loaded {
			if err := f.load(ctx); err != nil {
				return err
			}
		}
		atEnd, err := f.advance(ctx)
		if err != nil {
			return err
		}
		if !atEnd {
			f.loaded = false
			continue
		}
		// An absent entry may have been truncated: only a look at the checkpoints afterwards can tell.
		newest, err := f.newest(ctx)
		if err != nil {
			return err
		}
		if newest <= f.seq {
			f.rebase(newest)
			return nil
		}
		f.loaded = false
	}
}

// rebase notes a checkpoint that covers nothing we have not read. From here on only later ones can hide entries.
func (f *Follower) rebase(newest uint64) {
	if newest > f.base {
		f.base, f.entries, f.bytes = newest, int(f.seq-newest), 0
	}
}

// load restores the newest checkpoint.
func (f *Follower) load(ctx context.Context) error {
	for {
		c, err := f.newest(ctx)
		if err != nil {
			return err
		}
		next, err := f.restore(ctx, c, f.state)
		if errors.Is(err, errs.NotFound) {
			newer, lookErr := f.newest(ctx)
			if lookErr != nil {
				return lookErr
			}
			if newer > c {
				continue // a newer checkpoint replaced it while we read
			}
		}
		if err != nil {
			return err
		}
		f.loaded, f.base, f.seq, f.from, f.next = true, c, c, c, next
		f.seals, f.entries, f.bytes = map[uint64]bool{}, 0, 0
		return nil
	}
}

// advance applies entries up to the first absent one. It returns false if it met what may not be part of the log, so
// that the journal must be loaded again.
func (f *Follower) advance(ctx context.Context) (atEnd bool, err error) {
	for window := 1; ; window = min(2*window, readAhead) {
		var batch []entry
		var ended bool
		if f.next.none() {
			batch, err = f.fetch(ctx, window)
			ended = len(batch) < window && !leadsOn(batch)
		} else {
			from := f.next.at
			batch, err = f.scan(ctx, &f.next, f.seq)
			ended = f.next.at == from
		}
		if errors.Is(err, errs.NotFound) {
			return false, f.truncated(ctx, err)
		}
		if err != nil {
			return false, err
		}
		for _, e := range batch {
			if ok, err := f.accept(ctx, e); !ok || err != nil {
				return false, err
			}
		}
		if ended {
			return true, nil
		}
	}
}

// leadsOn reports whether what follows some entries is elsewhere.
func leadsOn(batch []entry) bool { return len(batch) > 0 && batch[len(batch)-1].kind == roll }

// truncated returns nil if a checkpoint explains why a segment is not there any more.
func (f *Follower) truncated(ctx context.Context, gone error) error {
	newest, err := f.newest(ctx)
	if err == nil && newest <= f.seq {
		err = errs.Errorf("journal.read", errs.Corrupt, f.segmentName(f.next), "the entries after %d have gone: %v", f.seq,
			gone)
	}
	return err
}

// fetch reads up to n entries after seq at once, and returns those before the first absent one, or up to the one after
// which they are in a segment.
func (f *Follower) fetch(ctx context.Context, n int) ([]entry, error) {
	batch := make([]entry, n)
	absent := make([]bool, n)
	g, ctx := errgroup.WithContext(ctx)
	for i := range n {
		g.Go(func() (err error) {
			batch[i], err = f.entry(ctx, f.seq+1+uint64(i))
			if absent[i] = errors.Is(err, errs.NotFound); absent[i] {
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i := range absent {
		if absent[i] {
			return batch[:i], nil
		}
		if batch[i].kind == roll {
			return batch[:i+1], nil
		}
	}
	return batch, nil
}

// accept applies the entry after seq. Records there are always those of the log: whoever wrote them had the numbers
// before for itself. A seal that is an object may come from a candidate that took a truncated number for the end of the
// log; it counts if no checkpoint that could have truncated the number existed after we had read it.
func (f *Follower) accept(ctx context.Context, e entry) (bool, error) {
	if e.kind == seal && f.next.none() {
		newest, err := f.newest(ctx)
		if err != nil || newest >= e.seq {
			return false, err
		}
		f.seals[e.seq] = true
	}
	if e.kind == roll {
		f.next = e.rolled()
	} else if err := eachRecord(e.records, f.state.Apply); err != nil {
		f.loaded = false // some records of the entry may have been applied
		return false, errs.E("journal.apply", errs.Other, f.entryName(e.seq), err)
	}
	f.seq = e.seq
	f.entries++
	f.bytes += int64(len(e.records))
	return true, nil
}
