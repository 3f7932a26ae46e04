// Package block moves the bytes of files between streams and the objects of a store.
//
// A file is a list of blocks, a block is one object that never changes, or the beginning of one. Copy cuts a stream
// into blocks while it arrives; nothing is buffered but what the store's writer holds, and a block is made durable while
// the next one is written. Write reads any range of such a list.
//
//	blocks/6f/00000012000000a1     the object of a block: two digits of a hash, then its id in hexadecimal
//
// The hash spreads what is written at one time over 256 prefixes, since object stores limit requests per prefix.
//
// While a block is written its checksum is made as HDFS makes it, so that a file's checksum is known without reading
// it: the MD5 of the CRC32Cs of all 512-byte chunks; a file's is the MD5 of its blocks', padded (see Checksum).
package block

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// ChunkSize is how many bytes one CRC covers, as HDFS's default has it.
const ChunkSize = 512

// Prefix of the names of all blocks' objects.
const Prefix = "blocks/"

// ObjectName returns the name of a block's object.
func ObjectName(id uint64) store.Name {
	id, _ = namespace.ObjectOf(id)
	const golden = 0x9E3779B97F4A7C15 // spreads neighbours, as Knuth has it
	return store.Name(fmt.Sprintf("%s%02x/%016x", Prefix, byte(id*golden>>56), id))
}

// ParseName is the inverse of ObjectName, for the first block of an object.
func ParseName(name store.Name) (id uint64, ok bool) {
	if len(name) != len(Prefix)+3+16 {
		return 0, false
	}
	if _, err := fmt.Sscanf(string(name[len(Prefix)+3:]), "%x", &id); err != nil {
		return 0, false
	}
	return id, ObjectName(id) == name
}

// sums makes a block's checksum of the bytes that are written to it, cut anyhow.
type sums struct {
	md5   hash.Hash
	crc   uint32
	chunk int // bytes of the chunk so far
}

func newSums() *sums { return &sums{md5: md5.New()} }

// castagnoli's table makes hash/crc32 use the CPU's instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

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
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], s.crc)
	s.md5.Write(b[:])
	s.crc, s.chunk = 0, 0
}

func (s *sums) sum() (all [16]byte) {
	if s.chunk > 0 {
		s.endChunk()
	}
	s.md5.Sum(all[:0])
	return all
}

// written is a block on its way to being durable.
type written struct {
	block namespace.Block
	err   error
}

// Copy writes what r yields as blocks of size bytes, and returns them when they are durable. newID must give ids that
// were never used. If r fails, what came before is kept: Copy returns those blocks and the error. If the store fails,
// the blocks that are returned beside the error are durable, too. Whoever does not use them deletes them with Delete.
func Copy(ctx context.Context, st store.Store, r io.Reader, size int64,
	newID func() uint64) ([]namespace.Block, error) {
	if size < 1 {
		return nil, errs.Errorf("block.Copy", errs.Invalid, nil, "blocks of %d bytes", size)
	}
	var all []namespace.Block
	var before chan written // the commit of the block before, which goes on while the next one is written
	buf := make([]byte, copySize)
	for {
		commit, n, err := copyOne(ctx, st, io.LimitReader(r, size), buf, newID())
		for _, answer := range []chan written{before, commit} {
			if answer == nil || answer == commit && err == nil && n == size {
				continue
			}
			done := <-answer
			if done.err != nil {
				return all, done.err
			}
			all = append(all, done.block)
		}
		if err != nil || n < size {
			return all, err
		}
		before = commit
	}
}

// copySize is a buffer that keeps system calls rare and fits L2.
const copySize = 256 << 10

// Writer makes one block. It is used by one goroutine.
type Writer struct {
	w     store.Writer
	sums  *sums
	block namespace.Block
}

// Create begins a block, whose id was never used. ctx bounds the writing.
func Create(ctx context.Context, st store.Store, id uint64) (*Writer, error) {
	w, err := st.Create(ctx, ObjectName(id))
	return &Writer{w, newSums(), namespace.Block{ID: id}}, err
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.block.Length += int64(n)
	w.sums.Write(p[:n])
	return n, err
}

// Length is how many bytes were written.
func (w *Writer) Length() int64 { return w.block.Length }

// Commit makes the block durable and describes it.
func (w *Writer) Commit(ctx context.Context) (namespace.Block, error) {
	defer w.w.Abort(ctx) // no effect once committed
	w.block.MD5 = w.sums.sum()
	return w.block, w.w.Commit(ctx)
}

// Abort drops the block.
func (w *Writer) Abort(ctx context.Context) error { return w.w.Abort(ctx) }

// copyOne writes one object and begins to commit it; commit is nil if there is nothing to commit.
func copyOne(ctx context.Context, st store.Store, r io.Reader, buf []byte, id uint64) (chan written, int64, error) {
	w, err := Create(ctx, st, id)
	if err != nil {
		return nil, 0, err
	}
	n, err := io.CopyBuffer(onlyWriter{w}, onlyReader{r}, buf)
	if n == 0 {
		abortErr := w.Abort(ctx)
		if err == nil {
			err = abortErr
		}
		return nil, 0, err
	}
	answer := make(chan written, 1)
	go func() {
		b, err := w.Commit(ctx)
		answer <- written{b, err}
	}()
	return answer, n, err
}

// onlyWriter and onlyReader hide shortcuts, so that io.CopyBuffer uses the buffer.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// Delete removes the objects of blocks that no file has. It tries all, and returns the first error. Objects that blocks
// share stay, until fsck finds that no file has any of them.
func Delete(ctx context.Context, st store.Store, ids ...uint64) (err error) {
	for _, id := range ids {
		if namespace.IsPacked(id) {
			continue
		}
		if e := st.Delete(ctx, ObjectName(id)); err == nil {
			err = e
		}
	}
	return err
}

// Sum is a file's checksum as HDFS tells it.
type Sum struct {
	Algorithm string
	Bytes     [28]byte
}

// MD5 returns the checksum of a block. Where it is not known, because the block was truncated, the block is read.
func MD5(ctx context.Context, st store.Store, b namespace.Block) ([16]byte, error) {
	if b.MD5 != [16]byte{} {
		return b.MD5, nil
	}
	sums := newSums()
	err := Write(ctx, st, sums, []namespace.Block{b}, 0, b.Length)
	return sums.sum(), err
}

// Checksum returns the checksum of a file from those of its blocks. It equals HDFS's for the same bytes cut into the same
// blocks.
func Checksum(ctx context.Context, st store.Store, blocks []namespace.Block, blockSize int64) (Sum, error) {
	all := md5.New()
	for _, b := range blocks {
		sum, err := MD5(ctx, st, b)
		if err != nil {
			return Sum{}, err
		}
		all.Write(sum[:])
	}
	// Hadoop digests the whole of its buffer, which begins with 32 bytes and doubles; the rest of it is zero.
	buffer := 2 * md5.Size
	for buffer < len(blocks)*md5.Size {
		buffer *= 2
	}
	all.Write(make([]byte, buffer-len(blocks)*md5.Size))
	if len(blocks) == 0 {
		s := Sum{Algorithm: "MD5-of-0MD5-of-0CRC32"} // and no bytes per checksum
		all.Sum(s.Bytes[:12])
		return s, nil
	}
	perBlock := int64(0)
	if len(blocks) > 1 {
		perBlock = blockSize / ChunkSize
	}
	s := Sum{Algorithm: fmt.Sprintf("MD5-of-%dMD5-of-%dCRC32C", perBlock, ChunkSize)}
	binary.BigEndian.PutUint32(s.Bytes[:], ChunkSize)
	binary.BigEndian.PutUint64(s.Bytes[4:], uint64(perBlock))
	all.Sum(s.Bytes[:12])
	return s, nil
}
