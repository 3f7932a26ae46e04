package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/parquetfile"
	"github.com/seed3322913c/runner/infra/store"
)

// parquetRows is how many rows of a Parquet file are read at a time.
const parquetRows = 8192

// parquet loads the row groups that a piece owns: those whose first byte is in it.
func (l *loader[T]) parquet(ctx context.Context, p guagua.Piece) (err error) {
	defer parquetfile.Recover(&err)
	f, err := parquetfile.Open(parquetfile.Ranges(func(offset, length int64) (io.ReadCloser, error) {
		return l.env.Open(ctx, p.URI, store.Range{Offset: offset, Length: length})
	}), p.Size)
	if err != nil {
		return errs.E(op, errs.Other, p.URI, err)
	}
	label, err := l.columns(p.URI, f.Schema().Columns())
	if err != nil {
		return err
	}
	row := int64(0)
	for i, group := range f.RowGroups() {
		first := f.Metadata().RowGroups[i].Columns[0].MetaData.DataPageOffset
		if first >= p.Offset && first < p.Offset+p.Length {
			if err := l.rowGroup(ctx, p, group, label, row); err != nil {
				return err
			}
		}
		row += group.NumRows()
	}
	return nil
}

// columns checks a file's columns and returns which is the label.
func (l *loader[T]) columns(file string, paths [][]string) (int, error) {
	names := make([][]byte, len(paths))
	for i, path := range paths {
		if len(path) > 1 {
			return 0, errs.Errorf(op, errs.Unsupported, file, "column %s is nested", strings.Join(path, "."))
		}
		names[i] = []byte(path[0])
	}
	if l.fields == 0 {
		l.fields = len(paths)
	}
	if len(paths) != l.fields {
		return 0, errs.Errorf(op, errs.Invalid, file, "%d columns; the files before have %d", len(paths), l.fields)
	}
	named := *l
	named.o.Header = true // a Parquet file always has names
	return named.labelColumn(file, names)
}

// rowGroup loads one row group, some thousand rows at a time.
func (l *loader[T]) rowGroup(ctx context.Context, p guagua.Piece, group parquet.RowGroup, label int, row int64) error {
	var columns []*column
	defer func() {
		for _, c := range columns {
			c.pages.Close() //nolint:errcheck // it was only read
		}
	}()
	for _, chunk := range group.ColumnChunks() {
		columns = append(columns, &column{pages: chunk.Pages()})
	}
	for left := group.NumRows(); left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := int(min(left, parquetRows))
		b, bad, err := l.batch(columns, label, n)
		if err != nil {
			return errs.E(op, errs.Other, p.URI, parquetfile.Damaged(err))
		}
		for _, one := range bad {
			number := func() (int64, error) { return row + one.line + 1, nil }
			if err := l.bad.add(p.URI, number, one.why); err != nil {
				return err
			}
		}
		if err := l.build.add(b); err != nil {
			return err
		}
		left, row = left-int64(n), row+int64(n)
	}
	return nil
}

// batch reads n rows out of all columns.
func (l *loader[T]) batch(columns []*column, label, n int) (b Block[T], bad []badRow, err error) {
	b = Block[T]{Rows: n, Columns: len(columns)}
	if label >= 0 {
		b.Columns--
		b.Y = make([]float64, n)
	}
	b.X = make([]T, n*b.Columns)
	why := make([]error, n)
	values := make([]parquet.Value, n)
	feature := 0
	for i, c := range columns {
		if err := c.read(values); err != nil {
			return b, nil, err
		}
		for k, v := range values {
			var err error
			if i == label {
				b.Y[k], err = l.labelValue(v)
			} else {
				var x float64
				x, err = plain(v)
				b.X[k*b.Columns+feature] = T(x / l.o.Scale)
			}
			if err != nil && why[k] == nil {
				why[k] = fmt.Errorf("column %d: %w", i+1, err)
			}
		}
		if i != label {
			feature++
		}
	}
	return b, b.leaveOut(why), nil
}

// leaveOut removes the rows that something is wrong with.
func (b *Block[T]) leaveOut(why []error) (bad []badRow) {
	kept := 0
	for k, err := range why {
		if err != nil {
			bad = append(bad, badRow{int64(k), err.Error()})
			continue
		}
		if kept < k {
			copy(b.X[kept*b.Columns:(kept+1)*b.Columns], b.X[k*b.Columns:])
			if b.Y != nil {
				b.Y[kept] = b.Y[k]
			}
		}
		kept++
	}
	*b = b.Slice(0, kept)
	return bad
}

// labelValue makes a number of a label.
func (l *loader[T]) labelValue(v parquet.Value) (float64, error) {
	if k := v.Kind(); k == parquet.ByteArray || k == parquet.FixedLenByteArray {
		return l.o.Labels.text(v.ByteArray())
	}
	x, err := plain(v)
	if err != nil {
		return 0, err
	}
	if l.o.Labels.classes != nil {
		return l.o.Labels.text(fmt.Append(nil, x))
	}
	return l.o.Labels.value(x)
}

// plain returns a value's number.
func plain(v parquet.Value) (x float64, err error) {
	switch {
	case v.IsNull():
		return 0, errors.New("nothing is there")
	case v.Kind() == parquet.Double:
		x = v.Double()
	case v.Kind() == parquet.Float:
		x = float64(v.Float())
	case v.Kind() == parquet.Int32:
		x = float64(v.Int32())
	case v.Kind() == parquet.Int64:
		x = float64(v.Int64())
	case v.Kind() == parquet.Boolean:
		if v.Boolean() {
			x = 1
		}
	default:
		return 0, fmt.Errorf("a value of type %v is not a number", v.Kind())
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0, fmt.Errorf("%v is not finite", x)
	}
	return x, nil
}

// column reads the values of a column chunk, page by page.
type column struct {
	pages  parquet.Pages
	values parquet.ValueReader
}

// read fills out.
func (c *column) read(out []parquet.Value) error {
	for len(out) > 0 {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if err != nil {
				return err
			}
			c.values = page.Values()
		}
		n, err := c.values.ReadValues(out)
		out = out[n:]
		if errors.Is(err, io.EOF) {
			c.values = nil
		} else if err != nil {
			return err
		}
	}
	return nil
}
