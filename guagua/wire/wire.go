// Package wire frames what masters and workers say to each other over a stream.
//
// A message is a header and a body. Long bodies travel as several frames of the same message, each with its own offset
// and checksum, so that a receiver can work on the first piece while the next is on its way. All numbers are
// little-endian.
//
//	 0  magic "GG", version 1, kind            1 byte each for the last two
//	 4  length of this frame's body            4
//	 8  epoch, turn                            8 each: the position (package superstep)
//	24  iteration, worker, attempt, flags      4 each
//	40  total length of the message's body     8
//	48  offset of this frame in it             8
//	56  extra: its meaning depends on kind     8
//	64  counted, of an announce                8
//	72  CRC32C of the body, of bytes 0 to 75   4 each
//	80  body
//
// Whoever connects first proves that it knows the job's secret, and has it proved to it (see Dial and Accept); nothing
// is encrypted. A frame that is damaged or too long ends the connection. No type of the program is ever chosen by what
// arrives.
package wire

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/infra/errs"
)

// Kind says what a message is.
type Kind uint8

// The kinds, with what Iteration and Extra are in each.
const (
	Ping     Kind = 1 + iota // both ways: I am here
	Join                     // up; the body is a join
	Result                   // up: the result of Iteration; Extra: nanoseconds of computing
	Holding                  // up: the answer to Fetch, the master result and the master's state of (Iteration, Extra)
	Announce                 // down: the order to go on from (Iteration, Extra); the body is that master result
	State                    // down: the master's own state of (Iteration, Extra); comes before its announce
	Fetch                    // down: send what you hold of (Iteration, Extra)
	Dismiss                  // down: the job is done
	Reject                   // down: the body says why you are not wanted
	Door                     // up, of the leader of a group: the body is the address where it takes members in
	Route                    // down: the body is the address of your group's leader, Extra its attempt and 1
	Linked                   // up: I am linked to the leader of attempt Extra-1; 0: to none
	kinds
)

func (k Kind) String() string {
	if k < Ping || k >= kinds {
		return "unknown"
	}
	return [...]string{
		"ping", "join", "result", "holding", "announce", "state", "fetch", "dismiss", "reject", "door", "route", "linked",
	}[k-1]
}

// Flags are small facts about a message.
type Flags uint32

// The flags.
const (
	Halt    Flags = 1 << iota // on a result: the worker votes for the end
	Content                   // on an announce: the body is there; without it the worker has the master result already
	Group                     // on an announce: for the whole group, its leader passes it on; on a result: the group's sum
	Older                     // on an announce: a result from an older master result will do; on a result: it is one
)

// Header is the part of a frame before its body.
type Header struct {
	superstep.Position
	Kind      Kind
	Flags     Flags
	Iteration int
	Member    superstep.Member // the worker, as sender or receiver
	Total     int64            // bytes of the whole message's body
	Offset    int64            // of this frame's body in it
	Extra     uint64
	Counted   uint64 // on an announce: the turn in which the worker's last result counted
	Length    int    // bytes of this frame's body
	crc       uint32
}

// Limits. A body's frames are Chunk bytes long, but for the last.
const (
	HeaderLen = 80
	Chunk     = 1 << 20
	MaxTotal  = 1 << 40 // of a message; receivers have their own, lower limits
)

const op = "guagua.wire"

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // cached by the library

// append adds the bytes of the header; h.crc and h.Length are those of the body.
func (h *Header) append(b []byte) []byte {
	at := len(b)
	b = append(b, 'G', 'G', 1, byte(h.Kind))
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(h.Length))
	b = le.AppendUint64(b, h.Epoch)
	b = le.AppendUint64(b, h.Turn)
	b = le.AppendUint32(b, uint32(h.Iteration))
	b = le.AppendUint32(b, uint32(h.Member.Index))
	b = le.AppendUint32(b, uint32(h.Member.Attempt))
	b = le.AppendUint32(b, uint32(h.Flags))
	b = le.AppendUint64(b, uint64(h.Total))
	b = le.AppendUint64(b, uint64(h.Offset))
	b = le.AppendUint64(b, h.Extra)
	b = le.AppendUint64(b, h.Counted)
	b = le.AppendUint32(b, h.crc)
	return le.AppendUint32(b, crc32.Checksum(b[at:], castagnoli()))
}

// parse reads a header from exactly HeaderLen bytes and refuses what append never writes.
func parse(b []byte) (Header, error) {
	le := binary.LittleEndian
	if b[0] != 'G' || b[1] != 'G' || b[2] != 1 {
		return Header{}, errs.Errorf(op, errs.Corrupt, nil, "this is no frame of version 1: %x", b[:4])
	}
	if crc32.Checksum(b[:76], castagnoli()) != le.Uint32(b[76:]) {
		return Header{}, errs.Errorf(op, errs.Corrupt, nil, "the checksum of a header differs")
	}
	h := Header{
		Kind: Kind(b[3]), Length: int(le.Uint32(b[4:])),
		Position:  superstep.Position{Epoch: le.Uint64(b[8:]), Turn: le.Uint64(b[16:])},
		Iteration: int(le.Uint32(b[24:])),
		Member:    superstep.Member{Index: int(le.Uint32(b[28:])), Attempt: int(le.Uint32(b[32:]))},
		Flags:     Flags(le.Uint32(b[36:])),
		Total:     int64(le.Uint64(b[40:])), Offset: int64(le.Uint64(b[48:])), Extra: le.Uint64(b[56:]),
		Counted: le.Uint64(b[64:]), crc: le.Uint32(b[72:]),
	}
	switch {
	case h.Kind < Ping || h.Kind >= kinds:
		return h, errs.Errorf(op, errs.Corrupt, nil, "kind %d of a frame", h.Kind)
	case h.Total < 0 || h.Total > MaxTotal || h.Offset < 0 || h.Offset > h.Total:
		return h, errs.Errorf(op, errs.Corrupt, h.Kind, "piece at %d of %d bytes", h.Offset, h.Total)
	case h.Offset%Chunk != 0 || int64(h.Length) != min(Chunk, h.Total-h.Offset):
		return h, errs.Errorf(op, errs.Corrupt, h.Kind, "piece of %d bytes at %d of %d", h.Length, h.Offset, h.Total)
	case h.Iteration > 1<<31-1 || h.Member.Index > 1<<31-1 || h.Member.Attempt > 1<<31-1:
		return h, errs.Errorf(op, errs.Corrupt, h.Kind, "a number is out of range")
	}
	return h, nil
}

// Last reports whether this frame is the last one of its message.
func (h *Header) Last() bool { return h.Offset+int64(h.Length) == h.Total }

// Point returns the master result that an announce, state, fetch or holding speaks of.
func (h *Header) Point() superstep.Point {
	return superstep.Point{Iteration: h.Iteration, Epoch: h.Extra}
}

// SetPoint is the inverse of Point.
func (h *Header) SetPoint(p superstep.Point) { h.Iteration, h.Extra = p.Iteration, p.Epoch }

// joinLen is the length of a join's body: serial, have and held as (iteration, epoch).
const joinLen = 5 * 8

// JoinMessage returns the header and body of a join.
func JoinMessage(j superstep.Join) (Header, []byte) {
	h := Header{Kind: Join, Position: superstep.Position{Epoch: j.Epoch}, Member: j.From, Iteration: j.Have.Iteration}
	body := make([]byte, 0, joinLen)
	have, held := uint64(j.Have.Iteration), uint64(j.Held.Iteration)
	for _, v := range [...]uint64{j.Serial, have, j.Have.Epoch, held, j.Held.Epoch} {
		body = binary.LittleEndian.AppendUint64(body, v)
	}
	return h, body
}

// ParseJoin is the inverse of JoinMessage.
func ParseJoin(h Header, body []byte) (superstep.Join, error) {
	var v [joinLen / 8]uint64
	if len(body) != joinLen {
		return superstep.Join{}, errs.Errorf(op, errs.Corrupt, h.Kind, "%d bytes, want %d", len(body), joinLen)
	}
	for i := range v {
		v[i] = binary.LittleEndian.Uint64(body[i*8:])
	}
	if v[1] > 1<<31-1 || v[3] > 1<<31-1 {
		return superstep.Join{}, errs.Errorf(op, errs.Corrupt, h.Kind, "an iteration is out of range")
	}
	return superstep.Join{
		Epoch: h.Epoch, From: h.Member, Serial: v[0],
		Have: superstep.Point{Iteration: int(v[1]), Epoch: v[2]}, Held: superstep.Point{Iteration: int(v[3]), Epoch: v[4]},
	}, nil
}
