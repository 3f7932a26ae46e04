package am

import (
	"time"

	"github.com/seed3322913c/runner/scheduler/amrpc"
)

// mailbox holds the orders that an executor has not confirmed. Asking for those after number n confirms all up to n, so
// an order is neither lost with a reply nor carried out twice. master.mu guards it.
type mailbox struct {
	instance uint64
	seen     time.Time // when the executor was last heard of
	orders   []*amrpc.Order
	filled   chan struct{} // closed and replaced when an order is put in
}

func newMailbox(instance uint64, now time.Time) *mailbox {
	return &mailbox{instance: instance, seen: now, filled: make(chan struct{})}
}

// put adds an order, whose number is higher than that of any before, also in mailboxes that this one replaces: a request
// that comes late, from the registration before, must not confirm what its executor has never seen.
func (b *mailbox) put(d order, number uint64) {
	o := &amrpc.Order{Number: number}
	switch d.verb {
	case orderStart:
		o.What = &amrpc.Order_Start{Start: &amrpc.Start{Attempt: d.attempt.String(), Payload: d.payload}}
	case orderKill:
		o.What = &amrpc.Order_Kill{Kill: d.attempt.String()}
	case orderLeave:
		o.What = &amrpc.Order_Leave{Leave: true}
	}
	b.orders = append(b.orders, o)
	close(b.filled)
	b.filled = make(chan struct{})
}

// maxReply bounds the payloads of one reply, in bytes; at least one order is always sent.
const maxReply = 16 << 20

// after confirms orders up to number n, and returns those that follow, as many as fit a reply.
func (b *mailbox) after(n uint64) []*amrpc.Order {
	for len(b.orders) > 0 && b.orders[0].Number <= n {
		b.orders[0] = nil // lets the payload go
		b.orders = b.orders[1:]
	}
	size := 0
	for i, o := range b.orders {
		size += len(o.GetStart().GetPayload())
		if i > 0 && size > maxReply {
			return b.orders[:i:i]
		}
	}
	return b.orders[:len(b.orders):len(b.orders)]
}
