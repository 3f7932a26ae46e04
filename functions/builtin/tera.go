package builtin

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/tera"
	"github.com/seed3322913c/runner/infra/errs"
)

// rows is what all functions over rows of package tera have in common.
type rows struct{}

func (rows) RecordLength() int { return tera.RowBytes }

// teraCopy puts out its input, which is generated (tera.Store).
type teraCopy struct{ rows }

func teraGenParams() []functions.Param {
	return []functions.Param{{Name: "records", Doc: "how many rows of 100 bytes to make", Required: true}}
}

func newTeraGen(params functions.Params) (functions.Raw, error) {
	if _, err := tera.ParseRows(params["records"]); err != nil {
		return functions.Raw{}, err
	}
	return functions.Raw{Mapper: func() functions.Mapper { return teraCopy{} }}, nil
}

func (teraCopy) Map(in functions.Record, out functions.Emitter) error { return out.Emit(in.Value, nil) }

func (teraCopy) MapBatch(run []byte, out functions.Emitter) (n int64, err error) {
	for row := range functions.Records(run, tera.RowBytes) {
		n++
		if err := out.Emit(row, nil); err != nil {
			return n, err
		}
	}
	return n, nil
}

// teraSort makes a row's first bytes its key, and puts the two together again.
type teraSort struct{ rows }

func (teraSort) Map(in functions.Record, out functions.Emitter) error {
	return out.Emit(in.Value[:tera.KeyBytes], in.Value[tera.KeyBytes:])
}

func (s teraSort) MapBatch(run []byte, out functions.Emitter) (n int64, err error) {
	for row := range functions.Records(run, tera.RowBytes) {
		n++
		if err := out.Emit(row[:tera.KeyBytes], row[tera.KeyBytes:]); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (teraSort) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	for values.Next() {
		if err := out.Emit(key, values.Value()); err != nil {
			return err
		}
	}
	return nil
}

// teraOrder checks that the rows of a split are in order, and puts out one record about it: under the number of the
// split, which is in the order of the input,
//
//	| first key 10B | last key 10B | rows 8B | checksum 16B |
type teraOrder struct {
	rows
	split       uint64
	first, last []byte // nil before the first row
	count       uint64
	sum         tera.Sum
}

func (o *teraOrder) Setup(env functions.Env) (err error) {
	task, _, _ := strings.Cut(env.Attempt(), ".")
	_, index, _ := strings.Cut(task, "-")
	o.split, err = strconv.ParseUint(index, 10, 64)
	return err
}

func (o *teraOrder) Map(in functions.Record, _ functions.Emitter) error { return o.row(in.Value) }

func (o *teraOrder) MapBatch(run []byte, _ functions.Emitter) (n int64, err error) {
	for row := range functions.Records(run, tera.RowBytes) {
		n++
		if err := o.row(row); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (o *teraOrder) row(row []byte) error {
	key := row[:tera.KeyBytes]
	if o.first == nil {
		o.first = bytes.Clone(key)
	} else if bytes.Compare(o.last, key) > 0 {
		return misordered(o.last, key)
	}
	o.last = append(o.last[:0], key...)
	o.count++
	o.sum.Add(crc32.ChecksumIEEE(row))
	return nil
}

func misordered(before, after []byte) error {
	return errs.Errorf("teravalidate", errs.Failed, nil, "rows are not in order: key %x comes before %x", before, after)
}

func (o *teraOrder) Cleanup(out functions.Emitter) error {
	if o.first == nil {
		return nil
	}
	value := append(bytes.Clone(o.first), o.last...)
	value = binary.BigEndian.AppendUint64(value, o.count)
	hi, lo := o.sum.Words()
	value = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(value, hi), lo)
	return out.Emit(binary.BigEndian.AppendUint64(nil, o.split), value)
}

// teraReport checks that split follows on split, and puts out the number of rows and their checksum.
type teraReport struct {
	last  []byte // nil before the first split
	count uint64
	sum   tera.Sum
}

func (r *teraReport) Reduce(_ []byte, values functions.Values, _ functions.Emitter) error {
	for values.Next() {
		v := values.Value()
		if len(v) != 2*tera.KeyBytes+24 {
			return errs.Errorf("teravalidate", errs.Corrupt, nil, "a split's record of %d bytes", len(v))
		}
		first, last, numbers := v[:tera.KeyBytes], v[tera.KeyBytes:2*tera.KeyBytes], v[2*tera.KeyBytes:]
		if r.last != nil && bytes.Compare(r.last, first) > 0 {
			return misordered(r.last, first)
		}
		r.last = append(r.last[:0], last...)
		r.count += binary.BigEndian.Uint64(numbers)
		r.sum.Merge(tera.SumOf(binary.BigEndian.Uint64(numbers[8:]), binary.BigEndian.Uint64(numbers[16:])))
	}
	return nil
}

func (r *teraReport) Cleanup(out functions.Emitter) error {
	if err := out.Emit([]byte("checksum"), []byte(r.sum.String())); err != nil {
		return err
	}
	return out.Emit([]byte("rows"), strconv.AppendUint(nil, r.count, 10))
}
