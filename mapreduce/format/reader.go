package format

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/text"
)

const (
	runSize = 256 << 10 // bytes of a run, about
	maxFile = 1 << 30   // bytes of a file that is one record
)

// records yields the records of one file, whose bytes are valid until the next call. The end is io.EOF.
type records func() (functions.Record, error)

// Source is where a Reader finds its files.
type Source struct {
	Open text.Opener
	Size func(name string) int64 // bytes of a file
	Set  functions.Params        // of the job: some formats have parameters
}

// Reader yields the records of files, in runs: of whole files, or of pieces of Parquet files. It is used by one
// goroutine.
type Reader struct {
	format Format
	from   Source
	pieces []text.Piece // the current one, if src is set, and those after it
	done   int64        // bytes of the files before

	src  io.Closer // nil before the current file is opened
	in   *counted
	next records
	run  []byte
	name string
	n    int64 // records of the current file that were handed out before the last run
	held int64 // and in it
}

// NewReader returns a Reader of pieces of files, each of them whole but for Parquet.
func NewReader(f Format, from Source, pieces []text.Piece) *Reader {
	return &Reader{format: f, from: from, pieces: pieces}
}

// Batch returns the next run of records of one file, valid until the next call. At the end it returns io.EOF.
func (r *Reader) Batch(ctx context.Context) ([]byte, error) {
	for len(r.pieces) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		run, err := r.batch(ctx)
		if err != nil {
			return nil, errs.E("format.Read", errs.Other, r.pieces[0].Name, err)
		}
		if len(run) > 0 {
			return run, nil
		}
		r.pieces = r.pieces[1:]
	}
	return nil, io.EOF
}

// batch returns a run of the current file, or none at its end.
func (r *Reader) batch(ctx context.Context) ([]byte, error) {
	if r.src == nil {
		if err := r.begin(ctx); err != nil {
			return nil, err
		}
	}
	r.n, r.held, r.run = r.n+r.held, 0, r.run[:0]
	for len(r.run) < runSize {
		rec, err := r.next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		r.run = appendRecord(r.run, rec)
		r.held++
	}
	if len(r.run) > 0 {
		return r.run, nil
	}
	if _, err := io.Copy(io.Discard, r.in); err != nil { // so that the whole file was read
		return nil, err
	}
	r.done += r.in.n + r.in.atEnd
	return nil, r.closeFile()
}

// begin opens the current file.
func (r *Reader) begin(ctx context.Context) error {
	p := r.pieces[0]
	r.name, r.n, r.held = p.Name, 0, 0
	if r.format == Parquet {
		in, err := r.from.parquet(ctx, p)
		if err != nil {
			return err
		}
		// What is read of which column when is the library's affair: the piece counts as read at its end.
		r.in, r.src, r.n, r.next = &counted{Reader: eof{}, atEnd: p.Length}, in, in.First(), rowRecords(in)
		return nil
	}
	src, err := r.from.Open(ctx, p, 0)
	if err != nil {
		return err
	}
	r.src, r.in = src, &counted{Reader: src}
	r.next, err = r.format.records(r.name, bufio.NewReaderSize(r.in, 256<<10), r.from.Set)
	return err
}

func (r *Reader) closeFile() error {
	src := r.src
	r.src, r.in = nil, nil
	if src == nil {
		return nil
	}
	return src.Close()
}

// Position tells the file of the last run, and how many of its records came before.
func (r *Reader) Position() (name string, record int64) { return r.name, r.n }

// Done returns how many bytes were read.
func (r *Reader) Done() int64 {
	if r.in != nil {
		return r.done + r.in.n
	}
	return r.done
}

// Close closes the file that is open. It may be called again.
func (r *Reader) Close() error {
	r.pieces = nil
	return r.closeFile()
}

// counted counts what is read.
type counted struct {
	io.Reader
	n     int64
	atEnd int64 // bytes that count as read when all records were
}

// eof is an empty file.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// records returns what reads the records of a file.
func (f Format) records(name string, in *bufio.Reader, set functions.Params) (records, error) {
	switch f {
	case WholeFile:
		return wholeFile(name, in), nil
	case CSV:
		return csvRows(in, set)
	case Sequence:
		return readSequence(in)
	}
	return nil, errs.Errorf("format.Read", errs.Internal, nil, "%q is no format of whole files", f)
}

func wholeFile(name string, in io.Reader) records {
	done := false
	return func() (functions.Record, error) {
		if done {
			return functions.Record{}, io.EOF
		}
		done = true
		b, err := io.ReadAll(io.LimitReader(in, maxFile+1))
		if err == nil && len(b) > maxFile {
			err = errs.Errorf("", errs.Exhausted, nil, "the file is longer than %d bytes, too much for one record", maxFile)
		}
		return functions.Record{Key: []byte(name), Value: b}, err
	}
}

func csvRows(in io.Reader, set functions.Params) (records, error) {
	rows := csv.NewReader(in)
	rows.FieldsPerRecord, rows.ReuseRecord = -1, true
	var header bool
	var err error
	if rows.Comma, header, err = csvParams(set); err != nil {
		return nil, err
	}
	var buf []byte
	return func() (functions.Record, error) {
		fields, err := rows.Read()
		if header && err == nil {
			header = false
			fields, err = rows.Read()
		}
		if err != nil {
			var bad *csv.ParseError
			if errors.As(err, &bad) {
				err = errs.Errorf("", errs.Failed, nil, "not CSV: %v", err)
			}
			return functions.Record{}, err
		}
		buf = AppendFields(buf[:0], fields)
		return functions.Record{Value: buf}, nil
	}, nil
}

// The parameters of CSV.
const (
	CSVDelimiter = "csv.delimiter" // one character between fields, instead of a comma
	CSVHeader    = "csv.header"    // "true": the first row of each file is no record
)

// csvParams reads the parameters of CSV, and fails with errs.Invalid.
func csvParams(set functions.Params) (comma rune, header bool, err error) {
	comma = ','
	if text, ok := set[CSVDelimiter]; ok {
		c, size := utf8.DecodeRuneInString(text)
		if size == 0 || size != len(text) || c == utf8.RuneError || strings.ContainsRune("\"\r\n", c) {
			return 0, false, errs.Errorf("format.CSV", errs.Invalid, nil, "%s is %q; say one character", CSVDelimiter, text)
		}
		comma = c
	}
	switch text := set[CSVHeader]; text {
	case "", "false":
	case "true":
		header = true
	default:
		return 0, false, errs.Errorf("format.CSV", errs.Invalid, nil, "%s is %q; say true or false", CSVHeader, text)
	}
	return comma, header, nil
}

// AppendFields joins the fields of a row with TABs. In a field \t, \n, \r and \\ stand for TAB, the ends of lines and
// the backslash.
func AppendFields(b []byte, fields []string) []byte {
	for i, f := range fields {
		if i > 0 {
			b = append(b, '\t')
		}
		for j := range len(f) {
			switch c := f[j]; c {
			case '\t':
				b = append(b, `\t`...)
			case '\n':
				b = append(b, `\n`...)
			case '\r':
				b = append(b, `\r`...)
			case '\\':
				b = append(b, `\\`...)
			default:
				b = append(b, c)
			}
		}
	}
	return b
}
