package journal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// patience is how many times longer than an entry a checkpoint may take to be written or read: it may be large.
const patience = 100

// objects are a journal's entries and checkpoints in the store. Calls that fail in passing are repeated.
type objects struct {
	st     store.Store
	prefix store.Name
	o      Options
}

// retry calls f until it succeeds, fails for good, ctx ends, or Options.GiveUp has passed. A call that takes longer
// than Options.Try counts as a passing failure.
func (j *objects) retry(ctx context.Context, f func(context.Context) error) error {
	return j.retryEach(ctx, j.o.Try, f)
}

// retryEach is retry with another limit for each call. An object has one caller at a time, so the pauses need no
// jitter.
func (j *objects) retryEach(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	pauses := backoff.NewExponentialBackOff(backoff.WithInitialInterval(20*time.Millisecond),
		backoff.WithMaxInterval(5*time.Second), backoff.WithRandomizationFactor(0),
		backoff.WithMaxElapsedTime(j.o.GiveUp))
	err := backoff.Retry(func() error {
		try, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		err := f(try)
		switch {
		case err == nil, errs.Retryable(err):
			return err
		case try.Err() != nil && ctx.Err() == nil:
			// Not wrapped: Canceled is for a caller who gave up.
			return errs.Errorf("journal.try", errs.Unavailable, nil, "no answer within %v: %v", limit, err)
		default:
			return backoff.Permanent(err)
		}
	}, backoff.WithContext(pauses, ctx))
	if err != nil && ctx.Err() != nil {
		return errs.E("journal.try", errs.Canceled, nil, err)
	}
	return err
}

func (j *objects) entryName(seq uint64) store.Name { return j.prefix.Join(numbered(logPart, seq)) }

func (j *objects) checkpointName(seq uint64) store.Name {
	return j.prefix.Join(numbered(checkpointPart, seq))
}

// get reads the stored bytes of an entry, or fails with errs.NotFound.
func (j *objects) get(ctx context.Context, seq uint64) (stored []byte, err error) {
	err = j.retry(ctx, func(ctx context.Context) error {
		stored, err = store.Get(ctx, j.st, j.entryName(seq), maxEntry)
		return err
	})
	return stored, err
}

// entry reads an entry, or fails with errs.NotFound.
func (j *objects) entry(ctx context.Context, seq uint64) (entry, error) {
	stored, err := j.get(ctx, seq)
	if err != nil {
		return entry{}, err
	}
	e, err := decodeEntry(stored)
	if err == nil && e.seq != seq {
		err = damaged("holds entry %d", e.seq)
	}
	if err != nil {
		return entry{}, errs.E("journal.read", errs.Other, j.entryName(seq), err)
	}
	return e, nil
}

// create writes an entry if its number is free, and repeats it byte for byte until it knows the outcome: landed, or the
// number is taken by somebody else (or was, and has been truncated). After an error nobody knows.
func (j *objects) create(ctx context.Context, seq uint64, stored []byte) (landed bool, err error) {
	err = j.retry(ctx, func(ctx context.Context) error {
		err := store.Put(ctx, j.st, j.entryName(seq), stored, store.IfAbsent())
		if !errors.Is(err, errs.Exist) {
			landed = err == nil
			return err
		}
		there, err := store.Get(ctx, j.st, j.entryName(seq), maxEntry)
		if errors.Is(err, errs.NotFound) {
			return nil
		}
		landed = err == nil && bytes.Equal(there, stored) // the nonce is in it, so it is ours
		return err
	})
	return landed, err
}

// numbers lists the numbers of one part, ascending.
func (j *objects) numbers(ctx context.Context, part string) (seqs []uint64, err error) {
	err = j.retry(ctx, func(ctx context.Context) error {
		seqs = seqs[:0]
		for info, err := range j.st.List(ctx, string(j.prefix.Join(part))) {
			if err != nil {
				return err
			}
			if seq, ok := parseNumber(info.Name, j.prefix, part); ok {
				seqs = append(seqs, seq)
			}
		}
		return nil
	})
	return seqs, err
}

// newest returns the number of the newest checkpoint, 0 if there is none.
func (j *objects) newest(ctx context.Context) (uint64, error) {
	seqs, err := j.numbers(ctx, checkpointPart)
	if err != nil || len(seqs) == 0 {
		return 0, err
	}
	return seqs[len(seqs)-1], nil
}

// restore loads the checkpoint with number seq into s, the empty state for 0, and returns where the next entry is.
func (j *objects) restore(ctx context.Context, seq uint64, s State) (next segment, err error) {
	if seq == 0 {
		return segment{}, s.Restore(nil)
	}
	name := j.checkpointName(seq)
	err = j.retryEach(ctx, patience*j.o.Try, func(ctx context.Context) error {
		r, err := j.st.Open(ctx, name, store.Range{})
		if err != nil {
			return err
		}
		defer r.Close()
		h, err := readCheckpoint(r, seq, s)
		next = h.next
		return err
	})
	if err != nil {
		return segment{}, errs.E("journal.restore", errs.Other, name, err)
	}
	return next, nil
}

// save writes a checkpoint. Another process may have written the same one: both hold the state at the same entry.
func (j *objects) save(ctx context.Context, h head, state io.WriterTo) error {
	ctx, cancel := context.WithTimeout(ctx, patience*j.o.Try)
	defer cancel()
	w, err := j.st.Create(ctx, j.checkpointName(h.seq), store.IfAbsent())
	if errors.Is(err, errs.Exist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.Abort(ctx) // no effect once committed
	if err := writeCheckpoint(w, h, state); err != nil {
		return err
	}
	if err := w.Commit(ctx); !errors.Is(err, errs.Exist) {
		return err
	}
	return nil
}
