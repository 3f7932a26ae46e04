package format

import (
	"context"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/parquetfile"
	"github.com/seed3322913c/runner/mapreduce/codec"
	"github.com/seed3322913c/runner/mapreduce/rows"
	"github.com/seed3322913c/runner/mapreduce/text"
)

// The parameters of Parquet.
const (
	ParquetColumns = "parquet.columns" // what is read: names with commas between them; all if it is not there
	ParquetSchema  = "parquet.schema"  // what is written: see rows.ParseSchema; key and value if it is not there
)

// parquet opens the row groups that begin in a piece.
func (s Source) parquet(ctx context.Context, p text.Piece) (*rows.Reader, error) {
	if p.Length == text.ToEnd {
		return nil, errs.Errorf("format.Parquet", errs.Unsupported, nil,
			"a Parquet file cannot be compressed as a whole; its columns are")
	}
	f, err := parquetfile.Open(parquetfile.Ranges(func(offset, length int64) (io.ReadCloser, error) {
		return s.Open(ctx, text.Piece{Name: p.Name, Offset: offset, Length: length}, offset)
	}), s.Size(p.Name))
	if err != nil {
		return nil, err
	}
	var columns []string
	if names := s.Set[ParquetColumns]; names != "" {
		columns = strings.Split(names, ",")
		for i := range columns {
			columns[i] = strings.TrimSpace(columns[i])
		}
	}
	return rows.NewReader(f, columns, p.Offset, p.Offset+p.Length)
}

// rowRecords makes records of rows.
func rowRecords(in *rows.Reader) records {
	return func() (functions.Record, error) {
		row, err := in.Next()
		return functions.Record{Value: row}, err
	}
}

// parquetAppender writes a Parquet file. Without a schema its columns are key and value.
type parquetAppender struct {
	out    *rows.Writer
	fields bool // the columns are key and value
	to     []byte
}

func newParquetAppender(o Output) (*parquetAppender, error) {
	value := "string"
	if o.Int64s {
		value = "int64"
	}
	schema, err := rows.ParseSchema("key string, value " + value)
	text, given := o.Set[ParquetSchema]
	if given {
		schema, err = rows.ParseSchema(text)
	}
	if err != nil {
		return nil, err
	}
	c, err := parquetCodec(o.Compress)
	if err != nil {
		return nil, err
	}
	a := &parquetAppender{fields: !given}
	a.out = rows.NewWriter(a, schema, c)
	return a, nil
}

// parquetCodec returns the codec of pages.
func parquetCodec(c codec.Codec) (compress.Codec, error) {
	switch c {
	case codec.None, codec.Snappy:
		return &parquet.Snappy, nil
	case codec.Gzip:
		return &parquet.Gzip, nil
	case codec.Zstd:
		return &parquet.Zstd, nil
	case codec.LZ4:
		return &parquet.Lz4Raw, nil
	}
	return nil, errs.Errorf("format.Parquet", errs.Invalid, nil, "Parquet is not compressed by %s; say %s, %s, %s or %s",
		c, codec.Snappy, codec.Zstd, codec.Gzip, codec.LZ4)
}

// Write takes bytes of the file.
func (a *parquetAppender) Write(b []byte) (int, error) {
	a.to = append(a.to, b...)
	return len(b), nil
}

// Append implements Appender. With a schema the value is the row, and there is no place for a key.
func (a *parquetAppender) Append(b, key, value []byte) ([]byte, error) {
	a.to = b
	if a.fields {
		err := a.out.WriteFields(key, value)
		return a.to, err
	}
	if len(value) == 0 { // what programs put out without a TAB is a key
		value = key
	}
	err := a.out.Write(value)
	return a.to, err
}

// End implements Appender.
func (a *parquetAppender) End(b []byte) ([]byte, error) {
	a.to = b
	err := a.out.Close()
	return a.to, err
}
