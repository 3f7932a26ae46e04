package role

import (
	"context"

	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
)

// This file is what a worker does as a member of a group, and as its leader towards the master (see group.go).

// uplink is a member's way to its leader.
type uplink struct {
	address string
	leader  uint64 // the leader's attempt and 1
	epoch   uint64
	link    link.Link // nil while it is being made
	session int
}

func (u *uplink) close() {
	if u.link != nil {
		u.link.Close()
	}
}

// newSession returns a number for a link.
func (w *worker) newSession() int {
	w.count++
	return w.count
}

// say sends the master a short message.
func (w *worker) say(ctx context.Context, h wire.Header, body []byte) {
	if w.link == nil {
		return
	}
	h.Member, h.Epoch = w.me, w.machine.Epoch()
	if err := w.link.Send(ctx, h, wire.NewMessage(body)); err != nil {
		w.link.Close() // the reader notices
	}
}

// route links this worker to the leader of its group. If that fails, it goes on without.
func (w *worker) route(ctx context.Context, address string, leader uint64) {
	epoch := w.machine.Epoch()
	if w.up.link != nil && w.up.address == address && w.up.leader == leader && w.up.epoch == epoch {
		w.say(ctx, wire.Header{Kind: wire.Linked, Extra: leader}, nil)
		return
	}
	w.up.close()
	w.up = uplink{address: address, leader: leader, epoch: epoch}
	next := w.up
	w.work.Go(func() {
		l, err := w.job.Transport.Dial(ctx, next.address, w.job.secret(next.epoch))
		if err != nil {
			return
		}
		next.link = l
		select {
		case w.routed <- next:
		case <-ctx.Done():
			l.Close()
		}
	})
}

// linkUp uses a link to the leader that was made, unless another one is wanted by now.
func (w *worker) linkUp(ctx context.Context, u uplink) {
	if u.address != w.up.address || u.leader != w.up.leader || u.epoch != w.up.epoch || w.up.link != nil {
		u.link.Close()
		return
	}
	u.session = w.newSession()
	w.up = u
	h, body := wire.JoinMessage(superstep.Join{Epoch: u.epoch, From: w.me})
	if err := u.link.Send(ctx, h, wire.NewMessage(body)); err != nil {
		u.link.Close() // the reader notices
	}
	w.work.Go(func() { w.listen(ctx, u.link, u.session) })
	w.say(ctx, wire.Header{Kind: wire.Linked, Extra: u.leader}, nil)
}

// unlink tells the master that the way to the leader is gone.
func (w *worker) unlink(ctx context.Context) {
	w.up.close()
	w.up = uplink{}
	w.say(ctx, wire.Header{Kind: wire.Linked}, nil)
}

// sendSum sends the master what the group comes to, while that is being added up.
func (w *worker) sendSum(ctx context.Context, s groupSum) error {
	t := w.group.turn.Load()
	if s.err != nil || s.at != w.via || w.link == nil || t == nil || t.at != s.at {
		return s.err
	}
	to, sent := w.link, make(chan struct{})
	t.sent = sent
	h := wire.Header{Kind: wire.Result, Position: s.at, Member: w.me, Flags: wire.Group}
	h.Iteration = w.now.at.Iteration + 1
	w.work.Go(func() {
		defer close(sent)
		if err := to.Send(ctx, h, s.sum); err != nil {
			to.Close() // the reader notices
		}
	})
	return nil
}
