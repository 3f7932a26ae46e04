package format

import (
	"bytes"
	"encoding/json"
)

// Appender writes the records of one file by appending them to a buffer.
type Appender struct {
	format Format
	seq    sequenceWriter
}

// NewAppender returns the Appender of a file, and what the file begins with. Text is not for it.
func (f Format) NewAppender(name string) (a *Appender, head []byte) {
	a = &Appender{format: f}
	if f == Sequence {
		head = a.seq.begin(nil, name)
	}
	return a, head
}

// Append adds a record, with its end. A nil key or value is left out where the format can.
func (a *Appender) Append(b, key, value []byte) []byte {
	switch a.format {
	case Sequence:
		return a.seq.record(b, key, value)
	case CSV:
		b = appendCSV(b, key)
		if key != nil && value != nil {
			b = append(b, ',')
		}
		return append(appendCSV(b, value), '\n')
	}
	b = append(b, '{')
	b = appendJSON(b, "key", key)
	if key != nil && value != nil {
		b = append(b, ',')
	}
	return append(appendJSON(b, "value", value), '}', '\n')
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
