package journal

import (
	"cmp"
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// How many entries may follow a checkpoint if nothing else is said: a thousand small objects take as long to read as a
// large segment.
const (
	mostObjects    = 4096
	mostInSegments = 131_072
)

// deleteAhead is how many deletions are under way at once.
const deleteAhead = 16

// beginCheckpoint captures the State if a checkpoint is due and none is being written, and has it written beside the
// appends. run calls it between two entries, so the State is exactly that of the last one. After an error the
// leadership is over.
func (l *Leader) beginCheckpoint(ctx context.Context) error {
	most := cmp.Or(l.o.CheckpointEntries, mostObjects)
	if l.log != nil {
		most = cmp.Or(l.o.CheckpointEntries, mostInSegments)
	}
	due := most > 0 && l.entries >= most ||
		l.o.CheckpointBytes > 0 && l.bytes >= l.o.CheckpointBytes
	l.mu.Lock()
	asked := l.mu.snapshots
	begin := !l.mu.checkpointing && (due || len(asked) > 0)
	if begin {
		l.mu.checkpointing, l.mu.snapshots = true, nil
	}
	l.mu.Unlock()
	if !begin {
		return nil
	}
	if l.log != nil {
		if err := l.roll(ctx); err != nil { // so that the checkpoint covers all of the segment
			l.mu.Lock()
			l.mu.snapshots = append(l.mu.snapshots, asked...) // who are told by end
			l.mu.Unlock()
			return err
		}
	}
	l.entries, l.bytes = 0, 0
	state, err := l.state.Snapshot()
	h := head{seq: l.seq, epoch: l.epoch, writer: l.o.Writer, next: l.next}
	l.running.Go(func() {
		if err == nil {
			err = l.save(ctx, h, state)
		}
		l.endCheckpoint(ctx, h, asked, err)
	})
	return nil
}

// endCheckpoint answers those who asked for a checkpoint, and cleans up behind it if it became durable.
func (l *Leader) endCheckpoint(ctx context.Context, h head, asked []chan error, err error) {
	if err != nil {
		err = errs.E("journal.Checkpoint", errs.Other, l.checkpointName(h.seq), err)
	}
	for _, answer := range asked {
		answer <- err
	}
	untold := err != nil && len(asked) == 0
	if err == nil {
		err = l.truncate(ctx, h)
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

// truncate deletes what a checkpoint covers: the entries up to it except seals, segments before the one in which it
// goes on, and older checkpoints. It is safe even if this process was fenced long ago, since what it deletes is covered
// by a durable checkpoint, whoever leads now.
func (l *Leader) truncate(ctx context.Context, h head) error {
	c := h.seq
	seqs, err := l.numbers(ctx, logPart)
	if err != nil {
		return err
	}
	doomed, err := l.segmentsBefore(ctx, h.next)
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		if seq > c {
			break
		}
		spare, err := l.isSeal(ctx, seq)
		if err != nil {
			return err
		}
		if !spare {
			doomed = append(doomed, l.entryName(seq))
		}
	}
	old, err := l.numbers(ctx, checkpointPart)
	if err != nil {
		return err
	}
	for _, seq := range old {
		if seq < c {
			doomed = append(doomed, l.checkpointName(seq))
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(deleteAhead)
	for _, name := range doomed {
		g.Go(func() error {
			return l.retry(ctx, func(ctx context.Context) error { return l.st.Delete(ctx, name) })
		})
	}
	return g.Wait()
}

// segmentsBefore returns the segments that end before one. Among them are those that a leader made and had no time to
// lead to.
func (l *Leader) segmentsBefore(ctx context.Context, s segment) (names []store.Name, err error) {
	if s.none() {
		return nil, nil
	}
	err = l.retry(ctx, func(ctx context.Context) error {
		names = nil
		for info, err := range l.st.List(ctx, string(l.prefix.Join(segmentPart))) {
			if err != nil {
				return err
			}
			if after, ok := segmentNumber(info.Name, l.prefix); ok && after < s.after {
				names = append(names, info.Name)
			}
		}
		return nil
	})
	return names, err
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
