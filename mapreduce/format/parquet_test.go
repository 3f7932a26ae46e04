package format

import (
	"context"
	"io"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/codec"
	"github.com/seed3322913c/runner/mapreduce/text"
)

// parquetOf writes a Parquet file of values.
func parquetOf(t *testing.T, o Output, values ...string) string {
	t.Helper()
	a, b, err := Parquet.NewAppender(o)
	for _, v := range values {
		if err == nil {
			b, err = a.Append(b, nil, []byte(v))
		}
	}
	if err == nil {
		b, err = a.End(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParquet(t *testing.T) {
	schema := functions.Params{ParquetSchema: "word string, n int64"}
	some := parquetOf(t, Output{Set: schema, Compress: codec.Gzip}, `{"n":1,"word":"a"}`, `{"word":"b"}`)
	none := parquetOf(t, Output{Set: schema})
	if got, err := read(Parquet, some, none, some); err != nil ||
		got != `={"word":"a","n":1};={"word":"b","n":null};={"word":"a","n":1};={"word":"b","n":null};` {
		t.Error(got, err)
	}
	if got, err := readSet(functions.Params{ParquetColumns: "n, word"}, Parquet, some); err != nil ||
		got != `={"word":"a","n":1};={"word":"b","n":null};` {
		t.Error(got, err)
	}
	got, err := readSet(functions.Params{ParquetColumns: "n"}, Parquet, some)
	if err != nil || got != `={"n":1};={"n":null};` {
		t.Error(got, err)
	}
	plain := parquetOf(t, Output{Int64s: true}, "5")
	if got, err := read(Parquet, plain); err != nil || got != `={"key":null,"value":5};` {
		t.Error(got, err)
	}
}

func TestParquetMistakes(t *testing.T) {
	if _, err := read(Parquet, "PAR1 is not enough PAR1"); errs.KindOf(err) != errs.Corrupt {
		t.Error(err)
	}
	for _, o := range []Output{{Compress: codec.Bzip2}, {Set: functions.Params{ParquetSchema: "word text"}}} {
		if err := Parquet.CheckOutput(o); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", o, err)
		}
	}
	gone := Source{
		Open: func(context.Context, text.Piece, int64) (io.ReadCloser, error) {
			return nil, errs.Errorf("open", errs.NotFound, nil, "gone")
		},
		Size: func(string) int64 { return 100 },
	}
	for want, p := range map[errs.Kind]text.Piece{
		errs.Unsupported: {Name: "a.gz", Length: text.ToEnd}, errs.NotFound: {Name: "a", Length: 100},
	} {
		if _, err := NewReader(Parquet, gone, []text.Piece{p}).Batch(t.Context()); errs.KindOf(err) != want {
			t.Error(err)
		}
	}
}
