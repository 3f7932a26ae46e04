package rows

import (
	"bytes"
	"encoding/json"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/nearest"
)

// groupSize is how many bytes of rows make a row group, about: it is kept in memory, compressed, until it is written.
const groupSize = 32 << 20

// Writer writes one file. It is used by one goroutine.
type Writer struct {
	schema Schema
	out    *parquet.GenericWriter[any]
	row    parquet.Row
	size   int // bytes of rows since the last row group
}

// NewWriter returns a Writer to out.
func NewWriter(out io.Writer, s Schema, codec compress.Codec) *Writer {
	w := parquet.NewGenericWriter[any](out, s.parquet(), parquet.Compression(codec), parquet.CreatedBy("runner", "1", ""))
	return &Writer{schema: s, out: w, row: make(parquet.Row, len(s))}
}

// Write adds a row, a JSON object with members that are columns. A column that it lacks has no value in the row. It
// fails with errs.Failed if it is no such object.
func (w *Writer) Write(object []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil || members == nil {
		return describe("row: it should be a JSON object", string(object))
	}
	known := 0
	for i, c := range w.schema {
		text, ok := members[c.Name]
		if ok {
			known++
		}
		v, err := c.parse(text)
		if err != nil {
			return errs.E("rows.Write", errs.Failed, "column "+c.Name, err)
		}
		w.set(i, v)
	}
	if known < len(members) {
		return w.stranger(members)
	}
	return w.end(len(object))
}

// WriteFields adds a row of texts, one for each column; nil is none.
func (w *Writer) WriteFields(fields ...[]byte) error {
	size := 0
	for i, f := range fields {
		size += len(f)
		v := parquet.NullValue()
		switch {
		case f == nil:
		case w.schema[i].Type == "string":
			v = parquet.ByteArrayValue(f)
		default:
			var err error
			if v, err = w.schema[i].parse(f); err != nil {
				return errs.E("rows.Write", errs.Failed, "column "+w.schema[i].Name, err)
			}
		}
		w.set(i, v)
	}
	return w.end(size)
}

// set puts a value into the row.
func (w *Writer) set(i int, v parquet.Value) {
	level := 1
	if v.IsNull() {
		level = 0
	}
	w.row[i] = v.Level(0, level, i)
}

// end ends a row, and a row group now and then.
func (w *Writer) end(size int) error {
	if _, err := w.out.WriteRows([]parquet.Row{w.row}); err != nil {
		return err
	}
	if w.size += size; w.size < groupSize {
		return nil
	}
	w.size = 0
	return w.out.Flush()
}

// Close writes what is left and the footer. A file without rows is a file, too.
func (w *Writer) Close() error { return w.out.Close() }

// stranger says which member is no column.
func (w *Writer) stranger(members map[string]json.RawMessage) error {
	var names []string
	for _, c := range w.schema {
		names = append(names, c.Name)
		delete(members, c.Name)
	}
	for name := range members {
		return errs.Errorf("rows.Write", errs.Failed, nil, "the schema has no column %q%s", name, nearest.Hint(name, names))
	}
	return nil
}

// parse makes a value of JSON.
func (c Column) parse(text []byte) (v parquet.Value, err error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || string(text) == "null" {
		return parquet.NullValue(), nil
	}
	ok := false
	switch c.Type {
	case "json":
		return parquet.ByteArrayValue(text), nil
	case "binary":
		var b []byte
		ok = json.Unmarshal(text, &b) == nil
		v = parquet.ByteArrayValue(b)
	case "string", "date", "timestamp":
		var s string
		if ok = json.Unmarshal(text, &s) == nil; ok {
			v, ok = c.parseString(s)
		}
	case "decimal":
		v, ok = c.parseDecimal(strings.Trim(string(text), `"`))
	default:
		v, ok = c.parseNumber(strings.Trim(string(text), `"`))
	}
	if !ok {
		return v, describe(c.Type, string(text))
	}
	return v, nil
}

func (c Column) parseString(s string) (parquet.Value, bool) {
	switch c.Type {
	case "date":
		t, err := time.Parse(dateLayout, s)
		return parquet.Int32Value(int32(t.Unix() / daySeconds)), err == nil
	case "timestamp":
		t, err := time.Parse(time.RFC3339Nano, s)
		return parquet.Int64Value(t.UnixMicro()), err == nil
	}
	return parquet.ByteArrayValue([]byte(s)), true
}

func (c Column) parseNumber(text string) (v parquet.Value, ok bool) {
	var err error
	switch c.Type {
	case "boolean":
		return parquet.BooleanValue(text == "true"), text == "true" || text == "false"
	case "int32":
		var n int64
		n, err = strconv.ParseInt(text, 10, 32)
		v = parquet.Int32Value(int32(n))
	case "int64":
		var n int64
		n, err = strconv.ParseInt(text, 10, 64)
		v = parquet.Int64Value(n)
	case "float":
		var f float64
		f, err = strconv.ParseFloat(text, 32)
		v = parquet.FloatValue(float32(f))
	default:
		var f float64
		f, err = strconv.ParseFloat(text, 64)
		v = parquet.DoubleValue(f)
	}
	return v, err == nil
}

// parseDecimal refuses numbers with more digits than the column has, rather than round them.
func (c Column) parseDecimal(text string) (parquet.Value, bool) {
	if len(text) > 100 || strings.ContainsAny(text, "eE/") { // an exponent can ask for a million digits
		return parquet.Value{}, false
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return parquet.Value{}, false
	}
	pow := func(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }
	r.Mul(r, new(big.Rat).SetInt(pow(c.scale)))
	if !r.IsInt() || r.Num().CmpAbs(pow(c.precision)) >= 0 {
		return parquet.Value{}, false
	}
	return parquet.Int64Value(r.Num().Int64()), true
}
