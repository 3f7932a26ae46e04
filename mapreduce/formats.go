package mapreduce

import (
	"bytes"
	"io"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/builtin"
	"github.com/seed3322913c/runner/mapreduce/format"
)

// readsLines reports whether the records of the input are lines.
func (o Options) readsLines() bool {
	if o.Mapper.Builtin == "" || !o.Format.Lines() {
		return o.Format.Lines()
	}
	m, err := builtin.Mapper(o.Mapper.Builtin, o.Set)
	return err == nil && functions.RecordLengthOf(m) == 0
}

// formatted returns a mapper that takes what is read, and hands records of the format to m. If it
// fails, m is closed.
func formatted(m functions.Mapper, f format.Format, set functions.Params) (functions.Mapper, error) {
	switch {
	case f == format.Text || f == format.NLine:
		return m, nil
	case f == format.FixedLength:
		length, err := f.Number(set)
		if err != nil {
			closeFunction(m)
			return nil, err
		}
		return &fixedMapper{lineMapper{Mapper: m, format: f}, length}, nil
	case f.Lines():
		return &lineMapper{Mapper: m, format: f}, nil
	}
	return &fileMapper{lineMapper{Mapper: m, format: f}, set}, nil
}

// innermost returns the mapper that the job names.
func innermost(m functions.Mapper) functions.Mapper {
	switch m := m.(type) {
	case *lineMapper:
		return m.Mapper
	case *fixedMapper:
		return m.Mapper
	case *fileMapper:
		return m.Mapper
	}
	return m
}

// fixedMapper takes records of a fixed length. It is no functions.Binary, since what it puts out is text.
type fixedMapper struct {
	lineMapper
	length int
}

// lineMapper makes records of lines. What its mapper is able to do beside, it does.
type lineMapper struct {
	functions.Mapper
	format format.Format

	seen    int64
	dropped []int64 // numbers of the lines that were no records, from 0
}

var (
	_ functions.Typed      = (*lineMapper)(nil)
	_ functions.FileMapper = (*lineMapper)(nil)
	_ functions.Flusher    = (*lineMapper)(nil)
	_ functions.Cleanup    = (*lineMapper)(nil)
	_ io.Closer            = (*lineMapper)(nil)
)

// Map implements functions.Mapper.
func (m *lineMapper) Map(in functions.Record, out functions.Emitter) error {
	r, ok, err := m.format.Line(in.Value)
	m.seen++
	switch {
	case err != nil:
		return &recordError{err}
	case !ok:
		m.dropped = append(m.dropped, m.seen-1)
		return nil
	}
	return m.Mapper.Map(r, out)
}

// ValueKind implements functions.Typed.
func (m *lineMapper) ValueKind() functions.ValueKind { return functions.ValueKindOf(m.Mapper) }

// File implements functions.FileMapper.
func (m *lineMapper) File(at functions.FilePiece, out functions.Emitter) error {
	if f, ok := m.Mapper.(functions.FileMapper); ok {
		return f.File(at, out)
	}
	return nil
}

// Flush implements functions.Flusher.
func (m *lineMapper) Flush(out functions.Emitter) error {
	if f, ok := m.Mapper.(functions.Flusher); ok {
		return f.Flush(out)
	}
	return nil
}

// Cleanup implements functions.Cleanup.
func (m *lineMapper) Cleanup(out functions.Emitter) error {
	if c, ok := m.Mapper.(functions.Cleanup); ok {
		return c.Cleanup(out)
	}
	return nil
}

// Close implements io.Closer.
func (m *lineMapper) Close() error {
	closeFunction(m.Mapper)
	return nil
}

// fileMapper takes runs of a format.Reader.
type fileMapper struct {
	lineMapper
	set functions.Params
}

var _ functions.BatchMapper = (*fileMapper)(nil)

// MapBatch implements functions.BatchMapper.
func (m *fileMapper) MapBatch(run []byte, out functions.Emitter) (n int64, err error) {
	for len(run) > 0 {
		var r functions.Record
		if r, run, err = format.Cut(run); err != nil {
			return n, err
		}
		n++
		if err := m.Mapper.Map(r, out); err != nil {
			return n, err
		}
	}
	return n, nil
}

// emitEach emits lines as records of the output's format.
func (o *textOutput) emitEach(lines []byte) error {
	for line := range bytes.Lines(lines) {
		key, value, ok := bytes.Cut(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\t'})
		if !ok {
			value = nil
		}
		if err := o.Emit(key, value); err != nil {
			return err
		}
	}
	return nil
}
