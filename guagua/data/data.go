// Package data reads tables of numbers for training: CSV and TSV, libsvm, Parquet, also compressed.
//
// A worker loads its split once into a Table and then goes over it in every iteration, by several goroutines, in a
// fixed division of the rows, so that sums over them do not depend on how many goroutines there are.
//
//	pieces ──▶ text, 4 MiB of whole lines ──▶ parsers ──▶ blocks of rows ──▶ Table: memory, or a file that is
//	           one reader                     one per thread                  mapped, or read again in every pass
//
// In text one line is one record. A piece owns the lines that begin in it. Compressed files and those whose format says
// so are read whole, by one worker.
//
//	CSV, TSV   5.1,3.5,1.4     one number a column; the label is in the first column unless told otherwise
//	libsvm     1 3:0.5 17:2    label, then index:value in ascending order of index, from 1; kept sparse
//	Parquet                    columns of numbers or booleans; the label may be text
//
// Fields may be in double quotes, but a line ends where it ends. An empty field, text where a number should be, NaN,
// infinity, too few or too many fields make a bad row, which is told with its file and line.
package data

import (
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
)

const op = "guagua.Load"

// Format is how a file is laid out.
type Format string

// The formats.
const (
	Auto    Format = "auto" // by the file's name: .tsv, .libsvm, .svm, .parquet, else CSV
	CSV     Format = "csv"
	TSV     Format = "tsv"
	LibSVM  Format = "libsvm"
	Parquet Format = "parquet"
)

// Keep says where rows are kept.
type Keep string

// The places.
const (
	KeepAuto   Keep = "auto"   // in memory as long as there is room, then in a file
	KeepMemory Keep = "memory" // in memory, or the worker fails
	KeepMapped Keep = "mmap"   // in a file that is mapped into memory: the system decides what stays there
	KeepFile   Keep = "spill"  // in a file that is read again in every pass
)

// Options say how to read a table.
type Options struct {
	Format    Format
	Delimiter byte    // 0: a comma for CSV, a TAB for TSV
	Header    bool    // the first line of each file has the names of the columns
	Label     string  // a column's name, or its number from 1; "none" for none
	Scale     float64 // features are divided by this
	Bad       BadRows
	Keep      Keep
	Labels    Labels // how labels become numbers
}

// BadRows says what to do with rows that can't be used.
type BadRows struct {
	Most int // how many a worker may leave out; one more fails
}

// anyNumber of bad rows.
const anyNumber = math.MaxInt

// ReadOptions reads the parameters of tables: format, delimiter, header, label, scale, bad-rows, keep. label is what
// the label's column is when nothing is said.
func ReadOptions(r *guagua.Reader, label string) Options {
	o := Options{
		Format: Format(r.OneOf("format", string(Auto), string(CSV), string(TSV), string(LibSVM), string(Parquet))),
		Header: r.Bool("header", false),
		Label:  r.String("label", label),
		Scale:  r.Float("scale", 1, -math.MaxFloat64, math.MaxFloat64),
		Keep:   Keep(r.OneOf("keep", string(KeepAuto), string(KeepMemory), string(KeepMapped), string(KeepFile))),
	}
	r.Check(o.Scale != 0, "scale=0: nothing can be divided by it")
	switch d := r.String("delimiter", ""); {
	case d == "tab" || d == `\t`:
		o.Delimiter = '\t'
	case d == "space":
		o.Delimiter = ' '
	case len(d) == 1 && !strings.ContainsAny(d, "\"\r\n.+-0123456789eE"):
		o.Delimiter = d[0]
	default:
		r.Check(d == "", "delimiter=%s: must be one character that is not part of a number, or tab, or space", d)
	}
	switch bad := r.String("bad-rows", "fail"); {
	case bad == "fail":
	case bad == "skip":
		o.Bad.Most = anyNumber
	default:
		most, err := strconv.Atoi(strings.TrimPrefix(bad, "max:"))
		r.Check(err == nil && most >= 0 && strings.HasPrefix(bad, "max:"), "bad-rows=%s: must be fail, skip or max:N", bad)
		o.Bad.Most = most
	}
	return o
}

// FormatOf returns the format of a file and how it is compressed: "", "gzip" or "zstd".
func (o *Options) FormatOf(uri string) (Format, string) {
	name, compression := uri, ""
	switch path.Ext(name) {
	case ".gz":
		compression = "gzip"
	case ".zst", ".zstd":
		compression = "zstd"
	}
	if compression != "" {
		name = strings.TrimSuffix(name, path.Ext(name))
	}
	if o.Format != Auto {
		return o.Format, compression
	}
	switch path.Ext(name) {
	case ".tsv", ".tab":
		return TSV, compression
	case ".libsvm", ".svm":
		return LibSVM, compression
	case ".parquet":
		return Parquet, compression
	}
	return CSV, compression
}

// Splittable reports whether a file may be read in several pieces.
func (o *Options) Splittable(uri string) bool {
	_, compression := o.FormatOf(uri)
	return compression == ""
}

// badRow is a row that can't be used.
type badRow struct {
	line int64 // from 0, counted from where the counting began
	why  string
}

// complaints gathers the bad rows of a worker.
type complaints struct {
	policy BadRows
	logf   func(format string, args ...any)
	count  int
}

// told is how many bad rows are described in the log.
const told = 10

// add takes a bad row. Its number in the file, from 1, is asked for only if somebody will read it.
func (c *complaints) add(file string, number func() (int64, error), why string) error {
	if c.count++; c.count <= c.policy.Most && c.count > told {
		return nil
	}
	line, err := number()
	if err != nil {
		return err
	}
	if c.count > c.policy.Most {
		err := errs.Errorf(op, errs.Invalid, fmt.Sprintf("%s line %d", file, line), "%s", why)
		if c.policy.Most > 0 {
			err = errs.Errorf(op, errs.Invalid, nil, "more than %d bad rows, the last one: %w", c.policy.Most, err)
		}
		return err
	}
	c.logf("left out: %s line %d: %s", file, line, why)
	return nil
}
