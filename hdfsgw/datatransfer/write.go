package datatransfer

import (
	"context"
	"errors"
	"os"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
	"github.com/seed3322913c/runner/infra/errs"
)

// receiver takes the packets of one block.
type receiver struct {
	*conn
	ticket   Ticket
	sums     summer
	received int64 // bytes of the block
	largest  int   // data of a packet

	ended chan struct{} // closed when nothing more is taken from this connection
}

// write receives a block. Whatever happens, what has arrived is not lost: see Server.Flush.
func (c *conn) write(ctx context.Context, op *hadoop.OpWriteBlock) error {
	h := op.GetHeader().GetBaseHeader()
	t, ok := c.check(h)
	if !ok || t.Path == "" {
		return c.badTicket(h)
	}
	sums, ok := newSummer(op.GetRequestedChecksum().GetType(), op.GetRequestedChecksum().GetBytesPerChecksum())
	switch {
	case !ok:
		return c.refuse(hadoop.Status_ERROR_UNSUPPORTED, "Unknown checksum %v", op.GetRequestedChecksum())
	case op.GetStage() != begins && !goesOn(op.GetStage()):
		return c.refuse(hadoop.Status_ERROR_UNSUPPORTED, "Unsupported stage %v", op.GetStage())
	}
	ctx = context.WithoutCancel(ctx) // what is begun is ended, so that acknowledged bytes are kept
	r := &receiver{conn: c, ticket: t, sums: sums, ended: make(chan struct{})}
	c.enroll(r)
	defer c.leave(r)
	if goesOn(op.GetStage()) {
		if err := r.goOn(ctx, op.GetMinBytesRcvd()); err != nil {
			return c.refuse(hadoop.Status_ERROR, "Block %d cannot be gone on with: %s", t.Block, errs.Cause(err))
		}
	}
	welcome := &hadoop.BlockOpResponse{Status: hadoop.Status_SUCCESS.Enum(), FirstBadLink: proto.String("")}
	if err := c.send(welcome); err != nil || op.GetStage() == closes {
		return err
	}
	if err := r.receive(ctx); err != nil {
		return errors.Join(err, c.Flush(ctx, t.File))
	}
	return nil
}

// The stages of a write that are not like others.
const (
	begins = hadoop.OpWriteBlock_PIPELINE_SETUP_CREATE
	closes = hadoop.OpWriteBlock_PIPELINE_CLOSE_RECOVERY // all was received, only the client has not heard of the end
)

// goesOn reports whether some of the block has arrived before. Clients are told to begin a new block when they append,
// so it is one whose connection broke.
func goesOn(stage hadoop.OpWriteBlock_Stage) bool {
	return stage == hadoop.OpWriteBlock_PIPELINE_SETUP_STREAMING_RECOVERY || stage == closes
}

// enroll makes r the only connection of its writer. One that he had before, of which we may not know yet that it broke,
// is ended first: what is still on its way there he will send again.
func (s *Server) enroll(r *receiver) {
	s.mu.Lock()
	old := s.mu.receivers[r.ticket.writer()]
	s.mu.receivers[r.ticket.writer()] = r
	s.mu.Unlock()
	if old != nil {
		old.Close() // it only has to end
		<-old.ended
	}
}

func (s *Server) leave(r *receiver) {
	s.mu.Lock()
	if s.mu.receivers[r.ticket.writer()] == r {
		delete(s.mu.receivers, r.ticket.writer())
	}
	s.mu.Unlock()
	close(r.ended)
}

// goOn finds out how much of a block has arrived of which the client knows that least bytes have. All of it is entered
// in the namespace then; what the client sends once more is passed over.
func (r *receiver) goOn(ctx context.Context, least uint64) error {
	t := r.ticket
	if err := r.Flush(ctx, t.File); err != nil {
		return err
	}
	names, err := r.names(ctx)
	if err != nil {
		return err
	}
	s, err := names.OpenFor(t.Caller, t.Path, t.Holder, t.File)
	if err != nil {
		return err
	}
	if r.received = s.Length - t.Start; r.received < 0 || uint64(r.received) < least {
		return namespace.Lost(t.Path, s.Length, t.Start+int64(min(least, uint64(t.Limit))))
	}
	return nil
}

// transfer is asked to copy what has arrived of a block to a data node that joins the pipeline: that is this one, too.
func (c *conn) transfer(_ context.Context, op *hadoop.OpTransferBlock) error {
	h := op.GetHeader().GetBaseHeader()
	if t, ok := c.check(h); !ok || t.Path == "" {
		return c.badTicket(h)
	}
	return c.send(&hadoop.BlockOpResponse{Status: hadoop.Status_SUCCESS.Enum()})
}

// receive takes packets up to the last one.
func (r *receiver) receive(ctx context.Context) error {
	var buf []byte
	for {
		if err := r.SetDeadline(time.Now().Add(transferPause)); err != nil {
			return err
		}
		var p packet
		var err error
		if buf, err = readPacket(r.in, r.sums, &p, buf); err != nil {
			return err
		}
		last := p.header.GetLastPacketInBlock()
		status := hadoop.Status_SUCCESS
		if p.header.GetSeqno() != heartbeat {
			status, err = r.take(ctx, &p)
		}
		ack := r.send(&hadoop.PipelineAck{Seqno: p.header.Seqno, Reply: []hadoop.Status{status}})
		if err = errors.Join(err, ack); err != nil || last {
			return err
		}
	}
}

// heartbeat is the number of packets that only show that the client lives.
const heartbeat = -1

// take stores a packet, and flushes after it if the client waits for that.
func (r *receiver) take(ctx context.Context, p *packet) (hadoop.Status, error) {
	at := p.header.GetOffsetInBlock()
	switch {
	case !r.sums.holds(p.sums, p.data):
		return hadoop.Status_ERROR_CHECKSUM, errs.Errorf("datatransfer.Write", errs.Corrupt, r.ticket.Path,
			"the checksum of the packet at %d differs", at)
	case at < 0 || at > r.received || at+int64(len(p.data)) > r.ticket.Limit:
		return hadoop.Status_ERROR, malformed("a packet at %d with %d bytes; %d were received", at, len(p.data), r.received)
	}
	u := r.begin(ctx, r.ticket, r.received)
	defer r.release(u)
	// After a flush a client sends the chunk again that it had begun.
	if fresh := at + int64(len(p.data)) - r.received; fresh > 0 {
		if err := r.add(ctx, u, p.data[int64(len(p.data))-fresh:]); err != nil {
			return hadoop.Status_ERROR, err
		}
		r.received += fresh
	}
	var err error
	switch {
	case p.header.GetLastPacketInBlock():
		err = u.end(ctx)
	case p.header.GetSyncBlock() || r.waits(len(p.data)):
		err = r.flush(ctx, u)
	}
	if err != nil {
		return hadoop.Status_ERROR, err
	}
	return hadoop.Status_SUCCESS, nil
}

// soon is how long we look whether another packet comes.
const soon = 2 * time.Millisecond

// waits guesses whether the client waits for this packet to be visible. Nothing in a packet says that it ends what
// hflush flushes; but it is shorter than others, which are filled before they are sent, and nothing comes after it.
// Being wrong costs an object and an entry in the journal.
func (r *receiver) waits(n int) bool {
	const full = 32 << 10 // a packet of which it is not known that others are larger
	short := n < max(r.largest, full)
	r.largest = max(r.largest, n)
	return short && r.quiet()
}

func (r *receiver) quiet() bool {
	if r.in.Buffered() > 0 {
		return false
	}
	if err := r.SetReadDeadline(time.Now().Add(soon)); err != nil {
		return false
	}
	_, err := r.in.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded)
}
