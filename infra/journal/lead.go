package journal

import (
	"context"
	"errors"
	"io"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
	"github.com/seed3322913c/runner/infra/store"
)

// Lead takes the journal over: it brings s to the end of the log, fences whoever led before, and returns the Leader.
// ctx bounds the taking over only; the Leader lives until it is fenced, gives up, or is closed. Of several who lead
// at once the last to take over wins; let a lease decide who tries.
//
// It fails with errs.Corrupt if an entry or checkpoint is damaged, errs.Unavailable if the store did not answer for
// Options.GiveUp, errs.Unsupported if the store does not honour if-absent, errs.Canceled if ctx ended first.
func Lead(ctx context.Context, st store.Store, prefix store.Name, s State, o Options) (*Leader, error) {
	f, err := Follow(st, prefix, s, o)
	if err != nil {
		return nil, err
	}
	return f.Lead(ctx)
}

// Lead makes the leader of a Follower, as the function Lead does, but reads only what is new. The Follower must not be
// used afterwards, unless it fails.
func (f *Follower) Lead(ctx context.Context) (*Leader, error) {
	enc := record.NewEncoder(record.S2)
	for {
		if err := f.CatchUp(ctx); err != nil {
			return nil, err
		}
		s := entry{kind: seal, seq: f.seq + 1, epoch: f.seq + 1, writer: f.o.Writer}
		if _, err := io.ReadFull(f.o.Rand, s.nonce[:]); err != nil {
			return nil, errs.E("journal.Lead", errs.Internal, "nonce", err)
		}
		put := f.sealObject
		if !f.next.none() {
			put = f.sealSegment
		}
		log, landed, err := put(ctx, &s, s.encode(enc))
		if err != nil {
			return nil, err
		}
		if landed {
			f.seq = s.seq
			return newLeader(ctx, f, enc, log), nil
		}
	}
}

// sealObject writes a seal as an object, after entries that are so.
func (f *Follower) sealObject(ctx context.Context, s *entry, stored []byte) (_ store.Log, landed bool, err error) {
	if landed, err = f.create(ctx, s.seq, stored); !landed || err != nil {
		return nil, false, err // somebody wrote there first: read it, and go on
	}
	// If a checkpoint appeared since we looked, the seal may stand at a number that was truncated, and an older
	// leader may have acknowledged what we have not read.
	newest, err := f.newest(ctx)
	if err != nil {
		return nil, false, err
	}
	if newest != f.base {
		f.loaded = false
		return nil, false, nil
	}
	f.seals[s.seq] = true
	return nil, true, f.probe(ctx, s.seq, stored)
}

// sealSegment writes a seal behind the entries of a segment, which it returns open.
func (f *Follower) sealSegment(ctx context.Context, s *entry, stored []byte) (_ store.Log, landed bool, err error) {
	log, err := f.openSegment(ctx, f.next)
	if errors.Is(err, errs.NotFound) {
		return nil, false, nil // CatchUp finds out why
	}
	if err != nil {
		return nil, false, err
	}
	landed, err = f.append(ctx, log, &f.next, s, f.next.appendFrame(nil, stored))
	if !landed || err != nil {
		return nil, false, errors.Join(err, log.Close())
	}
	return log, true, nil
}

// probe writes the seal once more. A store that lets it knows nothing of if-absent, and would let two leaders write.
func (f *Follower) probe(ctx context.Context, seq uint64, stored []byte) error {
	err := f.retry(ctx, func(ctx context.Context) error {
		return store.Put(ctx, f.st, f.entryName(seq), stored, store.IfAbsent())
	})
	switch {
	case err == nil:
		return errs.Errorf("journal.Lead", errs.Unsupported, f.entryName(seq),
			"the store replaced an object that was to be created only if absent; it cannot keep a journal")
	case errors.Is(err, errs.Exist):
		return nil
	default:
		return err
	}
}
