// Package parquetfile opens Parquet files for the parquet-go library, which believes what a file says of its own sizes:
// one wrong byte in a length, and it asks the machine for gigabytes. Here every length is compared with the bytes that
// there are before the library sees it.
//
//	f, err := parquetfile.Open(parquetfile.Ranges(open), size)
//	if err != nil { return err }                  // errs.Corrupt, or what open failed with
//	...
//	func read(f *parquet.File) (err error) {
//		defer parquetfile.Recover(&err)           // the library panics where it did not expect a value
//
// What is compared, and with what:
//
//	| "PAR1" | page header | page | page header | page | ... | footer | length 4B | "PAR1" |
//	           ▲             ▲                                 ▲
//	           │             a snappy or lz4 page: the length inside
//	           sizes and counts: the column chunk, MaxPage,    lists, texts: bytes left; columns: schema;
//	           MaxValues; looked at as the library reads       chunks: the file, each other
//
// The footer is looked at when the file is opened, page headers while the library reads over them. Files that are
// encrypted are not for this package.
package parquetfile

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/seed3322913c/runner/infra/errs"
)

// Limits that no sensible writer comes near: pages have a megabyte, and some ten thousand values.
const (
	MaxFooter = 256 << 20 // bytes
	MaxPage   = 256 << 20 // bytes of a page, decompressed
	MaxValues = 16 << 20  // of a page
)

// readAhead is how much of a column is read at a time, in bytes.
const readAhead = 1 << 20

// Open opens a file of size bytes, which must not change. An error is of kind Corrupt if the file is damaged or no
// Parquet file, and what r failed with if reading failed. Open ignores indexes and filters, which speed up searches.
//
// The result reads from r, in the goroutines that read from it, until it is forgotten.
func Open(r io.ReaderAt, size int64) (f *parquet.File, err error) {
	defer Recover(&err)
	if err := checkFooterOf(r, size); err != nil {
		return nil, Damaged(err)
	}
	pages := &pages{r: r}
	f, err = parquet.OpenFile(pages, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true),
		parquet.ReadBufferSize(readAhead))
	if err != nil {
		return nil, Damaged(err)
	}
	if pages.chunks, err = chunksOf(f, size); err != nil {
		return nil, err
	}
	return f, nil
}

// Damaged gives an error of the library its kind: Corrupt, unless reading has failed for a reason of its own.
func Damaged(err error) error {
	if err == nil || errs.KindOf(err) != errs.Other {
		return err
	}
	return errs.Errorf("parquetfile.Read", errs.Corrupt, nil, "not a Parquet file, or damaged: %w", err)
}

// Recover, deferred, makes an error of a panic of the library.
func Recover(err *error) {
	if r := recover(); r != nil {
		*err = Damaged(fmt.Errorf("%v", r))
	}
}

// Ranges makes an io.ReaderAt of what opens length bytes of a file at an offset.
func Ranges(open func(offset, length int64) (io.ReadCloser, error)) io.ReaderAt { return ranges(open) }

type ranges func(offset, length int64) (io.ReadCloser, error)

// ReadAt implements io.ReaderAt.
func (open ranges) ReadAt(b []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, damagedf("a place %d before the file", -offset)
	}
	in, err := open(offset, int64(len(b)))
	if err != nil {
		return 0, err
	}
	defer in.Close()
	n, err := io.ReadFull(in, b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

func damagedf(format string, args ...any) error {
	return errs.Errorf("parquetfile.Check", errs.Corrupt, nil, format, args...)
}
