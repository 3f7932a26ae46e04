package mapreduce

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"sort"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/streaming"
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
	length  int            // of a record, in bytes; 0: records are lines
	framed  bool           // records come from a format.Reader instead, and places are their numbers
	made    bool           // likewise, but records are lines that nobody wrote
	dropped func() []int64 // numbers of the records that the function was not given, beside those left out
	records int64          // handed to the mapper; after an error the last of them is the one
	batches []batch        // in order
	told    string         // the file that the mapper was told of last
	behind  bool           // the mapper is a program, which does not say how far it is

	narrow *narrowing  // nil: every record is handed over
	sure   int64       // how many of the records were handled for sure, if narrow waits
	left   []badRecord // out
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
	in := &input{src: src, length: functions.RecordLengthOf(m), dropped: func() []int64 { return nil }}
	_, in.behind = innermost(m).(*streaming.Mapper)
	if l, ok := m.(*lineMapper); ok {
		in.dropped = func() []int64 { return l.dropped }
	}
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
			return in.hand(m, lines, out)
		})
		if err == nil {
			err = progress()
		}
		if err != nil {
			return err
		}
	}
}

// hand hands a run of records to m, but for those that are to be left out.
func (in *input) hand(m functions.Mapper, run []byte, out functions.Emitter) error {
	for len(run) > 0 {
		n := in.narrow.next(in.records)
		head, rest, err := in.cut(run, max(n, 1))
		if err != nil {
			return err
		}
		run = rest
		if n == 0 {
			in.records++
			if err := in.leave(head); err != nil {
				return err
			}
			continue
		}
		if err := in.mapRun(m, head, out); err != nil {
			return err
		}
		if in.narrow.waits(in.records) {
			if err := wait(m, out); err != nil {
				return err
			}
			in.sure = in.records
		}
	}
	return nil
}

// mapRun hands all records of a run to m.
func (in *input) mapRun(m functions.Mapper, run []byte, out functions.Emitter) error {
	if batches, ok := m.(functions.BatchMapper); ok {
		n, err := batches.MapBatch(run, out)
		in.records += n
		return err
	}
	for line := range in.split(run) {
		in.records++
		if err := m.Map(functions.Record{Value: line}, out); err != nil {
			return err
		}
	}
	return nil
}

// cut cuts a run after n records.
func (in *input) cut(run []byte, n int64) (head, rest []byte, err error) {
	if n == math.MaxInt64 {
		return run, nil, nil
	}
	if in.length > 0 {
		end := min(n, int64(len(run)/in.length)) * int64(in.length)
		return run[:end], run[end:], nil
	}
	for rest = run; n > 0 && len(rest) > 0; n-- {
		if in.framed && !in.made {
			if _, rest, err = format.Cut(rest); err != nil {
				return nil, nil, err
			}
			continue
		}
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			i = len(rest) - 1
		}
		rest = rest[i+1:]
	}
	return run[:len(run)-len(rest)], rest, nil
}

// leave keeps a record that is left out.
func (in *input) leave(run []byte) error {
	var r functions.Record
	if in.framed && !in.made {
		var err error
		if r, _, err = format.Cut(run); err != nil {
			return err
		}
	} else {
		for r.Value = range in.split(run) {
		}
	}
	v := bytesText(bytes.Clone(r.Value))
	b := badRecord{Number: in.records, Value: &v}
	if r.Key != nil {
		k := bytesText(bytes.Clone(r.Key))
		b.Key = &k
	}
	in.left = append(in.left, b)
	return nil
}

// located returns the records that were left out, with their places.
func (in *input) located(ctx context.Context, split string) []badRecord {
	for i := range in.left {
		b := &in.left[i]
		b.Split = split
		p := in.find(ctx, b.Number)
		b.File = p.name
		if p.unit == unitByte {
			b.Offset = &p.at
		}
	}
	return in.left
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
		if in.narrow != nil {
			return fmt.Errorf("%w; skip-bad leaves out records that functions fail at, not what cannot be read; "+
				"max-failed-percent lets the job go on without the whole split", read.error)
		}
		return read.error
	}
	record := in.records
	var failure *wire.Failure
	var one *recordError
	known := errors.As(err, &one) || !in.behind
	if errors.As(err, &failure) {
		record, known = failure.Record, true
		if record > 0 {
			record = in.number(record) + 1
		}
	}
	at := in.find(ctx, record)
	at.last = !known
	kind := errs.KindOf(err)
	if kind == errs.Other {
		kind = errs.Failed // a function that returns an error says no
	}
	return errs.E(op, kind, at, err)
}

// number returns the number, from 0, of the n-th record, from 1, that the function itself was given.
func (in *input) number(n int64) int64 {
	n = nthKept(in.dropped(), n) + 1
	if in.narrow == nil {
		return n - 1
	}
	return nthKept(in.narrow.skip, n)
}

// suspect tells which records may be to blame for an error.
func (in *input) suspect(m functions.Mapper, err error) {
	var read *readError
	if in.narrow == nil || errors.As(err, &read) {
		return
	}
	from, to := suspects(innermost(m), err, in.number, in.sure, in.records)
	in.narrow.suspect(from, to, err)
}

// place says where record number n is, counted from 1; with 0 it only knows the file.
func (in *input) place(ctx context.Context, n int64) string { return in.find(ctx, n).String() }

// place is where a record is.
type place struct {
	name  string
	unit  string // of at; empty: only the file is known
	at    int64
	split string // what the task reads of the file; empty: there is no file
	last  bool   // it is this record, or one before it
}

const (
	unitByte   = "record at byte"
	unitAfter  = "record at or after byte"
	unitRecord = "record"
)

func (p place) String() string {
	text := p.name
	switch {
	case p.unit == "":
	case p.last && p.unit == unitByte:
		text += fmt.Sprintf(", record at or before byte %d", p.at)
	case p.last && p.unit == unitRecord:
		text += fmt.Sprintf(", record %d or before", p.at)
	default:
		text += fmt.Sprintf(", %s %d", p.unit, p.at)
	}
	if p.split != "" {
		text += " (" + p.split + ")"
	}
	return text
}

// find finds record number n, counted from 1.
func (in *input) find(ctx context.Context, n int64) place {
	p := in.locate(ctx, n)
	p.split = in.src.Of(p.name)
	return p
}

func (in *input) locate(ctx context.Context, n int64) place {
	i := sort.Search(len(in.batches), func(i int) bool { return in.batches[i].first >= n }) - 1
	if i < 0 {
		if len(in.src.Pieces()) == 0 {
			return place{name: "empty input"}
		}
		return place{name: in.src.Pieces()[0].Name}
	}
	b := in.batches[i]
	if in.framed {
		return place{name: b.name, unit: unitRecord, at: b.offset + n - b.first}
	}
	if in.length > 0 {
		return place{name: b.name, unit: unitByte, at: b.offset + (n-1-b.first)*int64(in.length)}
	}
	offset, err := in.skip(ctx, b, n-1-b.first)
	if err != nil {
		return place{name: b.name, unit: unitAfter, at: b.offset}
	}
	return place{name: b.name, unit: unitByte, at: offset}
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
