package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
	"github.com/seed3322913c/runner/infra/store"
)

// Leader appends to a journal. Its methods may be called by many goroutines at once.
type Leader struct {
	objects
	state State
	epoch uint64

	wake    chan struct{} // holds a token when there may be something to do
	done    chan struct{} // closed when the Leader has ended
	cancel  context.CancelFunc
	running sync.WaitGroup // the goroutines of run and checkpoint

	mu struct {
		sync.Mutex
		queue         []*request
		snapshots     []chan error // callers that wait for a checkpoint to begin
		checkpointing bool         // one is being written, and owns seals
		err           error        // why the Leader has ended; nothing changes any more
	}

	// Owned by run.
	enc     *record.Encoder
	buf     []byte    // of a frame
	seq     uint64    // the last entry
	next    segment   // where the entry after it is to be
	log     store.Log // next, open; nil if entries are objects
	entries int       // since the last checkpoint was begun
	bytes   int64

	// Owned by whoever set checkpointing.
	seals map[uint64]bool // known to be seals, below seq
	from  uint64          // entries above it that are not among seals are known to be records
}

// request is one Append.
type request struct {
	records []byte
	done    chan error // has room for the answer
	stage   stage      // guarded by the Leader's mu
}

// stage is how far a request has come.
type stage byte

const (
	queued    stage = iota // not in the log
	sent                   // may be in the log
	withdrawn              // its caller has gone before it was sent
)

func newLeader(ctx context.Context, f *Follower, enc *record.Encoder, log store.Log) *Leader {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &Leader{
		objects: f.objects, state: f.state, epoch: f.seq, enc: enc, seq: f.seq,
		next: f.next, log: log, entries: f.entries, bytes: f.bytes, seals: f.seals, from: f.from,
		wake: make(chan struct{}, 1), done: make(chan struct{}), cancel: cancel,
	}
	l.running.Go(func() { l.run(ctx) })
	return l
}

// Epoch returns the number of this leadership's seal: higher than that of every leader before.
func (l *Leader) Epoch() uint64 { return l.epoch }

// Done is closed when the Leader has ended: fenced, given up, or closed. Err says which.
func (l *Leader) Done() <-chan struct{} { return l.done }

// Err returns why the Leader has ended, nil while it leads: errs.Fenced if there is a later leader, errs.Canceled after
// Close, otherwise what the store or the State failed with. A paused leader that writes nothing does not notice that it
// was fenced; Append without records finds out.
func (l *Leader) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.err
}

// Close ends the leadership and waits until nothing of it runs any more. What waits in Append fails. It writes nothing.
func (l *Leader) Close() error {
	l.cancel()
	l.running.Wait()
	return nil
}

// Append adds records to the log and waits until they are durable and applied to the State. The records of one call
// are in one entry: all of them are in the log, next to each other, or none. Calls from many goroutines share
// entries, in the order in which they came. With no records it writes an entry all the same: that it succeeds proves
// that this process still led after the call began.
//
// The errors tell what is known:
//
//	errs.Invalid      more than MaxAppend bytes: nothing was appended
//	errs.Canceled     ctx ended, or Close was called, before anything was sent: nothing was appended
//	errs.Unavailable  unknown outcome: ctx ended or the Leader gave up while the records were under way. They may
//	                  be in the log, now or later. Ask again, with an id in the record that lets Apply see that it
//	                  is a repetition.
//	errs.Fenced       another process leads. What was under way has an unknown outcome too: ask that leader.
//
// Any other kind is what ended the Leader, and leaves the outcome unknown.
func (l *Leader) Append(ctx context.Context, records ...[]byte) error {
	const op = "journal.Append"
	r := &request{done: make(chan error, 1)}
	for _, b := range records {
		r.records = slices.Grow(r.records, len(b)+binary.MaxVarintLen32)
		r.records = record.AppendBytes(r.records, b)
	}
	if len(r.records) > MaxAppend {
		return errs.Errorf(op, errs.Invalid, l.prefix, "%d bytes, %d allowed", len(r.records), MaxAppend)
	}
	if ctx.Err() != nil {
		return errs.E(op, errs.Canceled, l.prefix, ctx.Err())
	}
	l.mu.Lock()
	err := l.mu.err
	if err == nil {
		l.mu.queue = append(l.mu.queue, r)
	}
	l.mu.Unlock()
	if err != nil {
		return errs.E(op, errs.Other, l.prefix, err)
	}
	l.nudge()
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.stage == queued {
		r.stage = withdrawn
		return errs.E(op, errs.Canceled, l.prefix, ctx.Err())
	}
	select {
	case err := <-r.done: // the answer came at the same time
		return err
	default:
		return errs.Errorf(op, errs.Unavailable, l.prefix, "unknown outcome, ask again: %w", ctx.Err())
	}
}

// Checkpoint writes the State as it is now or later, and returns when that is durable. Afterwards the entries that it
// covers are deleted in the background. Appends go on meanwhile. If it fails, with the store's error or ctx's, calling
// again is safe.
func (l *Leader) Checkpoint(ctx context.Context) error {
	const op = "journal.Checkpoint"
	answer := make(chan error, 1)
	l.mu.Lock()
	err := l.mu.err
	if err == nil {
		l.mu.snapshots = append(l.mu.snapshots, answer)
	}
	l.mu.Unlock()
	if err != nil {
		return errs.E(op, errs.Other, l.prefix, err)
	}
	l.nudge()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return errs.E(op, errs.Canceled, l.prefix, ctx.Err())
	}
}

// nudge makes run look for work.
func (l *Leader) nudge() {
	select {
	case l.wake <- struct{}{}:
	default: // it has not looked since the last time
	}
}

// run is the one goroutine that writes entries and calls the State.
func (l *Leader) run(ctx context.Context) {
	defer func() {
		if l.log != nil {
			l.log.Close() // what was acknowledged is durable
		}
	}()
	if l.o.Segments && l.next.none() {
		if err := l.roll(ctx); err != nil {
			l.end(nil, err)
			return
		}
	}
	for {
		l.gather()
		batch, records := l.take()
		if len(batch) == 0 {
			select {
			case <-l.wake:
			case <-ctx.Done():
				l.end(nil, errs.E("journal.Close", errs.Canceled, l.prefix, ctx.Err()))
				return
			}
		} else if err := l.write(ctx, records); err != nil {
			l.end(batch, err)
			return
		}
		for _, r := range batch {
			r.done <- nil
		}
		if err := l.beginCheckpoint(ctx); err != nil {
			l.end(nil, err)
			return
		}
	}
}

// gather lets goroutines that could run do so for as long as they add requests. An entry costs the processor as much as
// several requests do; where it is busy, entries become larger, and where nobody else could run nothing is waited for.
func (l *Leader) gather() {
	for before := 0; ; {
		l.mu.Lock()
		n := len(l.mu.queue)
		l.mu.Unlock()
		if n == before {
			return
		}
		before = n
		runtime.Gosched()
	}
}

// take moves waiting requests into the next entry, as many as fit; the first always does.
func (l *Leader) take() (batch []*request, records []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, r := range l.mu.queue {
		if len(records)+len(r.records) > MaxAppend {
			break
		}
		n++
		if r.stage == withdrawn {
			continue
		}
		r.stage = sent
		batch = append(batch, r)
		records = append(records, r.records...)
	}
	clear(l.mu.queue[:n]) // lets the records go
	l.mu.queue = l.mu.queue[n:]
	return batch, records
}

// write makes one entry durable and applies it. After an error the leadership is over.
func (l *Leader) write(ctx context.Context, records []byte) error {
	if err := l.put(ctx, data, records); err != nil {
		return err
	}
	if err := eachRecord(records, l.state.Apply); err != nil {
		return errs.E("journal.apply", errs.Other, l.place(l.seq), err)
	}
	return nil
}

// put makes one entry durable. After an error the leadership is over.
func (l *Leader) put(ctx context.Context, k kind, records []byte) (err error) {
	const op = "journal.write"
	e := entry{kind: k, seq: l.seq + 1, epoch: l.epoch, writer: l.o.Writer, records: records}
	if _, err := io.ReadFull(l.o.Rand, e.nonce[:]); err != nil {
		return errs.E(op, errs.Internal, l.place(e.seq), err)
	}
	var landed bool
	if stored := e.encode(l.enc); l.log == nil {
		landed, err = l.create(ctx, e.seq, stored)
	} else {
		l.buf = l.next.appendFrame(l.buf[:0], stored)
		landed, err = l.append(ctx, l.log, &l.next, &e, l.buf)
	}
	if err != nil {
		return errs.E(op, errs.Other, l.place(e.seq), err)
	}
	if !landed {
		return errs.Errorf(op, errs.Fenced, l.place(e.seq), "another process leads since then")
	}
	l.seq = e.seq
	l.entries++
	l.bytes += int64(len(records))
	return nil
}

// place names where an entry is.
func (l *Leader) place(seq uint64) store.Name {
	if l.log != nil {
		return l.segmentName(l.next)
	}
	return l.entryName(seq)
}

// roll lets the next entries be in a new segment, if the store keeps such. After an error the leadership is over.
func (l *Leader) roll(ctx context.Context) error {
	logs, ok := store.LogsOf(l.st)
	if !ok {
		return nil
	}
	next, err := newSegment(l.seq+1, l.o.Rand)
	if err != nil {
		return errs.E("journal.roll", errs.Internal, l.prefix, err)
	}
	log, err := logs.CreateLog(ctx, l.segmentName(next))
	if err != nil {
		if !errors.Is(err, errs.Unsupported) && ctx.Err() == nil {
			l.o.OnError(err)
		}
		return nil // it stays as it is
	}
	if err := l.put(ctx, roll, record.AppendBytes(nil, next.mark[:])); err != nil {
		return errors.Join(err, log.Close())
	}
	if l.log != nil {
		err = l.log.Close()
	}
	l.next, l.log = next, log
	return err
}

// end is the last thing that happens to the log: it answers everybody, the batch under way first.
func (l *Leader) end(batch []*request, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.err = cause
	for _, r := range batch {
		if errors.Is(cause, errs.Canceled) {
			// Not wrapped: Canceled says that nothing was appended.
			r.done <- errs.Errorf("journal.Append", errs.Unavailable, l.prefix, "unknown outcome, ask again: %v", cause)
		} else {
			r.done <- errs.E("journal.Append", errs.Other, l.prefix, cause)
		}
	}
	for _, r := range l.mu.queue {
		r.done <- errs.E("journal.Append", errs.Other, l.prefix, cause)
	}
	for _, answer := range l.mu.snapshots {
		answer <- errs.E("journal.Checkpoint", errs.Other, l.prefix, cause)
	}
	l.mu.queue, l.mu.snapshots = nil, nil
	l.cancel()
	close(l.done)
}
