package segment

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
)

// Range is a run of partitions of one segment that is readable on this machine, in memory or in a file. Any number of
// goroutines may read it at once.
type Range struct {
	index Index
	mem   []byte      // the span, if it is in memory
	src   io.ReaderAt // where the span is, in memory or not
	base  int64       // the data file's offset of src's first byte
	free  func() error
}

// NewRange returns the partitions of index whose data file, or all of it that matters, is src. Close calls free once,
// which may be nil.
func NewRange(src io.ReaderAt, index Index, free func() error) *Range {
	return &Range{index: index, src: src, free: free}
}

// Open returns the partitions lo to hi-1 of the segment in dir, read from its files.
func Open(dir string, lo, hi int) (*Range, error) {
	const op = "segment.Open"
	x, err := ReadIndex(dir)
	if err != nil {
		return nil, err
	}
	if lo < 0 || hi < lo || hi > len(x.Parts) {
		return nil, errs.Errorf(op, errs.Invalid, dir, "partitions %d to %d wanted of %d", lo, hi-1, len(x.Parts))
	}
	return open(dir, x.Cut(lo, hi))
}

// open returns the partitions of x, which is of the segment in dir.
func open(dir string, x Index) (*Range, error) {
	f, err := os.Open(filepath.Join(dir, DataName))
	if err != nil {
		return nil, errs.E("segment.Open", errs.Other, nil, err)
	}
	return NewRange(f, x, f.Close), nil
}

// Index returns what the range holds.
func (r *Range) Index() Index { return r.index }

// InMemory reports whether reading the range takes no more memory than it has already.
func (r *Range) InMemory() bool { return r.mem != nil }

// Close frees the memory or the file of the range. The second time it does nothing.
func (r *Range) Close() error {
	free := r.free
	r.free = nil
	if free == nil {
		return nil
	}
	return free()
}

func (r *Range) part(number int) Part { return r.index.Parts[number-r.index.First] }

func partName(number int) string { return fmt.Sprintf("partition %d", number) }

// Reader returns a reader of the partitions lo to hi-1, which the range must have, one after the other.
func (r *Range) Reader(lo, hi int) *Reader {
	rd := &Reader{from: r, parts: r.index.Cut(lo, hi).Parts, number: lo}
	rd.seek()
	return rd
}

// blocks returns a reader of the blocks that lie in so many bytes of the data file.
func (r *Range) blocks(offset, length int64) *record.Reader {
	offset -= r.base
	if r.mem != nil {
		return record.NewBytesReader(r.mem[offset : offset+length])
	}
	return record.NewReaderSize(io.NewSectionReader(r.src, offset, length), length)
}

// Reader reads the blocks of partitions in order, and verifies them. It is used by one goroutine.
//
//	for each partition {
//		for { payload, err := rd.Next() ... until io.EOF }
//		err := rd.End(records)
//	}
type Reader struct {
	from   *Range
	rec    *record.Reader // of the current partition and those that follow it without a gap
	parts  []Part         // the current one and those after it
	number int            // of the current one
	begin  int64          // where in rec's input the current one begins
	raw    int64          // bytes of payload of it so far
	long   []byte         // a record that filled several blocks
}

// seek begins with the current partition, and reads on through those that follow it without a gap.
func (rd *Reader) seek() {
	var offset, length int64
	if len(rd.parts) > 0 {
		offset = rd.parts[0].Offset
	}
	for _, p := range rd.parts {
		if p.Offset != offset+length {
			break
		}
		length += p.Stored
	}
	rd.rec, rd.begin = rd.from.blocks(offset, length), 0
}

// Next returns the payload of the next block of the current partition, whole records, or io.EOF at its end. It is valid
// until the next call, or as long as the range if that is in memory and not compressed. Other errors are errs.Corrupt,
// or what reading failed with.
func (rd *Reader) Next() ([]byte, error) {
	payload, err := rd.next()
	if err != nil || len(payload) < record.MaxBlock {
		return payload, err
	}
	rd.long = rd.long[:0]
	for len(payload) == record.MaxBlock && err == nil {
		rd.long = append(rd.long, payload...)
		payload, err = rd.next()
	}
	if err == io.EOF {
		return nil, rd.corrupt(fmt.Errorf("a record of several blocks lacks its end"))
	}
	rd.long = append(rd.long, payload...)
	return rd.long, err
}

func (rd *Reader) next() ([]byte, error) {
	left := rd.parts[0].Stored - (rd.rec.Offset() - rd.begin)
	if left == 0 {
		return nil, io.EOF
	}
	payload, err := rd.rec.Next()
	if errors.Is(err, io.EOF) {
		return nil, rd.corrupt(io.ErrUnexpectedEOF)
	}
	if err != nil {
		return nil, errs.E("segment.Read", errs.Other, partName(rd.number), err)
	}
	if rd.rec.Offset()-rd.begin > rd.parts[0].Stored {
		return nil, rd.corrupt(fmt.Errorf("a block goes beyond the end"))
	}
	rd.raw += int64(len(payload))
	return payload, nil
}

// End moves on to the next partition, after Next returned io.EOF. The caller tells how many records it found, and it is
// errs.Corrupt if the index says otherwise.
func (rd *Reader) End(records int64) error {
	p := rd.parts[0]
	if rd.raw != p.Raw || records != p.Records {
		return rd.corrupt(fmt.Errorf("%d records of %d bytes, the index says %d of %d", records, rd.raw, p.Records, p.Raw))
	}
	rd.parts, rd.number, rd.begin, rd.raw = rd.parts[1:], rd.number+1, rd.rec.Offset(), 0
	if len(rd.parts) > 0 && rd.parts[0].Offset != p.Offset+p.Stored {
		rd.seek()
	}
	return nil
}

func (rd *Reader) corrupt(cause error) error {
	return errs.E("segment.Read", errs.Corrupt, partName(rd.number), cause)
}
