package format

import (
	"bytes"
	"encoding/json"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/mapreduce/codec"
)

// Appender writes the records of one file by appending them to a buffer.
type Appender interface {
	// Append adds a record, with its end. A nil key or value is left out where the format can. An error is of kind
	// Failed if the format cannot have such a record.
	Append(b, key, value []byte) ([]byte, error)

	// End adds what the file ends with.
	End(b []byte) ([]byte, error)
}

// Output says what is written.
type Output struct {
	Name     string      // tells this file from all others
	Compress codec.Codec // for formats that compress themselves
	Int64s   bool        // values are integers in decimal
	Set      functions.Params
}

// Compresses reports whether files of the format are compressed inside, and not as a whole.
func (f Format) Compresses() bool { return f == Parquet }

// Ext returns how the names of files of the format end, where that is usual.
func (f Format) Ext() string {
	if f == Parquet {
		return ".parquet"
	}
	return ""
}

// NewAppender returns the Appender of a file, and what the file begins with. Text is not for it.
func (f Format) NewAppender(o Output) (a Appender, head []byte, err error) {
	switch f {
	case Sequence:
		s := &sequenceWriter{}
		return s, s.begin(nil, o.Name), nil
	case Parquet:
		a, err = newParquetAppender(o)
		return a, nil, err
	case CSV:
		return csvAppender{}, nil, nil
	}
	return jsonAppender{}, nil, nil
}

// CheckOutput fails with errs.Invalid if files of the format cannot be written so.
func (f Format) CheckOutput(o Output) error {
	_, _, err := f.NewAppender(o)
	return err
}

// endless is the end of files that end with their last record.
type endless struct{}

func (endless) End(b []byte) ([]byte, error) { return b, nil }

type csvAppender struct{ endless }

// Append implements Appender.
func (csvAppender) Append(b, key, value []byte) ([]byte, error) {
	b = appendCSV(b, key)
	if key != nil && value != nil {
		b = append(b, ',')
	}
	return append(appendCSV(b, value), '\n'), nil
}

type jsonAppender struct{ endless }

// Append implements Appender.
func (jsonAppender) Append(b, key, value []byte) ([]byte, error) {
	b = append(b, '{')
	b = appendJSON(b, "key", key)
	if key != nil && value != nil {
		b = append(b, ',')
	}
	return append(appendJSON(b, "value", value), '}', '\n'), nil
}

// appendCSV appends the fields of a key or value, which are separated by TABs.
func appendCSV(b, fields []byte) []byte {
	if fields == nil {
		return b
	}
	for i, f := range bytes.Split(fields, []byte{'\t'}) {
		if i > 0 {
			b = append(b, ',')
		}
		if !bytes.ContainsAny(f, "\",\r\n") {
			b = append(b, f...)
			continue
		}
		b = append(b, '"')
		b = append(b, bytes.ReplaceAll(f, []byte{'"'}, []byte(`""`))...)
		b = append(b, '"')
	}
	return b
}

// appendJSON appends a member of an object. A value that is JSON itself stays what it is: a number, an object.
func appendJSON(b []byte, name string, value []byte) []byte {
	if value == nil {
		return b
	}
	b = append(append(append(b, '"'), name...), '"', ':')
	if name == "value" && json.Valid(value) {
		var compact bytes.Buffer
		if json.Compact(&compact, value) == nil { // which it is: it is valid
			return append(b, compact.Bytes()...)
		}
	}
	text, err := json.Marshal(string(value))
	if err != nil { // a string always can be marshalled
		return append(b, "null"...)
	}
	return append(b, text...)
}
