// Package format turns files into records and records into files, for all forms but plain text.
//
//	name         key                          value
//	key-value    the line up to its TAB       what follows
//	json-lines   none                         the line, which must be JSON; blank lines are left out
//	csv          none                         the fields, with TAB between them (see AppendFields)
//	nline        none                         the line; maps read the same number of lines
//	fixed-length none                         the record's bytes
//	whole-file   the file's URI               all bytes of the file
//	parquet      none                         a row, as a JSON object (package rows)
//	sequence     the key of a SequenceFile    its value
//
// In key-value, json-lines and nline a record is a line, so that files can be cut, and so can they between
// records of fixed length, which package fixed reads, and between the row groups of Parquet. Files of the others are
// read whole. What is not made of lines is read by a Reader, which hands records over in runs, each of which is cut
// again by Cut:
//
//	| length of key uvarint | length of value uvarint | key | value |   repeated
package format

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"slices"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
)

// Format is a form of files. The zero Format is plain text.
type Format string

// The formats.
const (
	Text        Format = ""
	KeyValue    Format = "key-value"
	JSONLines   Format = "json-lines"
	NLine       Format = "nline"
	FixedLength Format = "fixed-length"
	CSV         Format = "csv"
	WholeFile   Format = "whole-file"
	Parquet     Format = "parquet"
	Sequence    Format = "sequence"
)

// Inputs are the formats that can be read, without Text.
func Inputs() []Format {
	return []Format{KeyValue, JSONLines, NLine, FixedLength, Parquet, CSV, WholeFile, Sequence}
}

// Outputs are the formats that can be written, without Text.
func Outputs() []Format { return []Format{JSONLines, CSV, Sequence, Parquet} }

// Check fails with errs.Invalid unless f is Text or among known. Key is what people call it.
func (f Format) Check(key string, known []Format) error {
	if f == Text || slices.Contains(known, f) {
		return nil
	}
	return errs.Errorf("format.Check", errs.Invalid, nil, "there is no %s %q; say one of %v", key, string(f), known)
}

// Lines reports whether a record is a line, so that files may be cut between lines.
func (f Format) Lines() bool { return f == Text || f == KeyValue || f == JSONLines || f == NLine }

// Divisible reports whether maps may share a file that is not compressed.
func (f Format) Divisible() bool { return f.Lines() || f == FixedLength || f == Parquet }

// Line makes a record of a line; ok is false if there is none in it. It is only for formats of lines.
func (f Format) Line(line []byte) (r functions.Record, ok bool, err error) {
	switch f {
	case KeyValue:
		key, value, _ := bytes.Cut(line, []byte{'\t'})
		return functions.Record{Key: key, Value: value}, true, nil
	case JSONLines:
		if len(bytes.TrimSpace(line)) == 0 {
			return r, false, nil
		}
		if !json.Valid(line) {
			return r, false, errs.Errorf("format.Line", errs.Failed, nil, "%.60q is not JSON", line)
		}
	}
	return functions.Record{Value: line}, true, nil
}

// appendRecord adds a record to a run.
func appendRecord(run []byte, r functions.Record) []byte {
	run = binary.AppendUvarint(run, uint64(len(r.Key)))
	run = binary.AppendUvarint(run, uint64(len(r.Value)))
	return append(append(run, r.Key...), r.Value...)
}

// Cut takes the first record off a run of a Reader. An empty key is none.
func Cut(run []byte) (r functions.Record, rest []byte, err error) {
	key, n := binary.Uvarint(run)
	value, m := binary.Uvarint(run[max(n, 0):])
	if n <= 0 || m <= 0 || key > uint64(len(run)) || value > uint64(len(run)) || key+value > uint64(len(run)-n-m) {
		return r, nil, errs.Errorf("format.Cut", errs.Corrupt, nil, "a run of %d bytes is damaged", len(run))
	}
	run = run[n+m:]
	if key > 0 {
		r.Key = run[:key]
	}
	r.Value = run[key : key+value]
	return r, run[key+value:], nil
}
