package role

import (
	"context"
	"slices"
	"sync"

	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
)

// peer is a worker as its master sees it: a link, and what is to be sent over it. One goroutine writes, so that a slow
// worker keeps nobody waiting; what it has no time to send is replaced by what is newer.
type peer struct {
	link   link.Link
	member superstep.Member
	sent   func(outgoing) // called when a message has been sent
	wake   chan struct{}
	given  int // up to which iteration it was given lines; for the master's loop

	// Guarded by the master's lock:
	door   string // of a leader: where it takes members in, "" if nowhere
	leader *peer  // of a member: whom it is linked to

	mu     sync.Mutex
	queue  []outgoing
	ending bool // close the link when all is sent
}

// outgoing is a message to be sent.
type outgoing struct {
	head    wire.Header
	message *wire.Message
	payload *payload // message is this one's; released when it was sent
}

func newPeer(l link.Link, m superstep.Member, sent func(outgoing)) *peer {
	return &peer{link: l, member: m, sent: sent, wake: make(chan struct{}, 1)}
}

// send queues messages. An announce replaces those that still wait.
func (p *peer) send(out ...outgoing) {
	p.mu.Lock()
	for _, o := range out {
		if o.head.Kind == wire.Announce {
			p.queue = slices.DeleteFunc(p.queue, func(old outgoing) bool {
				old.payload.release()
				return old.head.Kind == wire.Announce
			})
		}
		p.queue = append(p.queue, o)
	}
	p.mu.Unlock()
	p.signal()
}

// end closes the link when everything is sent.
func (p *peer) end() {
	p.mu.Lock()
	p.ending = true
	p.mu.Unlock()
	p.signal()
}

func (p *peer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// write sends what is queued until the link breaks or ctx ends.
func (p *peer) write(ctx context.Context) {
	defer p.drop()
	for {
		p.mu.Lock()
		queue, ending := p.queue, p.ending
		p.queue = nil
		p.mu.Unlock()
		for i, o := range queue {
			err := p.link.Send(ctx, o.head, o.message)
			o.payload.release()
			if err != nil {
				for _, rest := range queue[i+1:] {
					rest.payload.release()
				}
				p.link.Close() // the reader notices
				return
			}
			p.sent(o)
		}
		if ending {
			p.link.Close()
			return
		}
		if len(queue) > 0 {
			continue
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			return
		}
	}
}

// drop forgets what will not be sent.
func (p *peer) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.queue {
		o.payload.release()
	}
	p.queue = nil
}
