package segment

import (
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
)

// WriterOptions tune a Writer.
type WriterOptions struct {
	Codec record.Codec // how blocks are compressed
	Block int          // bytes of payload a block is filled up to, 64 KiB by default: a merge holds one of each stream
}

// DefaultBlock is large enough to make a block's header and a read of it cheap, and small enough for a reducer that
// reads from thousands of maps at once.
const DefaultBlock = 64 << 10

// writeBuffer is how many bytes of blocks are collected for one write.
const writeBuffer = 256 << 10

// Writer writes partitions, one after the other. It is used by one goroutine.
type Writer struct {
	out    io.Writer
	opts   WriterOptions
	enc    *record.Encoder
	raw    []byte // payload of the block to come
	framed []byte // blocks that wait to be written
	index  Index
	part   Part // the partition being written
	summed int  // how much of framed is in part's sum
	header [MaxHeader]byte
	err    error
}

// NewWriter writes blocks to out, from offset 0. It is for spills, whose index stays in memory; segments begin with
// Create.
func NewWriter(out io.Writer, layout Layout, opts WriterOptions) *Writer {
	if opts.Block == 0 {
		opts.Block = DefaultBlock
	}
	return &Writer{
		out: out, opts: opts, enc: record.NewEncoder(opts.Codec),
		framed: make([]byte, 0, writeBuffer+record.MaxHeader), index: Index{Layout: layout},
	}
}

// Append adds n records to the current partition, as they were encoded elsewhere; every chunk has whole records. What a
// reader gets is whole chunks too: one that is too long for a block is cut, and put together again.
func (w *Writer) Append(chunks [][]byte, n int) error {
	for _, chunk := range chunks {
		w.append(chunk)
	}
	w.part.Records += int64(n)
	return w.err
}

func (w *Writer) append(chunk []byte) {
	if len(w.raw)+len(chunk) > w.opts.Block {
		w.flushBlock()
	}
	if len(chunk) < record.MaxBlock {
		w.raw = append(w.raw, chunk...)
		return
	}
	for len(chunk) >= record.MaxBlock {
		w.frame(chunk[:record.MaxBlock])
		chunk = chunk[record.MaxBlock:]
	}
	w.frame(chunk) // perhaps empty: what ends a long record is a block that is not full
}

// Record adds a record of layout Sorted.
func (w *Writer) Record(key, value []byte) error { return w.add(key, uint64(len(value)), value) }

// RecordInt64 adds a record of layout Folded.
func (w *Writer) RecordInt64(key []byte, value int64) error { return w.add(key, ZigZag(value), nil) }

func (w *Writer) add(key []byte, second uint64, value []byte) error {
	n := PutHeader(w.header[:], len(key), second)
	size := n + len(key) + len(value)
	if size >= record.MaxBlock {
		w.append(slices.Concat(w.header[:n], key, value))
	} else {
		if len(w.raw)+size > w.opts.Block {
			w.flushBlock()
		}
		w.raw = append(append(append(w.raw, w.header[:n]...), key...), value...)
	}
	w.part.Records++
	return w.err
}

// Copy adds the blocks of a partition that was written before, as they are. It fails with errs.Corrupt if they are not
// what they were.
func (w *Writer) Copy(r *Range, part int) error {
	const op = "segment.Copy"
	w.flushBlock()
	p, sum := r.part(part), uint32(0)
	for done := int64(0); done < p.Stored; {
		if len(w.framed) >= writeBuffer {
			w.flushFile()
		}
		free := w.framed[len(w.framed):cap(w.framed)]
		fresh := free[:min(int64(len(free)), p.Stored-done)]
		if _, err := r.src.ReadAt(fresh, p.Offset-r.base+done); err != nil {
			return errs.E(op, errs.Corrupt, partName(part), err)
		}
		sum = crc32.Update(sum, castagnoli, fresh)
		w.framed = w.framed[:len(w.framed)+len(fresh)]
		done += int64(len(fresh))
	}
	if sum != p.Sum {
		return errs.Errorf(op, errs.Corrupt, partName(part), "checksum differs")
	}
	w.part.Raw += p.Raw
	w.part.Records += p.Records
	return w.err
}

// End ends the current partition, which may be empty, and begins the next.
func (w *Writer) End() error {
	w.flushBlock()
	w.sum()
	w.index.Parts = append(w.index.Parts, w.part)
	w.part = Part{Offset: w.part.Offset + w.part.Stored}
	return w.err
}

// Finish writes what is buffered and returns the index of the partitions that were ended.
func (w *Writer) Finish() (Index, error) {
	w.flushFile()
	return w.index, w.err
}

func (w *Writer) flushBlock() {
	if len(w.raw) > 0 {
		w.frame(w.raw)
		w.raw = w.raw[:0]
	}
}

// frame makes a block of payload.
func (w *Writer) frame(payload []byte) {
	if len(w.framed) > 0 && len(w.framed)+len(payload) > writeBuffer {
		w.flushFile()
	}
	w.framed = w.enc.Append(w.framed, payload)
	w.part.Raw += int64(len(payload))
}

// sum brings the current partition's checksum and length up to date.
func (w *Writer) sum() {
	fresh := w.framed[w.summed:]
	w.part.Sum = crc32.Update(w.part.Sum, castagnoli, fresh)
	w.part.Stored += int64(len(fresh))
	w.summed = len(w.framed)
}

func (w *Writer) flushFile() {
	w.sum()
	if w.err == nil {
		if _, err := w.out.Write(w.framed); err != nil {
			w.err = errs.E("segment.Write", errs.Other, nil, err)
		}
	}
	w.framed, w.summed = w.framed[:0], 0
}

// File is a Writer of a segment that is going to exist.
type File struct {
	*Writer
	dir  string
	data *os.File // nil after Commit or Abort
}

// Create begins the segment of the attempt whose directory is dir.
func Create(dir string, layout Layout, opts WriterOptions) (*File, error) {
	f, err := os.Create(filepath.Join(dir, DataName))
	if err != nil {
		return nil, errs.E("segment.Create", errs.Other, nil, err)
	}
	return &File{Writer: NewWriter(f, layout, opts), dir: dir, data: f}, nil
}

// Commit makes the segment readable and returns its index. A full disk is errs.Exhausted.
func (f *File) Commit() (Index, error) {
	const op = "segment.Commit"
	x, err := f.Finish()
	if err != nil {
		return Index{}, err
	}
	if err := f.data.Close(); err != nil {
		return Index{}, errs.E(op, errs.Other, nil, err)
	}
	name := filepath.Join(f.dir, IndexName)
	if err := os.WriteFile(name+".tmp", x.Append(nil), 0o666); err != nil {
		return Index{}, errs.E(op, errs.Other, nil, err)
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return Index{}, errs.E(op, errs.Other, nil, err)
	}
	f.data = nil
	return x, nil
}

// Abort removes what was written. After Commit it does nothing.
func (f *File) Abort() {
	if f.data == nil {
		return
	}
	// The attempt's directory is removed with the attempt; what stays behind until then does no harm without an index.
	_ = f.data.Close()
	_ = os.Remove(f.data.Name())
	_ = os.Remove(filepath.Join(f.dir, IndexName+".tmp"))
	f.data = nil
}
