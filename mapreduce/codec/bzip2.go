package codec

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"io"

	"github.com/seed3322913c/runner/infra/errs"
)

// The 48 bits that a block of bzip2 and the end of a stream begin with, at any bit.
const (
	blockMagic = 0x314159265359
	endMagic   = 0x177245385090
	magicBits  = 48
	magicMask  = 1<<magicBits - 1
)

// maxBlock bounds a compressed block of bzip2, in bytes: its data has 900 kB, which hardly grow.
const maxBlock = 2 << 20

// Blocks reads the lines of a piece of a bzip2 file, from any byte: those after the first end of line in the blocks
// whose magic begins in the piece, up to the first end of line after them. A piece at the beginning of the file has its
// first line, too. So pieces that cover a file without gaps yield each line exactly once.
//
//	file    |BZh9| block | block | block | block |end|
//	piece          |--- length ---|                        the second and third block, and the beginning of the fourth
type Blocks struct {
	bits   bitScanner
	length int64 // of the piece, in bytes
	first  bool  // the piece begins where the file does

	started bool
	over    bool // the blocks of the piece have been read, and what comes ends with the line
	done    bool
	rest    []byte
}

// NewBlocks returns the lines of a piece. In is the file from the piece's first byte to its end; first says that the
// piece begins where the file does.
func NewBlocks(in io.Reader, length int64, first bool) *Blocks {
	return &Blocks{bits: bitScanner{in: bufio.NewReaderSize(in, 64<<10)}, length: length, first: first}
}

// Read implements io.Reader. What is damaged is of kind Corrupt.
func (b *Blocks) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if b.done {
			return 0, io.EOF
		}
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// next decompresses a block and keeps of it what is the piece's.
func (b *Blocks) next() error {
	data, at, err := b.block()
	if errors.Is(err, io.EOF) {
		b.done = true
		return nil
	}
	if err != nil {
		return err
	}
	if at >= b.length {
		b.over = true
	}
	if b.over && !b.started && !b.first {
		b.done = true // no line begins in the piece
		return nil
	}
	if !b.started && !b.first {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			return nil
		}
		data = data[i+1:]
	}
	b.started = true
	if b.over {
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			data, b.done = data[:i+1], true
		}
	}
	b.rest = data
	return nil
}

// block returns the data of the next block, and the byte of the input that its magic begins in. It is io.EOF after the
// last.
func (b *Blocks) block() (data []byte, at int64, err error) {
	const op = "codec.Blocks"
	if b.bits.found != blockMagic {
		if err := b.bits.scan(false); err != nil {
			return nil, 0, err
		}
	}
	for b.bits.found == endMagic { // of a stream that another may follow
		if err := b.bits.scan(false); err != nil {
			return nil, 0, err
		}
	}
	at = b.bits.at
	if err := b.bits.scan(true); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	data, err = io.ReadAll(bzip2.NewReader(bytes.NewReader(b.bits.stream())))
	if err != nil {
		return nil, 0, errs.Errorf(op, errs.Corrupt, nil, "the block at byte %d of the piece is damaged: %v", at, err)
	}
	return data, at, nil
}

// bitScanner looks for magic numbers, which begin at any bit, and collects the bits between two of them.
type bitScanner struct {
	in     *bufio.Reader
	read   int64  // bytes of in
	window uint64 // the last bits of in, the newest lowest
	ready  int    // bits in window that were not yet looked at, after the last magic

	found uint64 // the magic that was found last, 0 at the end of the file
	at    int64  // the byte that it begins in

	bits  []byte // what was collected: whole bytes, and a rest
	part  uint64
	nPart int
}

// scan finds the next magic. If collect is true it keeps the bits before it.
func (s *bitScanner) scan(collect bool) error {
	s.bits, s.part, s.nPart = s.bits[:0], 0, 0
	held := 0 // bits of window that may yet turn out to be of a magic
	for {
		if s.ready == 0 {
			c, err := s.in.ReadByte()
			if err != nil {
				s.found = 0
				if collect && errors.Is(err, io.EOF) {
					return io.ErrUnexpectedEOF
				}
				return err
			}
			s.read++
			s.window = s.window<<8 | uint64(c)
			s.ready = 8
		}
		s.ready--
		held++
		seen := s.window >> s.ready
		if collect && held > magicBits {
			if err := s.keep(seen >> magicBits & 1); err != nil {
				return err
			}
		}
		if held < magicBits {
			continue
		}
		if m := seen & magicMask; m == blockMagic || m == endMagic {
			s.found = m
			s.at = (s.read*8 - int64(s.ready) - magicBits) / 8
			return nil
		}
	}
}

// keep collects a bit.
func (s *bitScanner) keep(bit uint64) error {
	s.part = s.part<<1 | bit
	if s.nPart++; s.nPart == 8 {
		s.bits = append(s.bits, byte(s.part))
		s.part, s.nPart = 0, 0
		if len(s.bits) > maxBlock {
			return errs.Errorf("codec.Blocks", errs.Corrupt, nil, "a block of more than %d bytes", maxBlock)
		}
	}
	return nil
}

// stream returns the collected block as a stream of its own: with one block, the checksum of the stream is the block's,
// the 32 bits after its magic.
func (s *bitScanner) stream() []byte {
	b := binary.BigEndian.AppendUint64([]byte("BZh9"), blockMagic<<16)[:4+magicBits/8]
	var sum [4]byte
	copy(sum[:], s.bits)
	b = append(b, s.bits...)
	acc, n := s.part, s.nPart
	tail := binary.BigEndian.AppendUint64(nil, endMagic<<16)[:magicBits/8]
	for _, c := range append(tail, sum[:]...) {
		acc = acc<<8 | uint64(c)
		b = append(b, byte(acc>>n))
		acc &= 1<<n - 1
	}
	if n > 0 { // a byte more would be taken for the next stream
		b = append(b, byte(acc<<(8-n)))
	}
	return b
}
