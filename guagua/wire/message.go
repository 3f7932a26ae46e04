package wire

import (
	"hash/crc32"
	"sync"
	"sync/atomic"
)

// Message is a body that is sent in pieces, any number of times, by any number of goroutines. The checksums of the
// pieces are made when they are needed first, when their bytes are about to be read anyway.
type Message struct {
	body   []byte
	crcs   []atomic.Uint64 // 1<<32 and the checksum; 0 when it has not been made
	growth *growth         // nil: all of the body is there
}

// growth is how much of a message's body is there, which comes from the front.
type growth struct {
	sync.Mutex
	changed sync.Cond
	bytes   int
	stopped bool // no more will come
	flags   Flags
	extra   uint64
}

// NewMessage prepares body, which must not change until it has been sent.
func NewMessage(body []byte) *Message {
	return &Message{body: body, crcs: make([]atomic.Uint64, max(1, (len(body)+Chunk-1)/Chunk))}
}

// NewGrowing prepares a body that is filled in while it is sent already: Grow says how far it is, Finish that all of it
// is there, Stop that the rest will never be.
func NewGrowing(body []byte) *Message {
	m := NewMessage(body)
	m.growth = new(growth)
	m.growth.changed.L = &m.growth.Mutex
	return m
}

// Grow says that so many bytes of the body are there, and do not change any more. The last piece is not sent before
// Finish.
func (m *Message) Grow(bytes int) {
	m.grow(min(bytes, (len(m.crcs)-1)*Chunk))
}

// Finish says that all of the body is there. flags and extra are for the header of the last frame: what is known only
// now.
func (m *Message) Finish(flags Flags, extra uint64) {
	g := m.growth
	g.Lock()
	g.flags, g.extra = flags, extra
	g.Unlock()
	m.grow(len(m.body) + 1) // more than it has, so that an empty body has grown, too
}

func (m *Message) grow(bytes int) {
	g := m.growth
	g.Lock()
	g.bytes = max(g.bytes, bytes)
	g.Unlock()
	g.changed.Broadcast()
}

// Stop lets whoever sends the message give up what has not grown. It is harmless after Finish, and for a message that
// does not grow.
func (m *Message) Stop() {
	if g := m.growth; g != nil {
		g.Lock()
		g.stopped = true
		g.Unlock()
		g.changed.Broadcast()
	}
}

// await waits until piece i is there, and completes its header; it reports whether it ever will be.
func (m *Message) await(h *Header, i int) bool {
	g := m.growth
	if g == nil {
		return true
	}
	g.Lock()
	defer g.Unlock()
	need, last := (i+1)*Chunk, i == len(m.crcs)-1
	if last {
		need = len(m.body) + 1
	}
	for g.bytes < need && !g.stopped {
		g.changed.Wait()
	}
	if last {
		h.Flags |= g.flags
		h.Extra |= g.extra
	}
	return g.bytes >= need
}

func (m *Message) crc(i int, piece []byte) uint32 {
	const made = 1 << 32
	crc := m.crcs[i].Load()
	if crc == 0 { // two may make it at once: it is the same
		crc = made | uint64(crc32.Checksum(piece, castagnoli()))
		m.crcs[i].Store(crc)
	}
	return uint32(crc)
}

// Bytes returns a message as it goes over a stream: all its frames. It does not wait for one that grows.
func (m *Message) Bytes(h Header) []byte {
	b := make([]byte, 0, len(m.body)+len(m.crcs)*HeaderLen)
	for i := range m.crcs {
		body := m.piece(&h, i)
		b = append(h.append(b), body...)
	}
	return b
}

// piece completes the header of a frame and returns its body.
func (m *Message) piece(h *Header, i int) []byte {
	at := i * Chunk
	body := m.body[at:min(at+Chunk, len(m.body))]
	h.Total, h.Offset, h.Length, h.crc = int64(len(m.body)), int64(at), len(body), m.crc(i, body)
	return body
}
