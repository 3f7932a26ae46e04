package datatransfer

import (
	"context"
	"errors"
	"os"
	"time"

	"google.golang.org/protobuf/proto"

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
	case op.GetStage() != hadoop.OpWriteBlock_PIPELINE_SETUP_CREATE || len(op.GetTargets()) > 0:
		// Blocks that exist are never added to, and there are no other data nodes: we hand neither out.
		return c.refuse(hadoop.Status_ERROR_UNSUPPORTED, "Unsupported stage %v with %d targets", op.GetStage(),
			len(op.GetTargets()))
	}
	ctx = context.WithoutCancel(ctx) // what is begun is ended, so that acknowledged bytes are kept
	welcome := &hadoop.BlockOpResponse{Status: hadoop.Status_SUCCESS.Enum(), FirstBadLink: proto.String("")}
	if err := c.send(welcome); err != nil {
		return err
	}
	r := receiver{conn: c, ticket: t, sums: sums}
	if err := r.receive(ctx); err != nil {
		return errors.Join(err, c.Flush(ctx, t.File))
	}
	return nil
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
