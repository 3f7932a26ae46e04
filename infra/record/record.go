// Package record frames bytes into blocks that notice when they are damaged. Shuffle segments and the journal's objects
// are made of such blocks.
//
//	| tag 1B | raw length uvarint | stored length uvarint | crc32c 4B LE | stored bytes |   repeated until the end
//
//	tag       0xB0 none, 0xB1 s2, 0xB2 zstd: how the stored bytes were made from the raw ones
//	raw       bytes of payload, 0 to MaxBlock
//	stored    bytes that follow the header: raw if the codec is none, fewer otherwise
//	crc32c    Castagnoli, of the header before it and of the stored bytes: a flipped bit anywhere is seen
//
// A block stands for itself: it can be cut out, sent, and read elsewhere. Compression that does not pay (less than 15
// %) is dropped and the block stored as it is, so a reader never works for nothing; and an Encoder that meets such
// blocks tries fewer and fewer of those that follow.
//
// Write with a Writer and Flush, or with Append where the blocks are one's own; read with a Reader until io.EOF.
// Inside a block, lists of byte strings are kept as AppendBytes writes them: a uvarint length, then the bytes.
package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/seed3322913c/runner/infra/errs"
)

// Sizes in bytes.
const (
	MaxBlock     = 16 << 20  // the largest payload of one block
	DefaultBlock = 256 << 10 // what a Writer aims at: fits L2, yet a header is nothing beside it

	// MaxHeader is the longest header: tag, two lengths of at most four bytes (MaxBlock is 2^24), checksum.
	MaxHeader = 1 + 4 + 4 + crcSize

	crcSize = 4
	tagBase = 0xB0 // not zero, not text: a hole in a file or a wrong file is seen at once
)

// Codec says how a block's payload is stored. The numbers are part of the format.
type Codec uint8

// The codecs.
const (
	None Codec = 0 // as it is
	S2   Codec = 1 // fast on both sides, halves text: for what stays on this machine
	Zstd Codec = 2 // zstd at its fastest level: a third of text, for what crosses a slow network

	codecs = 3
)

var codecText = [codecs]string{None: "none", S2: "s2", Zstd: "zstd"}

// String returns the codec's name as ParseCodec reads it.
func (c Codec) String() string {
	if c < codecs {
		return codecText[c]
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// ParseCodec reads "none", "s2" or "zstd"; anything else is errs.Invalid.
func ParseCodec(text string) (Codec, error) {
	for c, t := range codecText {
		if t == text {
			return Codec(c), nil
		}
	}
	return None, errs.Errorf("record.ParseCodec", errs.Invalid, text, "one of none, s2, zstd is expected")
}

// castagnoli's table makes hash/crc32 use the CPU's instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Append appends one block with payload to dst. It is for a single block; whoever makes many keeps an Encoder. Like all
// of this package it panics if the payload is larger than MaxBlock: the caller bounds what it writes.
func Append(dst, payload []byte, codec Codec) []byte {
	return NewEncoder(codec).Append(dst, payload)
}

// Encoder makes blocks and keeps the memory that this takes. It is used by one goroutine.
type Encoder struct {
	codec Codec
	zstd  *zstd.Encoder // made at the first use: its tables are large
	buf   []byte        // the compressed payload
	rest  int           // blocks that are stored as they are before compression is tried again
	pause int           // how many those were the last time; 0: the last try paid
}

// maxPause bounds the blocks of which one is tried while compression does not pay.
const maxPause = 32

// NewEncoder returns an Encoder whose blocks use codec where it pays.
func NewEncoder(codec Codec) *Encoder { return &Encoder{codec: codec} }

// Append appends one block with payload to dst. It allocates only when dst or its own buffer has to grow.
func (e *Encoder) Append(dst, payload []byte) []byte {
	if len(payload) > MaxBlock {
		panic(fmt.Sprintf("record: a payload of %d bytes, %d allowed", len(payload), MaxBlock))
	}
	codec, stored := e.choose(payload)
	start := len(dst)
	dst = append(dst, tagBase|byte(codec))
	dst = binary.AppendUvarint(dst, uint64(len(payload)))
	dst = binary.AppendUvarint(dst, uint64(len(stored)))
	sum := checksum(dst[start:], stored)
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	return append(dst, stored...)
}

// choose returns how payload is stored.
func (e *Encoder) choose(payload []byte) (Codec, []byte) {
	if e.codec == None || e.rest > 0 {
		e.rest = max(e.rest-1, 0)
		return None, payload
	}
	stored := e.compress(payload)
	if len(payload)*100 >= len(stored)*115 {
		e.pause = 0
		return e.codec, stored
	}
	e.rest = e.pause
	e.pause = min(2*e.pause+1, maxPause)
	return None, payload
}

// compress returns payload as the codec stores it, valid until the next call.
func (e *Encoder) compress(payload []byte) []byte {
	switch e.codec {
	case S2:
		if need := s2.MaxEncodedLen(len(payload)); cap(e.buf) < need {
			e.buf = make([]byte, need)
		}
		return s2.Encode(e.buf[:cap(e.buf)], payload)
	case Zstd:
		if e.zstd == nil {
			e.zstd = newZstdEncoder()
		}
		e.buf = e.zstd.EncodeAll(payload, e.buf[:0])
		return e.buf
	default: // there is no other
		return payload
	}
}

func newZstdEncoder() *zstd.Encoder {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // only a wrong option can fail, and these are constant
	}
	return w
}

// checksum is the CRC32C of a header without its checksum, and of what follows it.
func checksum(header, stored []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, header), castagnoli, stored)
}

// AppendBytes appends b to dst as a uvarint length and the bytes.
func AppendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// Bytes takes what AppendBytes wrote from the front of src: b is a view of it, rest what follows. If there is no whole
// byte string, ok is false.
func Bytes(src []byte) (b, rest []byte, ok bool) {
	n, w := binary.Uvarint(src)
	if w <= 0 || n > uint64(len(src)-w) {
		return nil, src, false
	}
	end := w + int(n)
	return src[w:end:end], src[end:], true
}
