package block

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/store"
)

// ChunkSize is how many bytes one CRC covers, as HDFS's default has it.
const ChunkSize = 512

// grainSize is how many bytes one of the checksums behind a block covers.
const grainSize = 64 << 10

// hasGrains reports whether a block's object has the checksums of its grains behind it.
func hasGrains(b namespace.Block) bool { return b.CRC != 0 && b.Length > grainSize }

// ObjectSize is how many bytes the object of a block has that is alone in it and was not truncated.
func ObjectSize(b namespace.Block) int64 {
	if !hasGrains(b) {
		return b.Length
	}
	return b.Length + (b.Length+grainSize-1)/grainSize*crc32.Size
}

// castagnoli's table makes hash/crc32 use the CPU's instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sums makes a block's checksums of the bytes that are written to it, cut anyhow. Only chunks are computed from bytes;
// what covers more is combined of them.
type sums struct {
	md5    hash.Hash
	crc    uint32 // of the chunk so far
	chunk  int    // bytes of it
	chunks []byte // CRCs of the grain's chunks
	grain  uint32
	whole  uint32
	length int64 // bytes of all chunks that have ended
	grains []byte
}

func newSums() *sums { return &sums{md5: md5.New()} }

// Write never fails.
func (s *sums) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		part := p[:min(len(p), ChunkSize-s.chunk)]
		s.crc = crc32.Update(s.crc, castagnoli, part)
		if s.chunk += len(part); s.chunk == ChunkSize {
			s.endChunk()
		}
		p = p[len(part):]
	}
	return n, nil
}

func (s *sums) endChunk() {
	s.chunks = binary.BigEndian.AppendUint32(s.chunks, s.crc)
	if s.chunk == ChunkSize {
		s.grain = afterChunk.times(s.grain) ^ s.crc
	} else {
		s.grain = combine(s.grain, s.crc, int64(s.chunk))
	}
	s.length += int64(s.chunk)
	s.crc, s.chunk = 0, 0
	if s.length%grainSize == 0 {
		s.endGrain(grainSize)
	}
}

// endGrain ends a grain of n bytes.
func (s *sums) endGrain(n int64) {
	s.md5.Write(s.chunks)
	s.grains = binary.BigEndian.AppendUint32(s.grains, s.grain)
	if n == grainSize {
		s.whole = multiply(afterGrain, s.whole) ^ s.grain
	} else {
		s.whole = combine(s.whole, s.grain, n)
	}
	s.chunks, s.grain = s.chunks[:0], 0
}

// end sets the checksums of a block that has all that was written, and returns those of its grains.
func (s *sums) end(b *namespace.Block) (grains []byte) {
	if s.chunk > 0 {
		s.endChunk()
	}
	if n := s.length % grainSize; n > 0 {
		s.endGrain(n)
	}
	s.md5.Sum(b.MD5[:0])
	b.CRC = s.whole
	return s.grains
}

// A CRC is the remainder of a polynomial, so the CRC of A and B, one behind the other, is that of B plus that of A
// times x to the number of B's bits. What follows computes with such polynomials: the highest bit is that of x^0.
const (
	polynomial = crc32.Castagnoli
	one        = 1 << 31
)

// What checksums are multiplied by most often.
var (
	afterChunk = newFactor(after(ChunkSize))
	afterGrain = after(grainSize)
)

// multiply returns a product's remainder.
func multiply(a, b uint32) (product uint32) {
	for bit := uint32(one); bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		b = b>>1 ^ polynomial*(b&1)
	}
	return product
}

// after returns what the CRC of something is to be multiplied by if n bytes follow it.
func after(n int64) uint32 {
	power, square := uint32(one), uint32(one>>8)
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			power = multiply(power, square)
		}
		square = multiply(square, square)
	}
	return power
}

// combine returns the CRC of something whose CRC is a, and n bytes behind it whose CRC is b.
func combine(a, b uint32, n int64) uint32 { return multiply(after(n), a) ^ b }

// factor multiplies by a fixed polynomial, byte by byte.
type factor [4][256]uint32

func newFactor(of uint32) *factor {
	f := new(factor)
	for i := range f {
		for b := range f[i] {
			f[i][b] = multiply(of, uint32(b)<<(8*i))
		}
	}
	return f
}

func (f *factor) times(a uint32) uint32 {
	return f[0][byte(a)] ^ f[1][byte(a>>8)] ^ f[2][byte(a>>16)] ^ f[3][a>>24]
}

// Sums returns a block with its checksums. Where they are not known, because the block was truncated or is old, the
// block is read.
func Sums(ctx context.Context, st store.Store, b namespace.Block) (namespace.Block, error) {
	if b.MD5 != [16]byte{} && b.CRC != 0 {
		return b, nil
	}
	sums := newSums()
	err := Write(ctx, st, sums, []namespace.Block{b}, 0, b.Length)
	sums.end(&b)
	return b, err
}

// Sum is a file's checksum as HDFS tells it.
type Sum struct {
	Algorithm string
	Bytes     []byte
}

// Checksum returns the checksum of a file from those of its blocks: an MD5 of MD5s of CRCs. It equals HDFS's for the
// same bytes cut into the same blocks.
func Checksum(ctx context.Context, st store.Store, blocks []namespace.Block, blockSize int64) (Sum, error) {
	all := md5.New()
	for _, b := range blocks {
		known, err := Sums(ctx, st, b)
		if err != nil {
			return Sum{}, err
		}
		all.Write(known.MD5[:])
	}
	// Hadoop digests the whole of its buffer, which begins with 32 bytes and doubles; the rest of it is zero.
	buffer := 2 * md5.Size
	for buffer < len(blocks)*md5.Size {
		buffer *= 2
	}
	all.Write(make([]byte, buffer-len(blocks)*md5.Size))
	head := make([]byte, 12, 12+md5.Size)
	if len(blocks) == 0 {
		return Sum{"MD5-of-0MD5-of-0CRC32", all.Sum(head)}, nil // and no bytes per checksum
	}
	perBlock := int64(0)
	if len(blocks) > 1 {
		perBlock = blockSize / ChunkSize
	}
	binary.BigEndian.PutUint32(head, ChunkSize)
	binary.BigEndian.PutUint64(head[4:], uint64(perBlock))
	return Sum{fmt.Sprintf("MD5-of-%dMD5-of-%dCRC32C", perBlock, ChunkSize), all.Sum(head)}, nil
}

// Composite returns the checksum of a file that does not depend on how it is cut into blocks: the CRC32C of its bytes.
func Composite(ctx context.Context, st store.Store, blocks []namespace.Block) (Sum, error) {
	whole := uint32(0)
	for _, b := range blocks {
		known, err := Sums(ctx, st, b)
		if err != nil {
			return Sum{}, err
		}
		whole = combine(whole, known.CRC, known.Length)
	}
	return Sum{"COMPOSITE-CRC32C", binary.BigEndian.AppendUint32(nil, whole)}, nil
}
