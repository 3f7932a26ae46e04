package role

import (
	"context"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/fold"
	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
)

// This file is the leader's part of a group. With Job.Group, workers are taken together, so many neighbours each; the
// first of them leads. It adds up what the others send, and what it has itself, in the shape of the fold, and sends the
// master one result for all; what the master announces it passes on. So a vector goes to the master once for each
// group, and the sum is the same to the bit.
//
//	          master
//	         ╱      ╲
//	   worker 0    worker 4
//	   ╱  │  ╲     ╱  │  ╲
//	  1   2   3   5   6   7
//
// Nothing waits until it is whole: the sum goes up piece by piece while the rest of it is added up, and a master result
// down while the rest of it arrives.
//
// Everything else stays between each worker and the master: joins, the end, signs of life. The master uses a group in a
// turn when all of it are linked (see groups.go), and begins the turn again without it as soon as one is not.

// group returns the bounds of a worker's group: the leader, and the one after the last member.
func (j *Job) group(index int) (first, beyond int) {
	if j.Group < 2 {
		return index, index + 1
	}
	first = index &^ (j.Group - 1)
	return first, min(first+j.Group, j.Config.Workers)
}

// groupLevel is the level of the fold's nodes that groups are.
func (j *Job) groupLevel() int { return bits.Len(uint(max(1, j.Group))) - 1 }

// group is what a leader does for the members of its group. begin, own and sum are for the worker's loop.
type group struct {
	job           Job
	first, beyond int
	work          *sync.WaitGroup
	pool          fold.Pool
	turn          atomic.Pointer[groupTurn]
	last          atomic.Pointer[groupSum] // not under mu: a fold that tells of it may be waited for with that held
	ready         chan struct{}            // last is news

	mu    sync.Mutex // guards what follows
	door  link.Listener
	epoch uint64
	peers map[int]*peer
}

// groupTurn is a turn of the master's, as far as the group is concerned.
type groupTurn struct {
	at    superstep.Position
	order outgoing // for members, without a receiver; holds its payload
	fold  fold.Fold

	closing sync.Mutex // nobody takes the results of a fold that is being closed
	closed  bool

	sent chan struct{} // closed when the sum is not read any more; nil: nobody has begun to. For the worker's loop.

	mu      sync.Mutex // guards what follows
	sum     *wire.Message
	missing int
	halt    bool
	took    time.Duration // the longest
	whole   bool
}

// groupSum is news of a turn: the first piece of its sum is there, or something went wrong.
type groupSum struct {
	at  superstep.Position
	sum *wire.Message
	err error
}

// newGroup returns the group that this worker leads, nil if it leads none.
func newGroup(job Job, me superstep.Member, work *sync.WaitGroup) *group {
	first, beyond := job.group(me.Index)
	if me.Index != first || beyond-first < 2 {
		return nil
	}
	return &group{
		job: job, first: first, beyond: beyond, work: work, ready: make(chan struct{}, 1), peers: map[int]*peer{},
	}
}

// open takes members in that follow the master of this epoch, and returns the address where; "" if that can't be. Those
// of earlier epochs are let go.
func (g *group) open(ctx context.Context, epoch uint64) string {
	g.close()
	door, err := g.job.Transport.Listen(ctx, g.job.secret(epoch))
	if err != nil {
		return "" // everybody speaks to the master
	}
	g.mu.Lock()
	g.door, g.epoch = door, epoch
	g.mu.Unlock()
	g.work.Go(func() { admit(ctx, g.work, door, g.greet, g.listen) })
	return door.Address()
}

func (g *group) close() {
	g.mu.Lock()
	door, peers := g.door, g.peers
	g.door, g.peers = nil, map[int]*peer{}
	g.mu.Unlock()
	if door != nil {
		door.Close() //nolint:errcheck // nobody listens any more either way
	}
	for _, p := range peers {
		p.end()
	}
	g.endTurn()
}

// endTurn gives back what the turn holds.
func (g *group) endTurn() {
	t := g.turn.Swap(nil)
	if t == nil {
		return
	}
	t.closing.Lock()
	t.closed = true
	t.fold.Close() //nolint:errcheck // vectors have no files
	t.closing.Unlock()
	t.order.message.Stop()
	t.order.payload.release()
	t.mu.Lock()
	sum, whole := t.sum, t.whole
	t.mu.Unlock()
	switch {
	case sum == nil || t.sent == nil:
	case whole:
		<-t.sent // the master has all of it, as a rule; the next turn but one uses its memory
	default:
		sum.Stop()
		g.pool.Abandon()
	}
}

// greet takes a member in.
func (g *group) greet(l link.Link) *peer {
	j, err := readJoin(l)
	if err != nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.peers[j.From.Index]
	if g.door == nil || j.Epoch != g.epoch || j.From.Index <= g.first || j.From.Index >= g.beyond ||
		old != nil && old.member.Attempt > j.From.Attempt {
		return nil
	}
	if old != nil {
		old.end()
	}
	p := newPeer(l, j.From, func(outgoing) {})
	g.peers[j.From.Index] = p
	if t := g.turn.Load(); t != nil { // the master may have heard of this link before us
		t.passTo(p)
	}
	return p
}

// passTo passes the order on.
func (t *groupTurn) passTo(p *peer) {
	o := t.order
	o.head.Member = p.member
	o.payload.hold()
	p.send(o)
}

// listen takes a member's results until its link breaks; the member tells the master then.
func (g *group) listen(_ context.Context, p *peer) {
	for {
		h, err := p.link.Read()
		if err != nil || h.Member != p.member {
			break
		}
		if t := g.turn.Load(); t != nil && h.Kind == wire.Result && h.Position == t.at {
			took, halt := time.Duration(h.Extra), h.Flags&wire.Halt != 0
			if err := g.take(t, h, took, halt, p.link.Body); err != nil {
				break
			}
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.peers[p.member.Index] == p {
		delete(g.peers, p.member.Index)
	}
}

// begin starts a turn, and passes its order on.
func (g *group) begin(h wire.Header, content *payload) {
	g.mu.Lock()
	defer g.mu.Unlock() // who comes meanwhile is told of the old turn or of the new one, not of neither
	g.endTurn()
	n := g.beyond - g.first
	t := &groupTurn{at: h.Position, missing: n, halt: true}
	t.order = outgoing{head: h, message: wire.NewMessage(nil), payload: content.hold()}
	if content != nil {
		t.order.message = content.message
	}
	t.fold = fold.New(guagua.Reducer{Kind: guagua.Vectors}, &g.pool, fold.Options{
		Workers: n, Piece: wire.Chunk, Memory: g.job.Memory, Largest: g.job.Largest, Scratch: g.job.Scratch,
		Grown: func(sum []float64, bytes int) {
			if bytes >= wire.Chunk && int64(bytes) < int64(len(sum))*8 {
				g.grow(t, sum).Grow(bytes)
			}
		},
	})
	g.turn.Store(t)
	for _, p := range g.peers {
		t.passTo(p)
	}
}

// own adds the leader's own result to a turn's.
func (g *group) own(at superstep.Position, me superstep.Member, p part) {
	t := g.turn.Load()
	if t == nil || t.at != at {
		return // a newer order is on its way
	}
	total := int64(len(p.data))
	for h := (wire.Header{Member: me, Total: total}); ; h.Offset += wire.Chunk {
		h.Length = int(min(wire.Chunk, total-h.Offset))
		read := func(dst []byte) error { copy(dst, p.data[h.Offset:]); return nil }
		if g.take(t, h, p.took, p.halt, read) != nil || h.Last() {
			return
		}
	}
}

// take merges a piece of a result. The error is read's.
func (g *group) take(t *groupTurn, h wire.Header, took time.Duration, halt bool, read func([]byte) error) error {
	var broken error
	from := superstep.Member{Index: h.Member.Index - g.first, Attempt: h.Member.Attempt}
	piece := fold.Piece{From: from, Total: h.Total, Offset: h.Offset, Length: h.Length}
	status, err := t.fold.Take(piece, func(dst []byte) error {
		broken = read(dst)
		return broken
	})
	switch {
	case broken != nil:
		return broken
	case err != nil:
		g.tell(groupSum{at: t.at, err: err})
	case status == fold.Whole && t.come(took, halt):
		g.finish(t)
	}
	return nil
}

// come notes that a result is there, and reports whether it was the last one.
func (t *groupTurn) come(took time.Duration, halt bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.missing--
	t.halt, t.took = t.halt && halt, max(t.took, took)
	return t.missing == 0
}

// grow returns the message of a turn's sum. The first time it tells the loop of it.
func (g *group) grow(t *groupTurn, sum []float64) *wire.Message {
	t.mu.Lock()
	first := t.sum == nil
	if first {
		t.sum = wire.NewGrowing(guagua.FloatBytes(sum))
	}
	m := t.sum
	t.mu.Unlock()
	if first {
		g.tell(groupSum{at: t.at, sum: m})
	}
	return m
}

// finish lets the rest of the sum go.
func (g *group) finish(t *groupTurn) {
	t.closing.Lock()
	defer t.closing.Unlock()
	if t.closed {
		return
	}
	parts, err := t.fold.Results()
	if err != nil {
		g.tell(groupSum{at: t.at, err: err})
		return
	}
	var sum []float64
	for v := range parts {
		sum = v.([]float64)
	}
	m := g.grow(t, sum)
	t.mu.Lock()
	t.whole = true
	flags := wire.Flags(0)
	if t.halt {
		flags = wire.Halt
	}
	took := t.took
	t.mu.Unlock()
	m.Finish(flags, uint64(took))
}

func (g *group) tell(s groupSum) {
	g.last.Store(&s)
	select {
	case g.ready <- struct{}{}:
	default: // it will look at the newest
	}
}
