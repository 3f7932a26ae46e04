package format

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"strconv"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
)

// LinesPerMap is the parameter that says how many lines a map reads of the format NLine, named as in Hadoop.
const LinesPerMap = "mapreduce.input.lineinputformat.linespermap"

// number describes the number that a format is told by a parameter of the job.
type number struct {
	param    string // "": the format is told none
	fallback int    // without the parameter; 0: it is required
	most     int
}

func (f Format) number() number {
	switch f {
	case NLine:
		return number{LinesPerMap, 1, 1 << 30}
	case FixedLength:
		return number{RecordLength, 0, maxFixed}
	}
	return number{}
}

// Number returns what the job says by the format's parameter, 1 or more: of NLine how many lines a map reads, of
// FixedLength how many bytes a record has. It is 0 for formats without one. It fails with errs.Invalid.
func (f Format) Number(set functions.Params) (int, error) {
	number := f.number()
	text, given := set[number.param]
	switch {
	case number.param == "":
		return 0, nil
	case !given && number.fallback > 0:
		return number.fallback, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > number.most {
		return 0, errs.Errorf("format.Number", errs.Invalid, nil,
			"the format %s needs --set %s=N, a number from 1 to %d; it is %q", string(f), number.param, number.most, text)
	}
	return n, nil
}

// Others returns the parameters of set without the format's own.
func (f Format) Others(set functions.Params) functions.Params {
	others := maps.Clone(set)
	delete(others, f.number().param)
	switch f {
	case Parquet:
		delete(others, ParquetColumns)
		delete(others, ParquetSchema)
	case CSV:
		delete(others, CSVDelimiter)
		delete(others, CSVHeader)
	}
	return others
}

// SkipLines reads up to n lines and returns how many bytes they have with their ends: 0 at the end of the file. Lines
// may have any length, none is kept.
func SkipLines(in *bufio.Reader, n int) (bytes int64, err error) {
	for n > 0 {
		part, err := in.ReadSlice('\n')
		bytes += int64(len(part))
		switch {
		case err == nil:
			n--
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return bytes, nil
		default:
			return bytes, err
		}
	}
	return bytes, nil
}

// CheckParams fails with errs.Invalid if a parameter of the format, as it is read, is not understood.
func (f Format) CheckParams(set functions.Params) error {
	if f == CSV {
		_, _, err := csvParams(set)
		return err
	}
	_, err := f.Number(set)
	return err
}
