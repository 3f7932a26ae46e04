package record

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/seed3322913c/runner/infra/errs"
)

// Reader takes a stream of blocks apart. It is used by one goroutine.
//
// Its errors, after which it returns nothing but the same error:
//
//	io.EOF           the input ended where a block ended
//	errs.Corrupt     a block is not what was written; the error says which and where. If the input ends inside of it,
//	                 errors.Is(err, io.ErrUnexpectedEOF) holds as well
//	another kind     the input could not be read
type Reader struct {
	src    source
	block  int64 // number of the next block, from 0
	offset int64 // where it begins
	err    error

	raw  []byte // the payload, when it was compressed
	rest []byte // what Read has not handed out of the current payload
}

// source hands out consecutive bytes of the input.
type source interface {
	// peek returns the next n bytes without consuming them, or fewer and io.EOF at the end.
	peek(n int) ([]byte, error)
	// take consumes n bytes. They are valid until the next call; if there are fewer, it fails with io.ErrUnexpectedEOF.
	take(n int) ([]byte, error)
}

// readAhead is how many bytes a Reader reads at a time.
const readAhead = 64 << 10

// NewReader reads blocks from r. It reads ahead, and holds one block in memory.
func NewReader(r io.Reader) *Reader { return NewReaderSize(r, readAhead) }

// NewReaderSize is NewReader for an input that has size bytes: thousands of short ones at once take no more than that.
func NewReaderSize(r io.Reader, size int64) *Reader {
	return &Reader{src: &streamSource{in: bufio.NewReaderSize(r, int(max(MaxHeader, min(size, readAhead))))}}
}

// NewBytesReader reads blocks from memory. The payload of a block that is not compressed is a view of data.
func NewBytesReader(data []byte) *Reader {
	return &Reader{src: (*bytesSource)(&data)}
}

// Offset returns where in the input the block begins that Next returns next, in bytes.
func (r *Reader) Offset() int64 { return r.offset }

// Next returns the next block's payload. It is valid until the next call, or as long as the data given to
// NewBytesReader if it is a view of it. It must not be mixed with Read in the midst of a block.
func (r *Reader) Next() ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	payload, size, err := r.next()
	if err != nil {
		r.err = err
		if !errors.Is(err, io.EOF) {
			subject := fmt.Sprintf("block %d at byte %d", r.block, r.offset)
			r.err = errs.E("record.Read", kindOf(err), subject, err)
		}
		return nil, r.err
	}
	r.block++
	r.offset += int64(size)
	return payload, nil
}

// kindOf classifies what went wrong: a short or wrong input is damage, all else is told as it is.
func kindOf(err error) errs.Kind {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errs.Corrupt
	}
	return errs.KindOf(err)
}

// Read reads the payloads as one stream of bytes, whatever blocks they were cut into.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		b, err := r.Next()
		if err != nil {
			return 0, err
		}
		r.rest = b
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// next reads one block and returns its payload and its size in the input.
func (r *Reader) next() (payload []byte, size int, err error) {
	head, err := r.src.peek(MaxHeader)
	if len(head) == 0 && err != nil {
		return nil, 0, err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	h, err := parseHeader(head)
	if err != nil {
		return nil, 0, err
	}
	size = h.size + h.stored
	whole, err := r.src.take(size)
	if err != nil {
		return nil, 0, err
	}
	stored := whole[h.size:size:size]
	if checksum(whole[:h.size-crcSize], stored) != h.sum {
		return nil, 0, damage("checksum differs")
	}
	payload, err = r.decompress(h, stored)
	return payload, size, err
}

// header is a block's header, taken apart.
type header struct {
	codec       Codec
	raw, stored int
	sum         uint32
	size        int // of the header itself
}

// parseHeader reads the header at the front of b. Lengths out of bounds are damage, so a reader never allocates more
// than MaxBlock on the word of a flipped bit.
func parseHeader(b []byte) (header, error) {
	codec := Codec(b[0] ^ tagBase)
	if codec >= codecs {
		return header{}, damage("byte %#02x where a block's tag should be", b[0])
	}
	raw, n := binary.Uvarint(b[1:])
	if n == 0 {
		return header{}, io.ErrUnexpectedEOF
	}
	if n < 0 || raw > MaxBlock {
		return header{}, damage("length over %d", MaxBlock)
	}
	stored, m := binary.Uvarint(b[1+n:])
	if m == 0 {
		return header{}, io.ErrUnexpectedEOF
	}
	if m < 0 || stored > raw || (codec == None && stored != raw) {
		return header{}, damage("stored length does not fit raw length %d and codec %v", raw, codec)
	}
	at := 1 + n + m
	if len(b) < at+crcSize {
		if len(b) == MaxHeader {
			return header{}, damage("length with needless zeros")
		}
		return header{}, io.ErrUnexpectedEOF
	}
	sum := binary.LittleEndian.Uint32(b[at:])
	return header{codec: codec, raw: int(raw), stored: int(stored), sum: sum, size: at + crcSize}, nil
}

// decompress returns the payload of a block whose checksum was right.
func (r *Reader) decompress(h header, stored []byte) ([]byte, error) {
	if h.codec == None {
		return stored, nil
	}
	if cap(r.raw) < h.raw {
		r.raw = make([]byte, h.raw)
	}
	var out []byte
	var err error
	switch h.codec {
	case S2:
		if n, e := s2.DecodedLen(stored); e != nil || n != h.raw { // before it makes room for that many
			return nil, damage("s2 length %d, header says %d", n, h.raw)
		}
		out, err = s2.Decode(r.raw[:h.raw], stored)
	case Zstd:
		out, err = zstdDecoder().DecodeAll(stored, r.raw[:0:h.raw]) // never more than the capacity, see newZstdDecoder
	}
	if err != nil {
		return nil, damage("%v: %w", h.codec, err)
	}
	if len(out) != h.raw {
		return nil, damage("%d bytes out of %v, header says %d", len(out), h.codec, h.raw)
	}
	return out, nil
}

// zstdDecoder returns the one decoder of all Readers: a merge has thousands of them, and only as many blocks are
// decoded at a time as there are cores.
var zstdDecoder = sync.OnceValue(newZstdDecoder)

func newZstdDecoder() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxBlock), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(err) // only a wrong option can fail, and these are constant
	}
	return d
}

// damage is the cause of an errs.Corrupt error; Next adds the place.
func damage(format string, args ...any) error {
	return errs.Errorf("", errs.Corrupt, nil, format, args...)
}

// bytesSource is the rest of a slice.
type bytesSource []byte

func (s *bytesSource) peek(n int) ([]byte, error) {
	if len(*s) < n {
		return *s, io.EOF
	}
	return (*s)[:n], nil
}

func (s *bytesSource) take(n int) ([]byte, error) {
	if len(*s) < n {
		return nil, io.ErrUnexpectedEOF
	}
	b := (*s)[:n:n]
	*s = (*s)[n:]
	return b, nil
}

// streamSource keeps the block in hand in one buffer that it uses again.
type streamSource struct {
	in  *bufio.Reader
	buf []byte
}

func (s *streamSource) peek(n int) ([]byte, error) { return s.in.Peek(n) }

func (s *streamSource) take(n int) ([]byte, error) {
	if cap(s.buf) < n {
		s.buf = make([]byte, n)
	}
	b := s.buf[:n]
	if _, err := io.ReadFull(s.in, b); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}
