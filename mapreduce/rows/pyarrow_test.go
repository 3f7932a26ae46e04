package rows

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/seed3322913c/runner/infra/enginetest"
)

// writeByArrow writes all types, several row groups, dictionaries, both versions of pages and every codec.
const writeByArrow = `
import datetime, decimal, sys
import pyarrow as pa, pyarrow.parquet as pq
utc = datetime.timezone.utc
rows = [{
    "s": "word%d" % (i % 7), "x": bytes([255, i % 256]), "i8": -i % 128, "u32": 4294967295 - i, "n": -i, "f": i / 2,
    "d": i / 4,
    "b": i % 2 == 0, "maybe": None if i % 3 else i, "day": datetime.date(1969, 12, 31) + datetime.timedelta(i),
    "ms": datetime.datetime(2026, 1, 2, 3, 4, 5, 6000), "ns": datetime.datetime(2026, 1, 2, 3, 4, 5, 6, utc),
    "dec": decimal.Decimal(-i).scaleb(-3), "list": list(range(i % 4)), "lists": [[1], [], [2, i]],
    "struct": {"a": i, "b": [{"c": "x"}]}, "none": None if i % 2 else {"a": None}, "map": [("k%d" % i, i), ("l", None)],
} for i in range(500)]
schema = pa.schema([
    ("s", pa.string()), ("x", pa.binary()), ("i8", pa.int8()), ("u32", pa.uint32()), ("n", pa.int64()),
    ("f", pa.float32()), ("d", pa.float64()), ("b", pa.bool_()), ("maybe", pa.int32()), ("day", pa.date32()), ("ms", pa.timestamp("ms")),
    ("ns", pa.timestamp("ns", "UTC")), ("dec", pa.decimal128(30, 3)), ("list", pa.list_(pa.int64())),
    ("lists", pa.list_(pa.list_(pa.int64()))), ("struct", pa.struct([("a", pa.int64()),
    ("b", pa.list_(pa.struct([("c", pa.string())])))])), ("none", pa.struct([("a", pa.int64())])),
    ("map", pa.map_(pa.string(), pa.int64())),
])
for codec in ["none", "snappy", "gzip", "zstd", "lz4", "brotli"]:
    for version in ["1.0", "2.0"]:
        pq.write_table(pa.Table.from_pylist(rows, schema), "%s/%s-%s.parquet" % (sys.argv[1], codec, version),
            compression=codec, data_page_version=version, row_group_size=100, data_page_size=500,
            use_dictionary=["s", "n"])
`

// TestArrowWrites reads what the reference implementation has written.
func TestArrowWrites(t *testing.T) {
	dir := t.TempDir()
	arrow(t, writeByArrow, dir)
	files, err := filepath.Glob(dir + "/*.parquet")
	if err != nil || len(files) != 12 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := read(file, 0, math.MaxInt64)
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if err != nil || len(lines) != 500 {
			t.Errorf("%s: %d rows, %v", name, len(lines), err)
			continue
		}
		want := `{"s":"word3","x":"/wM=","i8":125,"u32":4294967292,"n":-3,"f":1.5,"d":0.75,"b":false,"maybe":3,` +
			`"day":"1970-01-03","ms":"2026-01-02T03:04:05.006","ns":"2026-01-02T03:04:05.000006Z","dec":-0.003,` +
			`"list":[0,1,2],"lists":[[1],[],[2,3]],"struct":{"a":3,"b":[{"c":"x"}]},"none":null,"map":{"k3":3,"l":null}}`
		if lines[3] != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, lines[3], want)
		}
	}
}

// readByArrow checks columns and rows, and prints them.
const readByArrow = `
import sys
import pyarrow.parquet as pq
table = pq.read_table(sys.argv[1])
print(table.schema.to_string(show_field_metadata=False).replace("\n", ", "))
for row in table.to_pylist():
    print(*row.values(), sep=" | ")
`

// TestArrowReads lets the reference implementation read what is written here.
func TestArrowReads(t *testing.T) {
	s, err := ParseSchema(allTypes)
	if err != nil {
		t.Fatal(err)
	}
	for _, codec := range []compress.Codec{&parquet.Snappy, &parquet.Gzip, &parquet.Zstd, &parquet.Lz4Raw} {
		name := filepath.Join(t.TempDir(), "a.parquet")
		file, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w := NewWriter(file, s, codec)
		for _, row := range []string{
			`{"b":true,"i":-5,"n":9223372036854775807,"f":1.5,"d":0.1,"s":"aä","x":"/wA=","day":"1969-12-31",` +
				`"at":"2026-01-02T03:04:05.000006Z","j":[1],"p":-1234567890.05}`, `{}`,
		} {
			if err := w.Write([]byte(row)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		got := arrow(t, readByArrow, name)
		want := "b: bool, i: int32, n: int64, f: float, d: double, s: string, x: binary, day: date32[day], " +
			"at: timestamp[us, tz=UTC], j: extension<arrow.json>, p: decimal128(12, 2)\n" +
			"True | -5 | 9223372036854775807 | 1.5 | 0.1 | aä | b'\\xff\\x00' | 1969-12-31 | 2026-01-02 03:04:05.000006+00:00" +
			" | [1] | -1234567890.05\n" + strings.TrimSuffix(strings.Repeat("None | ", 11), " | ") + "\n"
		if got != want {
			t.Errorf("%v:\n%s\nwant\n%s", codec, got, want)
		}
	}
}

// arrow runs a script by a Python that has pyarrow, and returns what it prints.
func arrow(t *testing.T, script string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), enginetest.Binary(t, "pyarrow"), append([]string{"-c", script}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
