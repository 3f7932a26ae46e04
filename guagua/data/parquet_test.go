package data

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
)

func TestParquet(t *testing.T) {
	type record struct {
		Age   float64 `parquet:"age"`
		Size  *int32  `parquet:"size,optional"`
		Good  bool    `parquet:"good"`
		Kind  string  `parquet:"kind"`
		Small float32 `parquet:"small"`
	}
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[record](&buf, parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(400))
	want, bad := "", 0
	for i := range 1000 {
		n := int32(i)
		r := record{float64(i) / 4, &n, i%2 == 0, []string{"cat", "dog"}[i%2], 0.5}
		if i%100 == 7 {
			r.Size = nil
			bad++
		} else {
			want += fmt.Sprintln(r.Age, n, []int{0, 1}[(i+1)%2], r.Small)
		}
		if _, err := w.Write([]record{r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f := files{"a.parquet": buf.Bytes()}
	o := options(guagua.Params{"label": "kind", "bad-rows": "skip"})
	o.Labels = Positive("cat")
	size := int64(buf.Len())
	got, rows := "", 0
	for _, cut := range [][2]int64{{0, size / 3}, {size / 3, size / 2}, {size / 2, size}} {
		p := guagua.Piece{URI: "a.parquet", Offset: cut[0], Length: cut[1] - cut[0], Size: size}
		table, err := Load[float64](t.Context(), f.env(t), guagua.Split{Pieces: []guagua.Piece{p}}, o)
		if err != nil && strings.Contains(err.Error(), "no records") {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		rows += table.Rows
		for b, err := range table.Range(0, table.Rows) {
			if err != nil {
				t.Fatal(err)
			}
			for i := range b.Rows {
				got += strings.Trim(fmt.Sprint(b.X[i*4:(i+1)*4]), "[]") + "\n"
				if b.Y[i] != b.X[i*4+2] {
					t.Fatalf("row %d: label %g", i, b.Y[i])
				}
			}
		}
		bad -= table.Bad
	}
	if rows != 990 || bad != 0 || got != want {
		t.Errorf("%d rows, %d bad ones too few", rows, bad)
	}
	o.Bad = BadRows{}
	_, err := load(t, f, o, "a.parquet")
	if err == nil || !strings.Contains(err.Error(), "a.parquet line 8: invalid: column 2: nothing is there") {
		t.Error(err)
	}
}

// TestDamagedParquet: whatever a byte becomes, loading ends with an error or with rows, and takes no more memory than
// the file justifies.
func TestDamagedParquet(t *testing.T) {
	type record struct {
		X float64 `parquet:"x"`
		Y int32   `parquet:"y"`
	}
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[record](&buf, parquet.Compression(&parquet.Snappy))
	for i := range 50 {
		if _, err := w.Write([]record{{float64(i % 7), int32(i % 2)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	whole := buf.Bytes()
	damaged := slices.Clone(whole)
	f := files{"p.parquet": damaged}
	env, o := f.env(t), options(guagua.Params{"label": "y"})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	refused := 0
	for i := range whole {
		for _, bits := range []byte{0x01, 0x80, 0xff} {
			damaged[i] ^= bits
			table, err := Load[float64](t.Context(), env, f.whole("p.parquet"), o)
			if err == nil {
				table.Close()
			} else if k := errs.KindOf(err); k != errs.Corrupt && k != errs.Invalid && k != errs.Unsupported {
				t.Fatalf("byte %d with %#x: %v: %v", i, bits, k, err)
			} else {
				refused++
			}
			damaged[i] = whole[i]
		}
	}
	runtime.ReadMemStats(&after)
	each := (after.TotalAlloc - before.TotalAlloc) / uint64(3*len(whole))
	if t.Logf("%d of %d refused, %d bytes each", refused, 3*len(whole), each); refused == 0 || each > 8<<20 {
		t.Errorf("%d refused, %d bytes allocated each", refused, each)
	}
}
