package codec

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/pierrec/lz4/v4"

	"github.com/seed3322913c/runner/infra/errs"
)

const (
	blockSize = 256 << 10 // of data in a block that we write, as in Hadoop
	maxChunk  = 64 << 20  // bytes of data in one block, and of a compressed chunk, that we read
)

// blockReader reads Hadoop's form of snappy and lz4.
type blockReader struct {
	in    *bufio.Reader
	chunk func(dst, src []byte) ([]byte, error) // decompresses into dst, whose capacity is what may come of it

	left       int // bytes of data that the current block has not yet given
	data, comp []byte
	rest       []byte // of data
}

func (b *blockReader) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// next decompresses a chunk. The end of the file is io.EOF only between blocks.
func (b *blockReader) next() error {
	if b.left == 0 {
		n, err := b.size()
		if err != nil || n == 0 { // a block of nothing is how some writers end
			return err
		}
		b.left = n
	}
	n, err := b.size()
	if err != nil {
		return torn(err)
	}
	b.comp = grow(b.comp, n)
	if _, err := io.ReadFull(b.in, b.comp); err != nil {
		return torn(err)
	}
	b.data = grow(b.data, b.left)
	data, err := b.chunk(b.data, b.comp)
	if err != nil || len(data) == 0 || len(data) > b.left {
		return errs.Errorf("codec.Read", errs.Corrupt, nil, "a block is damaged: a chunk of %d bytes", n)
	}
	b.rest = data
	b.left -= len(data)
	return nil
}

func (b *blockReader) size() (int, error) {
	var head [4]byte
	if _, err := io.ReadFull(b.in, head[:]); err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxChunk {
		return 0, errs.Errorf("codec.Read", errs.Corrupt, nil, "a block of %d bytes", n)
	}
	return int(n), nil
}

// torn says that an end of file is none between blocks.
func torn(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// grow returns n bytes, those of b if they are enough.
func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

func snappyChunk(dst, src []byte) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil || n > len(dst) {
		return nil, s2.ErrCorrupt
	}
	return s2.Decode(dst, src)
}

func lz4Chunk(dst, src []byte) ([]byte, error) {
	n, err := lz4.UncompressBlock(src, dst)
	if err != nil {
		return nil, err
	}
	return dst[:n], nil
}

func compressLZ4(dst, src []byte) ([]byte, error) {
	dst = grow(dst, lz4.CompressBlockBound(len(src)))
	var c lz4.Compressor
	n, err := c.CompressBlock(src, dst)
	return dst[:n], err
}

// blockWriter writes Hadoop's form of snappy and lz4.
type blockWriter struct {
	w        io.Writer
	compress func(dst, src []byte) ([]byte, error)
	data     []byte
	comp     []byte
}

func newBlockWriter(w io.Writer, compress func(dst, src []byte) ([]byte, error)) *blockWriter {
	return &blockWriter{w: w, compress: compress, data: make([]byte, 0, blockSize)}
}

func (b *blockWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		take := min(len(p), blockSize-len(b.data))
		b.data = append(b.data, p[:take]...)
		p = p[take:]
		if len(b.data) == blockSize {
			if err := b.flush(); err != nil {
				return n - len(p), err
			}
		}
	}
	return n, nil
}

func (b *blockWriter) flush() error {
	comp, err := b.compress(b.comp, b.data)
	if err != nil {
		return err
	}
	var head [8]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(b.data)))
	binary.BigEndian.PutUint32(head[4:], uint32(len(comp)))
	b.data, b.comp = b.data[:0], comp[:0]
	if _, err := b.w.Write(head[:]); err != nil {
		return err
	}
	_, err = b.w.Write(comp)
	return err
}

// Close writes what is left.
func (b *blockWriter) Close() error {
	if len(b.data) == 0 {
		return nil
	}
	return b.flush()
}
