package block

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// source is where a part of a block comes from. How it is compared depends on what is known of the block:
//
//	on a cache's disk       by the cache, with its own checksums
//	the whole block         with its MD5
//	a part of a small one   the whole is read, and compared with its MD5
//	a part of a large one   the grains that it touches are read, and the checksums behind the block
//	truncated, or old       not at all
type source struct {
	st store.Store
	part
}

// forgetter is a cache among stores.
type forgetter interface{ Forget(store.Name) }

// kept is the reader of a cache, which compares what it has with its own checksums, and has files to send from.
type kept interface {
	io.ReadCloser
	io.WriterTo
	Kept() bool // all of it
}

func (s *source) open(ctx context.Context) (io.ReadCloser, error) {
	if _, ok := s.st.(forgetter); ok {
		r, err := s.raw(ctx, s.at)
		if err != nil {
			return nil, err
		}
		if k, ok := r.r.(kept); ok && k.Kept() {
			return &keptReader{r, k}, nil
		}
		r.Close() // nothing was read
	}
	summed := s.block.MD5 != [16]byte{}
	switch {
	case summed && s.at.Length == s.block.Length:
		return s.openWhole(ctx)
	case summed && s.block.Length <= grainSize:
		return s.openSmall(ctx)
	case hasGrains(s.block):
		return s.openParts(ctx)
	}
	return s.raw(ctx, s.at)
}

// corrupt makes the error of a block that is not what was written. A cache forgets the block: it compares what it keeps
// with its own checksums only.
func (s *source) corrupt(format string, args ...any) error {
	if c, ok := s.st.(forgetter); ok {
		c.Forget(ObjectName(s.block.ID))
	}
	return errs.Errorf("block.Read", errs.Corrupt, ObjectName(s.block.ID), format, args...)
}

// raw opens a range of the block's object, counted from where the block begins. Nothing is compared.
func (s *source) raw(ctx context.Context, at store.Range) (*rawReader, error) {
	name, rest := ObjectName(s.block.ID), at.Length
	_, begin := namespace.ObjectOf(s.block.ID)
	at.Offset += begin
	r, err := s.st.Open(ctx, name, at)
	return &rawReader{s, r, rest}, err
}

// rawReader reads so many bytes as must be there.
type rawReader struct {
	s    *source
	r    io.ReadCloser
	rest int64
}

// Read implements io.Reader.
func (r *rawReader) Read(p []byte) (int, error) {
	if r.rest == 0 {
		return 0, io.EOF
	}
	n, err := r.r.Read(p[:min(int64(len(p)), r.rest)])
	if r.rest -= int64(n); errors.Is(err, io.EOF) {
		if err = nil; r.rest > 0 {
			err = r.short()
		}
	}
	return n, err
}

func (r *rawReader) short() error { return r.s.corrupt("%d bytes are missing at the end", r.rest) }

// Close implements io.Closer.
func (r *rawReader) Close() error { return r.r.Close() }

// keptReader reads from a cache's disk.
type keptReader struct {
	*rawReader
	kept kept
}

// WriteTo implements io.WriterTo: the kernel may send what is on disk.
func (r *keptReader) WriteTo(w io.Writer) (int64, error) {
	n, err := r.kept.WriteTo(w)
	if r.rest -= n; err == nil && r.rest > 0 {
		err = r.short()
	}
	return n, err
}

// wholeReader compares a block that is read from its beginning to its end.
type wholeReader struct {
	*rawReader
	sums *sums
}

func (s *source) openWhole(ctx context.Context) (*wholeReader, error) {
	r, err := s.raw(ctx, store.Range{Length: s.block.Length})
	return &wholeReader{r, newSums()}, err
}

// Read implements io.Reader. The last bytes are only told of when all are right.
func (r *wholeReader) Read(p []byte) (int, error) {
	n, err := r.rawReader.Read(p)
	r.sums.Write(p[:n])
	if err == nil && r.rest == 0 {
		found := namespace.Block{}
		if r.sums.end(&found); r.s.block.MD5 != [16]byte{} && found.MD5 != r.s.block.MD5 {
			return 0, r.s.corrupt("checksum differs")
		}
	}
	return n, err
}

// openSmall reads a block that fits in memory, for a part of it.
func (s *source) openSmall(ctx context.Context) (io.ReadCloser, error) {
	r, err := s.openWhole(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close() // it was only read
	data := make([]byte, s.block.Length)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(data[s.at.Offset : s.at.Offset+s.at.Length])), nil
}

// grainReader compares grain by grain.
type grainReader struct {
	data  *rawReader // whole grains
	sums  io.ReadCloser
	buf   []byte // a grain
	ready []byte // of it, compared and in the part
	skip  int    // bytes of the first grain that are before the part
	rest  int64  // of the part
}

// openGrains opens a part of the checksums behind the block.
func (s *source) openGrains(ctx context.Context, from, to int64) (*rawReader, error) {
	return s.raw(ctx, store.Range{Offset: from, Length: to - from})
}

func (s *source) openParts(ctx context.Context) (io.ReadCloser, error) {
	first, last := s.at.Offset/grainSize, (s.at.Offset+s.at.Length-1)/grainSize
	var sums opened
	done := make(chan struct{})
	go func() { // the two requests are made at once
		defer close(done)
		sums.r, sums.err = s.openGrains(ctx, s.block.Length+first*crc32.Size, s.block.Length+(last+1)*crc32.Size)
	}()
	from, to := first*grainSize, min((last+1)*grainSize, s.block.Length)
	data, err := s.raw(ctx, store.Range{Offset: from, Length: to - from})
	<-done
	switch {
	case err != nil && sums.err == nil:
		sums.r.Close() // nothing was read
		return nil, err
	case err == nil && sums.err != nil:
		data.Close() // nothing was read
	}
	if sums.err != nil {
		return nil, sums.err
	}
	return &grainReader{data: data, sums: sums.r, buf: make([]byte, min(grainSize, to-from)),
		skip: int(s.at.Offset - from), rest: s.at.Length}, nil
}

// Read implements io.Reader.
func (r *grainReader) Read(p []byte) (int, error) {
	if r.rest == 0 {
		return 0, io.EOF
	}
	if len(r.ready) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.ready)
	r.ready, r.rest = r.ready[n:], r.rest-int64(n)
	return n, nil
}

// next reads a grain.
func (r *grainReader) next() error {
	grain := r.buf[:min(grainSize, r.data.rest)]
	if _, err := io.ReadFull(r.data, grain); err != nil {
		return err
	}
	var sum [crc32.Size]byte
	if _, err := io.ReadFull(r.sums, sum[:]); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(sum[:]) != crc32.Checksum(grain, castagnoli) {
		return r.data.s.corrupt("the checksum of a part differs")
	}
	r.ready = grain[r.skip:]
	r.skip, r.ready = 0, r.ready[:min(int64(len(r.ready)), r.rest)]
	return nil
}

// Close implements io.Closer.
func (r *grainReader) Close() error { return errors.Join(r.data.Close(), r.sums.Close()) }
