package block

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"testing"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// TestPartsAreCompared damages a byte, and reads parts with and without it.
func TestPartsAreCompared(t *testing.T) {
	const small, large = 50_000, 5*grainSize + 77
	for _, c := range []struct {
		size, damaged int
		from, to      int64
		fails         bool
	}{
		{small, 100, 40_000, 40_001, true}, // all of it is read
		{small, small - 1, 0, 7, true},
		{large, grainSize - 1, grainSize, large, false},
		{large, grainSize, 0, grainSize, false},
		{large, grainSize + 5, 100, 2 * grainSize, true},
		{large, grainSize + 5, 2*grainSize - 1, 2 * grainSize, true},
		{large, large - 1, large - 3, large - 1, true},
		{large, large - 1, 0, 5 * grainSize, false},
		{large, large, 0, 1, true},      // the first byte behind it: the checksum of the first part
		{large, large, 0, large, false}, // the whole has another one
		{large, large - 1, 0, large, true},
	} {
		st, data := mem.New(), noise(c.size)
		blocks, err := Copy(t.Context(), st, bytes.NewReader(data), 1<<40, ids())
		if err != nil {
			t.Fatal(err)
		}
		b, at := blocks[0], store.Range{Offset: c.from, Length: c.to - c.from}
		read := func() ([]byte, error) {
			r, err := Reader(t.Context(), st, b, at)
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return io.ReadAll(r)
		}
		if got, err := read(); err != nil || !bytes.Equal(got, data[c.from:c.to]) {
			t.Errorf("%+v: %d bytes, %v", c, len(got), err)
		}
		flip(t, st, b.ID, c.damaged)
		if got, err := read(); errors.Is(err, errs.Corrupt) != c.fails || !c.fails && err != nil {
			t.Errorf("%+v: %d bytes of damage, %v", c, len(got), err)
		}
		if err := Verify(t.Context(), st, io.Discard, b); !errors.Is(err, errs.Corrupt) {
			t.Errorf("%+v: it was not found: %v", c, err)
		}
	}
}

func flip(t *testing.T, st store.Store, id uint64, at int) {
	t.Helper()
	object, err := store.Get(t.Context(), st, ObjectName(id), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	object[at] ^= 4
	if err := store.Put(t.Context(), st, ObjectName(id), object); err != nil {
		t.Fatal(err)
	}
}

// TestUnknownSumsAreNotCompared reads blocks that were truncated, or written before there were checksums of parts.
func TestUnknownSumsAreNotCompared(t *testing.T) {
	st, data := mem.New(), noise(3*grainSize)
	blocks, err := Copy(t.Context(), st, bytes.NewReader(data), 1<<40, ids())
	if err != nil {
		t.Fatal(err)
	}
	old, cut := blocks[0], blocks[0]
	old.CRC = 0
	cut.Length, cut.CRC, cut.MD5 = 2*grainSize+9, 0, [16]byte{}
	for _, b := range []namespace.Block{old, cut} {
		var part bytes.Buffer
		err := Write(t.Context(), st, &part, []namespace.Block{b}, 70_000, 50_000)
		if err != nil || !bytes.Equal(part.Bytes(), data[70_000:120_000]) {
			t.Error(part.Len(), err)
		}
		if err := Verify(t.Context(), st, io.Discard, b); err != nil {
			t.Error(err)
		}
		known, err := Sums(t.Context(), st, b)
		if err != nil || known.CRC != crc32.Checksum(data[:b.Length], castagnoli) {
			t.Error(known, err)
		}
	}
}

// TestSumsAreThoseOfTheBytes compares what is combined of chunks with what is computed of bytes.
func TestSumsAreThoseOfTheBytes(t *testing.T) {
	data := noise(3*grainSize + 1000)
	for _, n := range []int{0, 1, 511, 512, 513, grainSize - 1, grainSize, grainSize + 1, len(data)} {
		var b namespace.Block
		s := newSums()
		s.Write(data[:n/3])
		s.Write(data[n/3 : n])
		grains := s.end(&b)
		if want := crc32.Checksum(data[:n], castagnoli); b.CRC != want {
			t.Errorf("%d bytes: %x, not %x", n, b.CRC, want)
		}
		var want []byte
		for from := 0; from < n; from += grainSize {
			sum := crc32.Checksum(data[from:min(from+grainSize, n)], castagnoli)
			want = append(want, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
		}
		if !bytes.Equal(grains, want) {
			t.Errorf("%d bytes: parts %x, not %x", n, grains, want)
		}
	}
}

// TestCompositeDoesNotDependOnBlocks cuts the same bytes in many ways.
func TestCompositeDoesNotDependOnBlocks(t *testing.T) {
	data := noise(200_001)
	want := fmt.Sprintf("%08x", crc32.Checksum(data, castagnoli))
	for _, size := range []int64{1000, 4096, 65536, 70_000, 1 << 40} {
		st := mem.New()
		blocks, err := Copy(t.Context(), st, bytes.NewReader(data), size, ids())
		if err != nil {
			t.Fatal(err)
		}
		sum, err := Composite(t.Context(), st, blocks)
		if err != nil || fmt.Sprintf("%x", sum.Bytes) != want || sum.Algorithm != "COMPOSITE-CRC32C" {
			t.Errorf("blocks of %d: %x, %v", size, sum, err)
		}
	}
}
