package role

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"sync"

	"github.com/seed3322913c/runner/guagua/ledger"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// payload is a master result on its way: shared by all who send or hold it. Its buffer is used again when nobody does.
type payload struct {
	data    []byte
	message *wire.Message // nil where it is not sent
	at      superstep.Point
	refs    int
	pool    *payloads
}

// payloads keeps buffers for master results. It is safe for many goroutines.
type payloads struct {
	mu   sync.Mutex
	free [][]byte
}

// buffer returns a buffer with length 0 and, if there is one, the capacity of an earlier result.
func (p *payloads) buffer() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		return b[:0]
	}
	return nil
}

// sized returns a buffer of n bytes.
func (p *payloads) sized(n int64) []byte {
	if b := p.buffer(); int64(cap(b)) >= n {
		return b[:n]
	}
	return make([]byte, n)
}

// wrap makes a payload of data, held by the caller.
func (p *payloads) wrap(at superstep.Point, data []byte) *payload {
	return &payload{data: data, at: at, refs: 1, pool: p}
}

// hold adds a holder, and returns the payload for convenience. A nil payload has no holders.
func (y *payload) hold() *payload {
	if y != nil {
		y.pool.mu.Lock()
		y.refs++
		y.pool.mu.Unlock()
	}
	return y
}

// release takes a holder away.
func (y *payload) release() {
	if y == nil {
		return
	}
	y.pool.mu.Lock()
	defer y.pool.mu.Unlock()
	if y.refs--; y.refs == 0 && len(y.pool.free) < 4 {
		y.pool.free = append(y.pool.free, y.data)
	}
}

// grow lets more of a payload go that is passed on while it comes.
func (y *payload) grow(bytes int64, whole bool) {
	switch {
	case y == nil:
	case whole:
		y.message.Finish(0, 0)
	default:
		y.message.Grow(int(bytes))
	}
}

// stop gives a payload up that was passed on while it came: the rest of it will not come.
func (y *payload) stop() {
	if y != nil {
		y.message.Stop()
		y.release()
	}
}

// bytes returns the master result, nil if there is none.
func (y *payload) bytes() []byte {
	if y == nil {
		return nil
	}
	return y.data
}

// The body of State: the master's own state and the lines of metrics that the worker does not have yet.
//
//	0  iteration up to which lines are durable   8
//	8  length of the state                       8
//	16 state, then the lines as JSON

// trail is what a master has besides its result: its own state, and lines that are in no checkpoint yet.
type trail struct {
	durable int // lines up to this iteration are in the ledger
	state   []byte
	lines   []ledger.Line
}

func (t trail) encode() ([]byte, error) {
	b := binary.LittleEndian.AppendUint64(nil, uint64(t.durable))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(t.state)))
	b = append(b, t.state...)
	lines, err := json.Marshal(t.lines)
	if err != nil {
		return nil, errs.E("guagua.State", errs.Internal, nil, err)
	}
	return append(b, lines...), nil
}

func parseTrail(b []byte) (t trail, err error) {
	const op = "guagua.State"
	if len(b) < 16 || binary.LittleEndian.Uint64(b[8:]) > uint64(len(b)-16) {
		return t, errs.Errorf(op, errs.Corrupt, nil, "%d bytes are no state", len(b))
	}
	t.durable = int(binary.LittleEndian.Uint64(b))
	n := binary.LittleEndian.Uint64(b[8:])
	t.state = b[16 : 16+n : 16+n]
	if err := json.Unmarshal(b[16+n:], &t.lines); err != nil {
		return t, errs.E(op, errs.Corrupt, nil, err)
	}
	return t, nil
}

// extend brings an older trail up to date with a newer one, which may have only the lines since.
func (t *trail) extend(next trail) {
	lines := t.lines
	if n := len(lines); n > 0 && len(next.lines) > 0 && lines[n-1].Iteration >= next.lines[0].Iteration {
		at := slices.IndexFunc(lines, func(l ledger.Line) bool { return l.Iteration >= next.lines[0].Iteration })
		lines = slices.Clone(lines[:at]) // what follows was said by a master that is gone; others may look at it still
	}
	*t = trail{next.durable, next.state, append(lines, next.lines...)}
	t.trim()
}

// trim drops lines that are durable.
func (t *trail) trim() {
	for len(t.lines) > 0 && t.lines[0].Iteration <= t.durable {
		t.lines = t.lines[1:]
	}
}
