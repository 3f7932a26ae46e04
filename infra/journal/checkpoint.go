package journal

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
)

// deleteAhead is how many deletions are under way at once.
const deleteAhead = 16

// beginCheckpoint captures the State if a checkpoint is due and none is being written, and has it written beside the
// appends. run calls it between two entries, so the State is exactly that of the last one.
func (l *Leader) beginCheckpoint(ctx context.Context) {
	due := l.o.CheckpointEntries > 0 && l.entries >= l.o.CheckpointEntries ||
		l.o.CheckpointBytes > 0 && l.bytes >= l.o.CheckpointBytes
	l.mu.Lock()
	asked := l.mu.snapshots
	begin := !l.mu.checkpointing && (due || len(asked) > 0)
	if begin {
		l.mu.checkpointing, l.mu.snapshots = true, nil
	}
	l.mu.Unlock()
	if !begin {
		return
	}
	l.entries, l.bytes = 0, 0
	state, err := l.state.Snapshot()
	h := head{seq: l.seq, epoch: l.epoch, writer: l.o.Writer}
	l.running.Go(func() {
		if err == nil {
			err = l.save(ctx, h, state)
		}
		l.endCheckpoint(ctx, h.seq, asked, err)
	})
}

// endCheckpoint answers those who asked for a checkpoint, and cleans up behind it if it became durable.
func (l *Leader) endCheckpoint(ctx context.Context, seq uint64, asked []chan error, err error) {
	if err != nil {
		err = errs.E("journal.Checkpoint", errs.Other, l.checkpointName(seq), err)
	}
	for _, answer := range asked {
		answer <- err
	}
	untold := err != nil && len(asked) == 0
	if err == nil {
		err = l.truncate(ctx, seq)
		untold = err != nil
	}
	if untold && ctx.Err() == nil {
		l.o.OnError(err)
	}
	l.mu.Lock()
	l.mu.checkpointing = false
	l.mu.Unlock()
	l.nudge() // somebody may have asked for another one
}

// truncate deletes what checkpoint c covers: the entries up to it except seals, and older checkpoints. It is safe even
// if this process was fenced long ago, since what it deletes is covered by a durable checkpoint, whoever leads now.
func (l *Leader) truncate(ctx context.Context, c uint64) error {
	seqs, err := l.numbers(ctx, logPart)
	if err != nil {
		return err
	}
	var doomed []uint64
	for _, seq := range seqs {
		if seq > c {
			break
		}
		spare, err := l.isSeal(ctx, seq)
		if err != nil {
			return err
		}
		if !spare {
			doomed = append(doomed, seq)
		}
	}
	old, err := l.numbers(ctx, checkpointPart)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(deleteAhead)
	for _, seq := range doomed {
		g.Go(func() error {
			return l.retry(ctx, func(ctx context.Context) error { return l.st.Delete(ctx, l.entryName(seq)) })
		})
	}
	for _, seq := range old {
		if seq < c {
			g.Go(func() error {
				return l.retry(ctx, func(ctx context.Context) error { return l.st.Delete(ctx, l.checkpointName(seq)) })
			})
		}
	}
	return g.Wait()
}

// isSeal reports whether an entry is a seal. Those that an earlier leader left behind have to be read for it, once.
func (l *Leader) isSeal(ctx context.Context, seq uint64) (bool, error) {
	if l.seals[seq] || seq > l.from {
		return l.seals[seq], nil
	}
	e, err := l.entry(ctx, seq)
	if errors.Is(err, errs.NotFound) {
		return false, nil // somebody else deletes too
	}
	if err == nil && e.kind == seal {
		l.seals[seq] = true
	}
	return e.kind == seal, err
}
