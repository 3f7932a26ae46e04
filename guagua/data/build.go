package data

import (
	"os"
	"unsafe"

	"github.com/seed3322913c/runner/infra/errs"
)

// builder gathers blocks in memory or in a file.
type builder[T Float] struct {
	keep    Keep
	room    int64 // bytes of memory
	scratch string
	used    int64
	t       Table[T]
}

// add appends a block.
func (b *builder[T]) add(block Block[T]) error {
	if block.Rows == 0 {
		return nil
	}
	block.First = b.t.Rows
	b.t.Rows += block.Rows
	b.t.Columns = max(b.t.Columns, block.Columns)
	b.t.Labeled = block.Y != nil
	b.used += block.bytes()
	full := b.room > 0 && b.used > b.room
	if full && b.keep == KeepMemory {
		return errs.Errorf(op, errs.Exhausted, nil, "keep=memory: more than %d bytes of rows", b.room)
	}
	if b.t.file == nil && (b.keep == KeepMapped || b.keep == KeepFile || full) {
		if err := b.spill(); err != nil {
			return err
		}
	}
	if b.t.file != nil {
		if err := b.t.file.append(&block); err != nil {
			return err
		}
	}
	b.t.blocks = append(b.t.blocks, block)
	return nil
}

// spill moves everything to a file.
func (b *builder[T]) spill() (err error) {
	if b.t.file, err = newBlockFile[T](b.scratch); err != nil {
		return err
	}
	for i := range b.t.blocks {
		if err := b.t.file.append(&b.t.blocks[i]); err != nil {
			return err
		}
	}
	return nil
}

// table returns what was built.
func (b *builder[T]) table() (*Table[T], error) {
	b.t.Widen(b.t.Columns)
	if b.t.file != nil && b.keep == KeepMapped {
		if err := b.t.file.mapAll(); err != nil {
			b.abort()
			return nil, err
		}
	}
	return &b.t, nil
}

func (b *builder[T]) abort() {
	b.t.Close() //nolint:errcheck // a file without a name, which nobody will read
}

func (b *Block[T]) bytes() int64 {
	var t T
	each := int64(unsafe.Sizeof(t))
	return each*int64(len(b.X)+len(b.Values)) + 8*int64(len(b.Y)) + 4*int64(len(b.Starts)+len(b.Indexes))
}

// blockFile keeps blocks in a file without a name, which is gone with the process. In memory remain their places.
type blockFile[T Float] struct {
	file   *os.File
	size   int64
	places []place
	mapped []byte
}

// place is where a block's parts are in the file, and how long they are.
type place struct {
	at                          int64
	x, y, starts, index, values int
}

func newBlockFile[T Float](dir string) (*blockFile[T], error) {
	f, err := os.CreateTemp(dir, "rows-*")
	if err != nil {
		return nil, errs.E(op, errs.Other, dir, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, errs.E(op, errs.Other, f.Name(), err)
	}
	return &blockFile[T]{file: f}, nil
}

// append writes a block and takes its rows out of memory. Every part begins at a multiple of 8 bytes.
func (f *blockFile[T]) append(b *Block[T]) error {
	p := place{f.size, len(b.X), len(b.Y), len(b.Starts), len(b.Indexes), len(b.Values)}
	for _, part := range [][]byte{
		bytesOf(b.X), bytesOf(b.Y), bytesOf(b.Starts), bytesOf(b.Indexes), bytesOf(b.Values),
	} {
		if _, err := f.file.WriteAt(part, f.size); err != nil {
			return errs.E(op, errs.Other, "rows that do not fit into memory", err)
		}
		f.size += aligned(len(part))
	}
	f.places = append(f.places, p)
	b.X, b.Indexes, b.Values = nil, nil, nil
	if b.Y != nil {
		b.Y = []float64{}
	}
	if b.Starts != nil {
		b.Starts = []int32{}
	}
	return nil
}

func aligned(n int) int64 { return int64(n+7) &^ 7 }

// load returns block i, whose frame is b: a view of the mapped file, or read into room.
func (f *blockFile[T]) load(i int, b Block[T], room *Block[T]) (Block[T], error) {
	p := f.places[i]
	at := p.at
	var err error
	read := func(n int, buf []byte) []byte {
		from := at
		at += aligned(n)
		if f.mapped != nil {
			return f.mapped[from : from+int64(n) : from+int64(n)]
		}
		if err == nil {
			_, err = f.file.ReadAt(buf[:n], from)
		}
		return buf[:n]
	}
	room.X = part(room.X, p.x, f.mapped == nil, read)
	room.Y = part(room.Y, p.y, f.mapped == nil, read)
	room.Starts = part(room.Starts, p.starts, f.mapped == nil, read)
	room.Indexes = part(room.Indexes, p.index, f.mapped == nil, read)
	room.Values = part(room.Values, p.values, f.mapped == nil, read)
	if err != nil {
		return b, errs.E(op, errs.Other, "rows that did not fit into memory", err)
	}
	if b.X = room.X; b.Y != nil {
		b.Y = room.Y
	}
	if b.Starts != nil {
		b.Starts, b.Indexes, b.Values = room.Starts, room.Indexes, room.Values
	}
	return b, nil
}

// part reads n elements into buf, which is made longer if it must be (unless read has memory of its own).
func part[E any](buf []E, n int, own bool, read func(n int, buf []byte) []byte) []E {
	if own && cap(buf) < n {
		buf = make([]E, n)
	}
	var e E
	raw := read(n*int(unsafe.Sizeof(e)), bytesOf(buf[:cap(buf)]))
	return unsafe.Slice((*E)(unsafe.Pointer(unsafe.SliceData(raw))), n)
}

func bytesOf[E any](s []E) []byte {
	var e E
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(e)))
}

// Close forgets the rows.
func (f *blockFile[T]) Close() error {
	if err := f.unmap(); err != nil {
		return err
	}
	if err := f.file.Close(); err != nil {
		return errs.E(op, errs.Other, nil, err)
	}
	return nil
}
