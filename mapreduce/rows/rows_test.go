package rows

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/parquetfile"
)

// fileOf writes rows, ten to a group.
func fileOf[T any](t testing.TB, rows ...T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, parquet.MaxRowsPerRowGroup(10), parquet.Compression(&parquet.Snappy))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read returns the rows of a range of a file, a line each.
func read(file []byte, from, to int64, columns ...string) (string, error) {
	f, err := parquetfile.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return "", err
	}
	r, err := NewReader(f, columns, from, to)
	if err != nil {
		return "", err
	}
	defer r.Close()
	var all strings.Builder
	for {
		row, err := r.Next()
		if err != nil {
			if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				err = nil
			}
			return all.String(), err
		}
		fmt.Fprintf(&all, "%s\n", row)
	}
}

type flat struct {
	Text    string    `parquet:"a \"text\""`
	Bytes   []byte    `parquet:"bytes"`
	Int     int64     `parquet:"int"`
	Small   uint32    `parquet:"small"`
	Float   float64   `parquet:"float"`
	Yes     bool      `parquet:"yes"`
	Maybe   *int32    `parquet:"maybe,optional"`
	At      time.Time `parquet:"at,timestamp(microsecond)"`
	Day     int32     `parquet:"day,date"`
	Decimal int64     `parquet:"decimal,decimal(2:18)"`
}

func TestFlat(t *testing.T) {
	five := int32(5)
	at := time.Date(1969, 12, 31, 23, 59, 59, 250e6, time.UTC)
	file := fileOf(t,
		flat{"x\"\n", []byte{255, 0}, -1 << 63, 1<<32 - 1, 1.5, true, &five, at, 19000, -123456789012345605},
		flat{Float: math.NaN(), At: at.Add(time.Second), Decimal: 7},
	)
	want := `{"a \"text\"":"x\"\n","bytes":"/wA=","int":-9223372036854775808,"small":4294967295,"float":1.5,` +
		`"yes":true,"maybe":5,"at":"1969-12-31T23:59:59.25Z","day":"2022-01-08","decimal":-1234567890123456.05}` + "\n" +
		`{"a \"text\"":"","bytes":"","int":0,"small":0,"float":"NaN","yes":false,"maybe":null,` +
		`"at":"1970-01-01T00:00:00.25Z","day":"1970-01-01","decimal":0.07}` + "\n"
	if got, err := read(file, 0, math.MaxInt64); err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	want = `{"int":-9223372036854775808,"maybe":5}` + "\n" + `{"int":0,"maybe":null}` + "\n"
	if got, err := read(file, 0, math.MaxInt64, "maybe", "int"); err != nil || got != want {
		t.Errorf("two columns: %v\n%s", err, got)
	}
	if _, err := read(file, 0, math.MaxInt64, "ints"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no such column: %v", err)
	}
}

type point struct {
	X int64   `parquet:"x"`
	Y *string `parquet:"y,optional"`
}

type nested struct {
	List   []int64           `parquet:"list,list"`
	Bare   []string          `parquet:"bare"`
	Deep   [][]int64         `parquet:"deep,list"`
	Points []point           `parquet:"points,list"`
	Where  *point            `parquet:"where,optional"`
	Map    map[string]point  `parquet:"map"`
	Codes  map[int64][]int64 `parquet:"codes"`
}

func TestNested(t *testing.T) {
	y := "y"
	file := fileOf(t,
		nested{
			[]int64{1, 2, 3}, []string{"a", "b"}, [][]int64{{1, 2}, {3}}, []point{{1, &y}, {2, nil}}, &point{3, &y},
			map[string]point{"p": {4, nil}}, map[int64][]int64{7: {8, 9}},
		},
		nested{},
		nested{List: []int64{4}, Points: []point{{5, nil}}, Where: &point{}},
	)
	got, err := read(file, 0, math.MaxInt64)
	want := `{"list":[1,2,3],"bare":["a","b"],"deep":[[1,2],[3]],"points":[{"x":1,"y":"y"},{"x":2,"y":null}],` +
		`"where":{"x":3,"y":"y"},"map":{"p":{"x":4,"y":null}},"codes":{"7":[8,9]}}` + "\n" +
		`{"list":[],"bare":[],"deep":[],"points":[],"where":null,"map":{},"codes":{}}` + "\n" +
		`{"list":[4],"bare":[],"deep":[],"points":[{"x":5,"y":null}],"where":{"x":0,"y":null},"map":{},"codes":{}}` + "\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}

// TestRanges reads each row once, wherever the file is cut.
func TestRanges(t *testing.T) {
	type row struct {
		N int64 `parquet:"n"`
	}
	var rows []row
	for i := range 95 {
		rows = append(rows, row{int64(i)})
	}
	file := fileOf(t, rows...)
	whole, err := read(file, 0, int64(len(file)))
	if err != nil || strings.Count(whole, "\n") != 95 {
		t.Fatal(err, whole)
	}
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64Range(0, int64(len(file))).Draw(t, "a")
		b := rapid.Int64Range(a, int64(len(file))).Draw(t, "b")
		all := ""
		for _, part := range [][2]int64{{0, a}, {a, b}, {b, int64(len(file))}} {
			text, err := read(file, part[0], part[1])
			if err != nil {
				t.Fatal(err)
			}
			all += text
		}
		if all != whole {
			t.Fatalf("%q", all)
		}
	})
	f, err := parquetfile.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(f, nil, 5, math.MaxInt64)
	if err != nil || r.First() != 10 {
		t.Errorf("%d rows before the second group, %v", r.First(), err)
	}
}

const allTypes = "b boolean, i int32, n int64, f float, d double, s string, x binary, day date, at timestamp, " +
	"j json, p decimal(12,2)"

func TestWritten(t *testing.T) {
	s, err := ParseSchema(allTypes)
	if err != nil || s.String() != allTypes {
		t.Fatal(err, s)
	}
	lines := `{"b":true,"i":-5,"n":9223372036854775807,"f":1.5,"d":0.1,"s":"a\n","x":"/wA=","day":"1969-12-31",` +
		`"at":"2026-01-02T03:04:05.000006Z","j":"{\"a\":1}","p":-1234567890.05}` + "\n" +
		`{"b":null,"i":null,"n":null,"f":null,"d":null,"s":null,"x":null,"day":null,"at":null,"j":null,"p":null}` + "\n"
	var b bytes.Buffer
	w := NewWriter(&b, s, &parquet.Zstd)
	first := strings.Replace(strings.SplitN(lines, "\n", 2)[0], `"{\"a\":1}"`, `{"a":1}`, 1)
	for _, row := range []string{first, `{"i":null}`} {
		if err := w.Write([]byte(row)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := read(b.Bytes(), 0, math.MaxInt64); err != nil || got != lines {
		t.Errorf("%v\n%s\nwant\n%s", err, got, lines)
	}
}

func TestWriteRefuses(t *testing.T) {
	s, err := ParseSchema(allTypes)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		`{"i":2147483648}`, `{"n":1.5}`, `{"b":1}`, `{"s":1}`, `{"x":"?"}`, `{"day":"yesterday"}`, `{"at":"2026-01-02"}`,
		`{"p":1.005}`, `{"p":123456789012}`, `{"p":1e999999999}`, `{"other":1}`, `[1]`, `null`, `{`, ``,
	} {
		if err := NewWriter(io.Discard, s, &parquet.Snappy).Write([]byte(row)); errs.KindOf(err) != errs.Failed {
			t.Errorf("%s: %v", row, err)
		}
	}
}

func TestWriteFields(t *testing.T) {
	s, err := ParseSchema("key string, value int64")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := NewWriter(&b, s, &parquet.Uncompressed)
	for _, err := range []error{
		w.WriteFields([]byte("a\"b"), []byte("12")), w.WriteFields(nil, nil), w.WriteFields([]byte{}, []byte("-1")),
		w.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := "{\"key\":\"a\\\"b\",\"value\":12}\n{\"key\":null,\"value\":null}\n{\"key\":\"\",\"value\":-1}\n"
	if got, err := read(b.Bytes(), 0, math.MaxInt64); err != nil || got != want {
		t.Errorf("%v, %s", err, got)
	}
}

func TestSchemaMistakes(t *testing.T) {
	for _, text := range []string{
		"", "word", "word text", "a string, a int64", "p decimal", "p decimal(19,2)", "p decimal(2,3)", "n int64(1,1)", ",",
	} {
		if s, err := ParseSchema(text); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
}

func TestDecimal(t *testing.T) {
	for _, c := range []struct {
		n     int64
		scale int
		want  string
	}{{0, 0, "0"}, {-5, 3, "-0.005"}, {12345, 2, "123.45"}, {100, 0, "100"}} {
		if got := decimal(big.NewInt(c.n), c.scale); got != c.want {
			t.Errorf("%d, %d: %s, want %s", c.n, c.scale, got, c.want)
		}
	}
	if got := unscaled(parquet.FixedLenByteArrayValue([]byte{0xff, 0xfe})); got.Int64() != -2 {
		t.Error(got)
	}
}

// FuzzRead: no file makes the reader panic, or go on for ever.
func FuzzRead(f *testing.F) {
	f.Add(fileOf(f, flat{Text: "x", Decimal: 7}))
	f.Add(fileOf(f, nested{List: []int64{1, 2}, Deep: [][]int64{{1}, {2}}, Map: map[string]point{"a": {}}}, nested{}))
	f.Fuzz(func(t *testing.T, file []byte) {
		_, err := read(file, 0, math.MaxInt64)
		if k := errs.KindOf(err); err != nil && k != errs.Corrupt && k != errs.Unsupported {
			t.Errorf("%v is of kind %v", err, k)
		}
	})
}
