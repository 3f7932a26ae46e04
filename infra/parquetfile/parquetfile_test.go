package parquetfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/seed3322913c/runner/infra/errs"
)

type row struct {
	Word  string   `parquet:"word,dict"`
	Text  string   `parquet:"text"`
	N     int64    `parquet:"n,delta"`
	Maybe *float64 `parquet:"maybe,optional"`
	Fixed [16]byte `parquet:"fixed"`
	Tags  []string `parquet:"tags"`
}

// fileOf writes rows, forty to a group and some to a page.
func fileOf(t testing.TB, rows int, codec compress.Codec, version int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b, parquet.MaxRowsPerRowGroup(40), parquet.Compression(codec),
		parquet.DataPageVersion(version), parquet.PageBufferSize(200), parquet.DataPageStatistics(true))
	for i := range rows {
		half := float64(i) / 2
		r := row{fmt.Sprint("w", i%3), strings.Repeat("text ", i%7), int64(i), &half, [16]byte{byte(i)}, []string{"a", "b"}}
		if _, err := w.Write([]row{r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read counts the rows of a file.
func read(file []byte) (rows int, err error) {
	f, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return 0, err
	}
	return count(f)
}

func count(f *parquet.File) (rows int, err error) {
	defer Recover(&err)
	batch := make([]parquet.Row, 16)
	for _, g := range f.RowGroups() {
		in := g.Rows()
		defer in.Close()
		for {
			n, err := in.ReadRows(batch)
			rows += n
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return rows, Damaged(err)
			}
			if n == 0 {
				return rows, damagedf("no rows and no end")
			}
		}
	}
	return rows, nil
}

func codecs() []compress.Codec {
	return []compress.Codec{
		&parquet.Uncompressed, &parquet.Snappy, &parquet.Gzip, &parquet.Zstd, &parquet.Lz4Raw, &parquet.Brotli,
	}
}

func TestReadsWhatIsWhole(t *testing.T) {
	for _, c := range codecs() {
		for version := 1; version <= 2; version++ {
			if n, err := read(fileOf(t, 100, c, version)); n != 100 || err != nil {
				t.Errorf("%v, pages of version %d: %d rows, %v", c, version, n, err)
			}
		}
	}
	if n, err := read(fileOf(t, 0, &parquet.Snappy, 1)); n != 0 || err != nil {
		t.Errorf("no rows: %d, %v", n, err)
	}
}

// allocated returns how many bytes f asks for.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// mostAlloc is what reading a damaged file of some kilobytes may ask for: a page in full, twice, as the library's
// decoders grow.
const mostAlloc = 3 * MaxPage

// TestDamageCostsNoMemory sets bytes of a file to what makes lengths long, one after the other.
func TestDamageCostsNoMemory(t *testing.T) {
	step := 11
	if testing.Short() {
		step = 37
	}
	for _, c := range []compress.Codec{&parquet.Snappy, &parquet.Lz4Raw} {
		file := fileOf(t, 45, c, 2)
		damaged := bytes.Clone(file)
		for i := 0; i < len(file); i += step {
			for _, b := range []byte{0xff, 0xfc, 0x7f, file[i] ^ 1} {
				damaged[i] = b
				if n := allocated(func() { checkKind(t, damaged) }); n > mostAlloc {
					t.Errorf("%v, byte %d of %d as %#x: %d MiB", c, i, len(file), b, n>>20)
				}
				damaged[i] = file[i]
			}
		}
	}
}

func checkKind(t *testing.T, file []byte) {
	t.Helper()
	if _, err := read(file); err != nil && errs.KindOf(err) != errs.Corrupt {
		t.Errorf("%v is of kind %v", err, errs.KindOf(err))
	}
}

// withFooter returns a file of nothing but a footer.
func withFooter(footer []byte) []byte {
	b := append([]byte(magic), footer...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
	return append(b, magic...)
}

// TestFooters are what the library would give gigabytes, or its stack.
func TestFooters(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x07}
	field := func(id, kind byte) byte { return id<<4 | kind }
	element := []byte{field(4, typeBinary), 0, 0} // a column without a name
	child := func(n byte) []byte { return []byte{field(4, typeBinary), 0, field(1, typeI32), 2 * n, 0} }
	list := func(id byte, items ...[]byte) []byte {
		return append([]byte{field(id, typeList), 0xf0 | typeStruct, byte(len(items))}, bytes.Join(items, nil)...)
	}
	deep := bytes.Repeat([]byte{field(1, typeStruct)}, 1000)
	for name, footer := range map[string][]byte{
		"two milliards of columns": append([]byte{field(2, typeList), 0xf0 | typeStruct}, huge...),
		"a long text":              append([]byte{field(6, typeBinary)}, huge...),
		"a long list of numbers":   append([]byte{field(9, typeList), 0xf0 | typeI32}, huge...),
		"a long map":               append(append([]byte{field(9, typeMap)}, huge...), typeI32<<4|typeI32),
		"deep structs":             deep,
		"no columns":               {0},
		"columns beside the tree":  append(list(2, element, element), 0),
		"more children than there": append(list(2, child(2), element), 0),
		"a chain of columns":       append(list(2, slicesOf(child(1), 120)...), 0),
		"numbers where structs":    {field(2, typeList), 0x10 | typeI32, 2, 0},
		"an unknown type":          {field(2, 14), 0},
		"nothing":                  {},
	} {
		if err := checkFooter(footer); err == nil {
			t.Errorf("%s: accepted", name)
		}
		checkKind(t, withFooter(footer))
	}
	if err := checkFooter(append(list(2, child(1), element), 0)); err != nil {
		t.Error(err)
	}
	table := append(list(2, slicesOf(element, 100)...), field(2, typeList), 0xf0|typeStruct, 100)
	if err := checkFooter(append(append(table, bytes.Repeat(element, 100)...), 0)); err == nil {
		t.Error("a table of 10,000 columns in a footer of 600 bytes is accepted")
	}
}

func slicesOf(item []byte, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = item
	}
	return all
}

func TestEnds(t *testing.T) {
	file := fileOf(t, 3, &parquet.Snappy, 1)
	for name, damaged := range map[string][]byte{
		"empty": {}, "short": file[:11], "cut": file[:len(file)-1], "no head": file[1:],
		"footer longer than the file": append(file[:len(file)-8:len(file)-8], "\xff\xff\xff\xffPAR1"...),
	} {
		if _, err := read(damaged); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestErrorsOfReadingStay keeps the kind that a store gave an error.
func TestErrorsOfReadingStay(t *testing.T) {
	file := fileOf(t, 100, &parquet.Snappy, 1)
	for left := range 12 {
		n := left
		r := Ranges(func(offset, length int64) (io.ReadCloser, error) {
			if n--; n < 0 {
				return nil, errs.Errorf("store.Open", errs.Unavailable, nil, "away")
			}
			return io.NopCloser(io.NewSectionReader(bytes.NewReader(file), offset, length)), nil
		})
		f, err := Open(r, int64(len(file)))
		if err == nil {
			_, err = count(f)
		}
		if errs.KindOf(err) != errs.Unavailable {
			t.Errorf("after %d reads: %v", left, err)
		}
	}
}

func TestRangesRefusesWhatIsBeforeTheFile(t *testing.T) {
	r := Ranges(func(int64, int64) (io.ReadCloser, error) { return nil, errors.New("asked") })
	if _, err := r.ReadAt(make([]byte, 1), -5); errs.KindOf(err) != errs.Corrupt {
		t.Error(err)
	}
}

// FuzzOpen finds no file that makes reading panic, go on for ever, or ask for more than its pages may have.
func FuzzOpen(f *testing.F) {
	for _, c := range codecs() {
		f.Add(fileOf(f, 3, c, 2))
	}
	f.Add(withFooter([]byte{0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07}))
	f.Fuzz(func(t *testing.T, file []byte) {
		if n := allocated(func() { checkKind(t, file) }); n > mostAlloc {
			t.Errorf("%d MiB for a file of %d bytes", n>>20, len(file))
		}
	})
}
