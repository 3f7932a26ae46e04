package role

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/seed3322913c/runner/guagua/fold"
	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// This file is a master's readers: one goroutine for each link.

// admit takes workers in until the door is closed: greet decides whether one has a place here, nil if not, and listen
// takes what it says until its link breaks.
func admit(ctx context.Context, work *sync.WaitGroup, door link.Listener, greet func(link.Link) *peer,
	listen func(context.Context, *peer)) {
	for {
		l, err := door.Accept()
		if err != nil {
			return
		}
		work.Go(func() {
			defer l.Close()
			stop := context.AfterFunc(ctx, func() { l.Close() })
			defer stop()
			if p := greet(l); p != nil {
				work.Go(func() { p.write(ctx) })
				listen(ctx, p)
				p.end()
			}
		})
	}
}

// readJoin reads what a worker says first.
func readJoin(l link.Link) (superstep.Join, error) {
	h, err := l.Read()
	if err != nil {
		return superstep.Join{}, err
	}
	if h.Kind != wire.Join || !h.Last() {
		return superstep.Join{}, errs.Errorf("guagua.Join", errs.Corrupt, h.Kind, "want a join")
	}
	body := make([]byte, h.Length)
	if err := l.Body(body); err != nil {
		return superstep.Join{}, err
	}
	return wire.ParseJoin(h, body)
}

// greet reads a worker's join. It returns nil if the worker has no place here.
func (m *master) greet(l link.Link) *peer {
	j, err := readJoin(l)
	if err != nil {
		return nil
	}
	m.mu.Lock()
	acts := m.machine.Join(time.Now(), j)
	if len(acts) == 1 {
		if r, ok := acts[0].(superstep.Reject); ok {
			m.mu.Unlock()
			h := wire.Header{Kind: wire.Reject, Member: r.To, Position: superstep.Position{Epoch: j.Epoch}}
			l.Send(context.Background(), h, wire.NewMessage([]byte(r.Why))) //nolint:errcheck // the link is closed next
			return nil
		}
	}
	p := newPeer(l, j.From, m.sent)
	if old := m.peers[j.From.Index]; old != nil {
		old.end()
	}
	m.peers[j.From.Index] = p
	m.todo = append(m.todo, acts...)
	m.againLocked(j.From.Index)
	m.routeLocked(p)
	m.mu.Unlock()
	m.signal()
	return p
}

// sent notes when a worker has been given its order.
func (m *master) sent(o outgoing) {
	if o.head.Kind == wire.Announce {
		m.stats.sent(o.head.Member.Index, o.head.Position)
	}
}

// listen takes what a worker says until its link breaks.
func (m *master) listen(ctx context.Context, p *peer) {
	defer m.lost(p)
	var holding []byte
	for {
		h, err := p.link.Read()
		if err != nil || h.Member != p.member {
			return
		}
		switch h.Kind {
		case wire.Result:
			err = m.result(p, h)
		case wire.Holding:
			holding, err = m.holding(ctx, p, h, holding)
		case wire.Door:
			address := make([]byte, h.Length)
			if err = p.link.Body(address); err == nil {
				m.opened(p, string(address))
			}
		case wire.Linked:
			m.linked(p, h.Extra)
		}
		if err != nil {
			return
		}
	}
}

func (m *master) lost(p *peer) {
	m.mu.Lock()
	defer m.signal()
	defer m.mu.Unlock()
	if m.peers[p.member.Index] != p {
		return // it has joined again, or was replaced
	}
	delete(m.peers, p.member.Index)
	m.todo = append(m.todo, m.machine.Lost(time.Now(), p.member)...)
	m.againLocked(p.member.Index)
}

// result merges a piece of a worker's result, if it is wanted. The error is the link's.
func (m *master) result(p *peer, h wire.Header) error {
	t := m.turn.Load()
	r := superstep.Result{
		Position: h.Position, From: h.Member, Halt: h.Flags&wire.Halt != 0, Older: h.Flags&wire.Older != 0,
	}
	first, _ := m.job.group(h.Member.Index)
	grouped := h.Flags&wire.Group != 0
	if t == nil || h.Position != t.at || grouped != t.groups[first] || h.Offset == 0 && !m.wanted(r) {
		m.stats.dropped()
		return nil
	}
	var broken error
	piece := fold.Piece{From: h.Member, Total: h.Total, Offset: h.Offset, Length: h.Length}
	if grouped {
		piece.Level = m.job.groupLevel()
	}
	status, err := t.fold.Take(piece, func(dst []byte) error {
		broken = p.link.Body(dst)
		return broken
	})
	switch {
	case broken != nil:
		return broken
	case err != nil:
		m.fail(err)
	case status == fold.Whole:
		for _, from := range m.senders(h) {
			m.stats.result(from.Index, time.Duration(h.Extra))
			r.From = from
			m.tell(func(now time.Time) []superstep.Action { return m.machine.Result(now, r) })
		}
	}
	return nil
}

func (m *master) wanted(r superstep.Result) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.machine.Partial(r)
}

// The body of Holding: the length of the master result (8), the result, then a trail as in State.

// holding gathers what a worker was asked to hand over.
func (m *master) holding(ctx context.Context, p *peer, h wire.Header, so []byte) ([]byte, error) {
	if h.Total > m.job.Largest {
		return nil, errs.Errorf("guagua.Holding", errs.Corrupt, h.Member, "%d bytes", h.Total)
	}
	if h.Offset == 0 {
		so = so[:0]
	} else if h.Offset != int64(len(so)) {
		return nil, errs.Errorf("guagua.Holding", errs.Corrupt, h.Member, "piece at %d after %d bytes", h.Offset, len(so))
	}
	so = append(so, make([]byte, h.Length)...)
	if err := p.link.Body(so[h.Offset:]); err != nil || !h.Last() {
		return so, err
	}
	if len(so) < 8 || binary.LittleEndian.Uint64(so) > uint64(len(so)-8) {
		return nil, errs.Errorf("guagua.Holding", errs.Corrupt, h.Member, "%d bytes hold nothing", len(so))
	}
	n := 8 + binary.LittleEndian.Uint64(so)
	t, err := parseTrail(so[n:])
	if err != nil {
		return nil, err
	}
	from := &handed{at: h.Point(), result: so[8:n:n], trail: t}
	m.later(ctx, func() error {
		m.kept = from
		m.tell(func(now time.Time) []superstep.Action { return m.machine.Fetched(now, h.Member, from.at) })
		return nil
	})
	return nil, nil
}
