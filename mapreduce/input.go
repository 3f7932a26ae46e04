package mapreduce

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sort"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/fixed"
	"github.com/seed3322913c/runner/mapreduce/format"
	"github.com/seed3322913c/runner/mapreduce/split"
	"github.com/seed3322913c/runner/mapreduce/text"
)

// input feeds the records of a split to a mapper, and can tell where in which file a record is.
type input struct {
	src     *split.Source
	lines   batches
	length  int     // of a record, in bytes; 0: records are lines
	framed  bool    // records come from a format.Reader instead, and places are their numbers
	records int64   // handed to the mapper; after an error the last of them is the one
	batches []batch // in order
	told    string  // the file that the mapper was told of last
}

// batch is a run of lines that was handed over at once.
type batch struct {
	first  int64 // number of its first record, from 0
	name   string
	offset int64
}

// batches reads a split in runs of records: text.Reader, fixed.Reader.
type batches interface {
	Batch(ctx context.Context) ([]byte, error)
	Position() (name string, offset int64)
	Done() int64
	Close() error
}

// newInput returns the input of mapper m, in the form that it asks for.
func newInput(src *split.Source, m functions.Mapper, o text.Options) *input {
	in := &input{src: src, length: functions.RecordLengthOf(m)}
	if f, ok := m.(*fixedMapper); ok {
		in.length = f.length
	}
	if f, ok := m.(*fileMapper); ok {
		in.framed = true
		in.lines = format.NewReader(f.format, format.Source{Open: src.Open, Size: src.Size, Set: f.set}, src.Pieces())
	} else if in.length > 0 {
		in.lines = fixed.NewReader(src.Open, src.Pieces(), in.length, o)
	} else {
		in.lines = text.NewReader(src.Open, src.Pieces(), o)
	}
	return in
}

// done returns how many bytes of the split were read.
func (in *input) done() int64 { return in.lines.Done() + in.src.Saved() }

// Close ends the reading.
func (in *input) Close() error { return in.lines.Close() }

// feed hands all records to m. It calls progress now and then, whose error ends it.
func (in *input) feed(ctx context.Context, m functions.Mapper, out functions.Emitter, progress func() error) error {
	batches, isBatch := m.(functions.BatchMapper)
	for {
		lines, err := in.lines.Batch(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &readError{err}
		}
		name, offset := in.lines.Position()
		in.batches = append(in.batches, batch{in.records, name, offset})
		err = functions.Protect(func() error {
			if err := in.tell(m, name, out); err != nil {
				return err
			}
			if isBatch {
				n, err := batches.MapBatch(lines, out)
				in.records += n
				return err
			}
			for line := range in.split(lines) {
				in.records++
				if err := m.Map(functions.Record{Value: line}, out); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			err = progress()
		}
		if err != nil {
			return err
		}
	}
}

// tell tells the mapper, if it wants to know, where the next records come from.
func (in *input) tell(m functions.Mapper, name string, out functions.Emitter) error {
	f, ok := m.(functions.FileMapper)
	if !ok || in.told == name {
		return nil
	}
	in.told = name
	at := functions.FilePiece{URI: name}
	for _, p := range in.src.Pieces() {
		if p.Name == name {
			at.Offset, at.Length = p.Offset, p.Length
			break
		}
	}
	return f.File(at, out)
}

// split yields the records of a run.
func (in *input) split(run []byte) iter.Seq[[]byte] {
	if in.length > 0 {
		return functions.Records(run, in.length)
	}
	return functions.Lines(run)
}

// readError is an error of the input itself, which says where it is.
type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }

// blame gives an error of feed its place: the file and the record. If the input is no longer what it was when the job
// was planned, then that is the error.
func (in *input) blame(ctx context.Context, err error) error {
	const op = "mapreduce.Map"
	if ctx.Err() != nil {
		return errs.E(op, errs.Canceled, nil, context.Cause(ctx))
	}
	if changed := in.src.Verify(ctx); changed != nil && errs.KindOf(changed) == errs.Invalid {
		return changed
	}
	var read *readError
	if errors.As(err, &read) {
		return read.error
	}
	record := in.records
	var failure *wire.Failure
	if errors.As(err, &failure) {
		record = failure.Record
	}
	kind := errs.KindOf(err)
	if kind == errs.Other {
		kind = errs.Failed // a function that returns an error says no
	}
	return errs.E(op, kind, in.place(ctx, record), err)
}

// place says where record number n is, counted from 1; with 0 it only knows the file.
func (in *input) place(ctx context.Context, n int64) string {
	i := sort.Search(len(in.batches), func(i int) bool { return in.batches[i].first >= n }) - 1
	if i < 0 {
		if len(in.src.Pieces()) == 0 {
			return "empty input"
		}
		return in.src.Pieces()[0].Name
	}
	b := in.batches[i]
	if in.framed {
		return fmt.Sprintf("%s, record %d", b.name, b.offset+n-b.first)
	}
	if in.length > 0 {
		return fmt.Sprintf("%s, record at byte %d", b.name, b.offset+(n-1-b.first)*int64(in.length))
	}
	offset, err := in.skip(ctx, b, n-1-b.first)
	if err != nil {
		return fmt.Sprintf("%s, record at or after byte %d", b.name, b.offset)
	}
	return fmt.Sprintf("%s, record at byte %d", b.name, offset)
}

// skip returns the offset after n more lines from where b begins. It reads the file again: errors are rare.
func (in *input) skip(ctx context.Context, b batch, n int64) (int64, error) {
	file, err := in.src.Open(ctx, text.Piece{Name: b.name, Offset: b.offset}, b.offset)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	offset, lines := b.offset, bufio.NewReaderSize(file, 64<<10)
	for n > 0 {
		part, err := lines.ReadSlice('\n')
		offset += int64(len(part))
		switch {
		case err == nil:
			n--
		case !errors.Is(err, bufio.ErrBufferFull):
			return 0, err
		}
	}
	return offset, nil
}
