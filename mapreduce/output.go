package mapreduce

import (
	"bytes"
	"context"
	"strconv"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/mapreduce/commit"
	"github.com/seed3322913c/runner/mapreduce/format"
)

// textOutput writes records as lines, key TAB value, into one part of the output. A nil key or value is left out, with
// the TAB; an int64 is written in decimal.
//
// Records of a functions.Binary are written as they are instead.
type textOutput struct {
	part    commit.Writer
	binary  bool
	form    format.Appender // nil: text
	int64s  bool            // values that come as bytes are encoded int64s
	buf     []byte
	records int64
	flushed func() // called now and then; nil: not
}

// outputBuffer is how much is written at once.
const outputBuffer = 1 << 20

// newTextOutput returns what writes what a function puts out, to a part that it still has to be given.
func newTextOutput(function any) *textOutput {
	return &textOutput{
		binary: functions.RecordLengthOf(function) > 0,
		int64s: functions.ValueKindOf(function) == functions.ValueInt64, buf: make([]byte, 0, outputBuffer),
	}
}

var (
	_ functions.Int64Emitter = (*textOutput)(nil)
	_ functions.LineEmitter  = (*textOutput)(nil)
)

// Emit implements functions.Emitter.
func (o *textOutput) Emit(key, value []byte) error {
	if o.int64s && value != nil {
		n, err := functions.DecodeInt64(value)
		if err != nil {
			return err
		}
		return o.EmitInt64(key, n)
	}
	if o.form != nil {
		return o.emitForm(key, value)
	}
	o.buf = append(o.buf, key...)
	if key != nil && value != nil && !o.binary {
		o.buf = append(o.buf, '\t')
	}
	o.buf = append(o.buf, value...)
	return o.end()
}

// EmitInt64 implements functions.Int64Emitter.
func (o *textOutput) EmitInt64(key []byte, value int64) error {
	if o.form != nil {
		var decimal [20]byte
		return o.emitForm(key, strconv.AppendInt(decimal[:0], value, 10))
	}
	o.buf = append(o.buf, key...)
	if key != nil {
		o.buf = append(o.buf, '\t')
	}
	o.buf = strconv.AppendInt(o.buf, value, 10)
	return o.end()
}

// emitForm emits a record in the output's format.
func (o *textOutput) emitForm(key, value []byte) (err error) {
	if o.buf, err = o.form.Append(o.buf, key, value); err != nil {
		return err
	}
	return o.count()
}

// EmitLines implements functions.LineEmitter.
func (o *textOutput) EmitLines(lines []byte) error {
	if o.form != nil {
		return o.emitEach(lines)
	}
	o.records += int64(bytes.Count(lines, []byte{'\n'}))
	o.buf = append(o.buf, lines...)
	if len(o.buf) < outputBuffer-outputBuffer/8 {
		return nil
	}
	return o.flush()
}

// end ends a record.
func (o *textOutput) end() error {
	if !o.binary {
		o.buf = append(o.buf, '\n')
	}
	return o.count()
}

// count counts a record, and writes what has come together now and then.
func (o *textOutput) count() error {
	o.records++
	if len(o.buf) < outputBuffer-outputBuffer/8 {
		return nil
	}
	return o.flush()
}

func (o *textOutput) flush() error {
	_, err := o.part.Write(o.buf)
	o.buf = o.buf[:0]
	if o.flushed != nil {
		o.flushed()
	}
	return err
}

// commit makes the part durable.
func (o *textOutput) commit(ctx context.Context) (_ writtenPart, err error) {
	if o.form != nil {
		if o.buf, err = o.form.End(o.buf); err != nil {
			return writtenPart{}, err
		}
	}
	if err := o.flush(); err != nil {
		return writtenPart{}, err
	}
	p, err := o.part.Commit(ctx)
	return writtenPart{p, o.records}, err
}
