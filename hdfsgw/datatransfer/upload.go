package datatransfer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
)

// Writer is who has a file open. Somebody who has lost his lease and the one who has it now are two.
type Writer struct {
	File   uint64 // id of the inode
	Holder string
}

func (t *Ticket) writer() Writer { return Writer{t.File, t.Holder} }

// upload is a file that is being written. Its mutex is held for whole operations, storing included: one packet after
// the other, or a flush between two of them.
type upload struct {
	ticket Ticket // of the block that came last

	mu     sync.Mutex
	w      *block.Writer         // the object that takes what comes, nil if there is none
	commit chan committed        // the answer for the object before, nil if there is none to wait for
	at     int64                 // where what is pending begins in the file
	size   int64                 // bytes that are pending: in w, in commit and in done
	done   []namespace.Block     // durable, and not in the namespace yet
	err    error                 // the first; nothing is written after it
	alone  *time.Timer           // settles what nobody asked for
	gone   bool                  // not in Server.uploads any more
	settle func(context.Context) // what alone does
}

type committed struct {
	block namespace.Block
	err   error
}

// aloneAfter is how long a client may take from the end of a block to asking for the next one or closing the file.
// After it the block is entered in the namespace anyway, so that it is not lost if the client has died.
const aloneAfter = 5 * time.Second

// begin returns the upload of a ticket's file, locked, after so many bytes of the block have been received.
func (s *Server) begin(ctx context.Context, t Ticket, received int64) *upload {
	s.mu.Lock()
	u := s.mu.uploads[t.writer()]
	if u == nil {
		u = &upload{ticket: t, at: t.Start + received}
		u.settle = func(ctx context.Context) { s.settleAlone(ctx, u) }
		s.mu.uploads[t.writer()] = u
	}
	s.mu.Unlock()
	u.mu.Lock()
	if u.gone {
		u.mu.Unlock()
		return s.begin(ctx, t, received)
	}
	u.stopTimer()
	u.ticket = t
	if u.err == nil && u.at+u.size != t.Start+received {
		u.err = namespace.Lost(t.Path, u.at+u.size, t.Start+received)
	}
	return u
}

// find returns an upload, locked, or nil.
func (s *Server) find(w Writer) *upload {
	s.mu.Lock()
	u := s.mu.uploads[w]
	s.mu.Unlock()
	if u == nil {
		return nil
	}
	u.mu.Lock()
	if u.gone {
		u.mu.Unlock()
		return nil
	}
	return u
}

// release unlocks an upload, and forgets it if all of it is in the namespace, or never will be.
func (s *Server) release(u *upload) {
	if u.err != nil {
		if u.w != nil {
			_ = u.w.Abort(context.Background()) // the first error is told already
		}
		u.w, u.commit, u.done = nil, nil, nil // what becomes durable yet is an orphan, which fsck finds
	}
	if !u.gone && u.w == nil && u.commit == nil && len(u.done) == 0 { // else the writer may have another one by now
		s.mu.Lock()
		delete(s.mu.uploads, u.ticket.writer())
		s.mu.Unlock()
		u.gone = true
		u.stopTimer()
	}
	u.mu.Unlock()
}

func (u *upload) stopTimer() {
	if u.alone != nil {
		u.alone.Stop()
	}
}

// add stores bytes that come next.
func (s *Server) add(ctx context.Context, u *upload, data []byte) error {
	if u.err == nil && u.w == nil {
		names, err := s.names(ctx)
		if err != nil {
			return err
		}
		u.w, u.err = block.Create(ctx, s.store, names.NewBlock())
	}
	if u.err == nil {
		_, u.err = u.w.Write(data)
		u.size += int64(len(data))
	}
	return u.err
}

// end makes the object durable, while others go on.
func (u *upload) end(ctx context.Context) error {
	if u.w == nil || u.await() != nil {
		return u.err
	}
	w, answer := u.w, make(chan committed, 1)
	u.w, u.commit = nil, answer
	go func() {
		b, err := w.Commit(ctx)
		answer <- committed{b, err}
	}()
	u.stopTimer()
	u.alone = time.AfterFunc(aloneAfter, func() { u.settle(ctx) })
	return nil
}

// await waits until what end began is done.
func (u *upload) await() error {
	if u.commit != nil {
		u.take(<-u.commit)
	}
	return u.err
}

func (u *upload) take(c committed) {
	u.commit = nil
	if c.err == nil {
		u.done = append(u.done, c.block)
	} else if u.err == nil {
		u.err = c.err
	}
}

// enter has the blocks that are durable entered in the namespace. What is refused is deleted; where it is not known
// whether they were entered, they stay for fsck to find.
func (s *Server) enter(ctx context.Context, u *upload, do Enter) error {
	if u.err != nil {
		return u.err
	}
	durable := int64(0)
	for _, b := range u.done {
		durable += b.Length
	}
	if u.err = do(u.done, u.size-durable); u.err != nil {
		u.err = errors.Join(u.err, s.undo(ctx, u.done, u.err))
	}
	u.at, u.size, u.done = u.at+durable, u.size-durable, nil
	return u.err
}

func (s *Server) undo(ctx context.Context, blocks []namespace.Block, cause error) error {
	if !namespace.Refused(cause) {
		return nil
	}
	ids := make([]uint64, len(blocks))
	for i, b := range blocks {
		ids[i] = b.ID
	}
	return block.Delete(context.WithoutCancel(ctx), s.store, ids...)
}

// Enter enters blocks in the namespace, at the end of their file. So many more bytes were received after them.
type Enter func(blocks []namespace.Block, more int64) error

// Settle calls do with the blocks of a file that were received and are not in the namespace, to enter them there. With
// all it ends the block that is being written, and waits until it is durable; without, what is not durable is left out.
// It is called with none, too. An error from here or from do ends the upload.
func (s *Server) Settle(ctx context.Context, w Writer, all bool, do Enter) error {
	u := s.find(w)
	if u == nil {
		return do(nil, 0)
	}
	defer s.release(u)
	if all {
		if err := errors.Join(u.end(ctx), u.await()); err != nil {
			return u.err
		}
	} else if u.commit != nil {
		select {
		case c := <-u.commit:
			u.take(c)
		default:
		}
	}
	return s.enter(ctx, u, do)
}

// Flush enters in the namespace all that was received of a file, in the names of those who write it.
func (s *Server) Flush(ctx context.Context, file uint64) (err error) {
	var writers []Writer
	s.mu.Lock()
	for w := range s.mu.uploads {
		if w.File == file {
			writers = append(writers, w)
		}
	}
	s.mu.Unlock()
	for _, w := range writers {
		if u := s.find(w); u != nil {
			err = errors.Join(err, s.flush(ctx, u))
			s.release(u)
		}
	}
	return err
}

func (s *Server) flush(ctx context.Context, u *upload) error {
	if err := errors.Join(u.end(ctx), u.await()); err != nil {
		return u.err
	}
	return s.enter(ctx, u, func(blocks []namespace.Block, _ int64) error {
		if len(blocks) == 0 {
			return nil
		}
		names, err := s.names(ctx)
		if err == nil {
			_, err = names.Do(ctx, namespace.Request{Op: namespace.OpAddBlocks, Caller: u.ticket.Caller,
				Path: u.ticket.Path, Holder: u.ticket.Holder, File: u.ticket.File, Placed: true, At: u.at,
				Blocks: blocks})
		}
		return err
	})
}

// settleAlone flushes what a client has left behind. It tells nobody of an error: who closes the file will hear of it.
func (s *Server) settleAlone(ctx context.Context, u *upload) {
	u.mu.Lock()
	defer s.release(u)
	if u.w == nil && !u.gone { // nobody writes
		_ = s.flush(ctx, u)
	}
}
