package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/segment/segmenttest"
)

// TestHashIsFixed holds the hash to values of before: segments of two versions of the program must agree.
func TestHashIsFixed(t *testing.T) {
	for key, want := range map[string]uint64{
		"": 0, "a": 0x8952ed5c19e591f4, "the": 0xa65a5a0f25f2c2b8, "exactly 16 bytes": 0xc0f11c9ca5a3970b,
		"seventeen bytes..": 0xd6e5c305ffba9e11, strings.Repeat("long", 30): 0xa44d288f9c3dd5bd,
	} {
		if got := Hash([]byte(key)); got != want {
			t.Errorf("Hash(%q) = %#x, want %#x", key, got, want)
		}
	}
}

// TestLoads compares what is loaded eight bytes at a time, with and without room behind the key, to single bytes.
func TestLoads(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		key := []byte(segmenttest.Key().Draw(rt, "key"))
		key = key[:len(key):len(key)]
		slack := append(bytes.Clone(key), "garbage behind it"...)[:len(key)]
		if Hash(key) != Hash(slack) {
			t.Fatal("the hash depends on what is behind the key")
		}
		i := rapid.IntRange(0, len(key)).Draw(rt, "i")
		var word [8]byte
		copy(word[:], key[i:])
		for _, k := range [][]byte{key, slack} {
			if got := Load(k, i); got != binary.LittleEndian.Uint64(word[:]) {
				t.Fatalf("Load = %#x, want %x", got, word)
			}
			if got := Prefix(k, i); got != binary.BigEndian.Uint64(word[:]) {
				t.Fatalf("Prefix = %#x, want %x", got, word)
			}
		}
	})
}

func TestPartition(t *testing.T) {
	for _, parts := range []int{1, 2, 3, 1000, 1024, MaxParts} {
		counts := make([]int, parts)
		last := 0
		const n = 1 << 16
		for i := range uint64(n) {
			p := Partition(i<<48|0xffff, parts)
			if p < last || p >= parts {
				t.Fatalf("%d parts: partition %d after %d", parts, p, last)
			}
			last = p
			counts[p]++
		}
		for p, c := range counts {
			if parts <= n && (c < n/parts || c > n/parts+1) {
				t.Fatalf("%d parts: partition %d has %d of %d", parts, p, c, n)
			}
		}
	}
}

func TestZigZag(t *testing.T) {
	for _, v := range []int64{0, 1, -1, 63, -64, math.MaxInt64, math.MinInt64} {
		if UnZigZag(ZigZag(v)) != v {
			t.Errorf("%d does not come back", v)
		}
		if got, _ := binary.Varint(binary.AppendUvarint(nil, ZigZag(v))); got != v {
			t.Errorf("%d differs from encoding/binary: %d", v, got)
		}
	}
}

func drawIndex(rt *rapid.T) Index {
	x := Index{
		Layout: rapid.SampledFrom([]Layout{Folded, Sorted}).Draw(rt, "layout"),
		First:  rapid.IntRange(0, 100).Draw(rt, "first"), Parts: []Part{},
	}
	offset := rapid.Int64Range(0, 1<<40).Draw(rt, "offset")
	for range rapid.IntRange(0, 20).Draw(rt, "parts") {
		p := Part{
			Offset:  offset,
			Stored:  rapid.Int64Range(0, 1<<50).Draw(rt, "stored"),
			Raw:     rapid.Int64().Draw(rt, "raw") & math.MaxInt64,
			Records: rapid.Int64().Draw(rt, "records") & math.MaxInt64,
			Sum:     rapid.Uint32().Draw(rt, "sum"),
		}
		offset += p.Stored
		x.Parts = append(x.Parts, p)
	}
	return x
}

func TestIndex(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		x := drawIndex(rt)
		got, err := Parse(x.Append([]byte("before"))[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if got.Layout != x.Layout || got.First != x.First || !bytes.Equal(got.Append(nil), x.Append(nil)) {
			t.Fatalf("got %v\nwant %v", got, x)
		}
		lo := rapid.IntRange(0, len(x.Parts)).Draw(rt, "lo")
		hi := rapid.IntRange(lo, len(x.Parts)).Draw(rt, "hi")
		cut := x.Cut(x.First+lo, x.First+hi)
		offset, length := cut.Span()
		for _, p := range x.Parts[lo:hi] {
			if p.Offset < offset || p.Offset+p.Stored > offset+length {
				t.Fatalf("part %v is not in the span %d, %d", p, offset, length)
			}
		}
	})
}

// FuzzParse feeds an index decoder anything, with the checksum made right so that it gets past it.
func FuzzParse(f *testing.F) {
	f.Add(Index{Layout: Folded, Parts: []Part{{Stored: 1, Raw: 2, Records: 3, Sum: 4}, {Offset: 1}}}.Append(nil))
	f.Add(Index{Layout: Sorted, First: 5}.Append(nil))
	f.Add([]byte(indexMagic + "\x01\x00\xff\xff\xff\xff\x0f\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(b []byte) {
			x, err := Parse(b)
			if err != nil {
				if !errors.Is(err, errs.Corrupt) {
					t.Fatalf("kind of %v", err)
				}
				return
			}
			if len(x.Parts) > len(b) {
				t.Fatalf("%d parts out of %d bytes", len(x.Parts), len(b))
			}
			again, err := Parse(x.Append(nil))
			if err != nil || !bytes.Equal(again.Append(nil), x.Append(nil)) {
				t.Fatalf("does not come back: %v", err)
			}
		}
		check(b)
		if len(b) >= crcSize {
			body := b[: len(b)-crcSize : len(b)-crcSize]
			check(binary.LittleEndian.AppendUint32(body, checksumOf(body)))
		}
	})
}

// FuzzRecords takes anything apart as records.
func FuzzRecords(f *testing.F) {
	var head [MaxHeader]byte
	f.Add(append(head[:PutHeader(head[:], 3, 2)], "keyva"...))
	f.Add(append(head[:PutHeader(head[:], 300, 1<<40)], strings.Repeat("x", 300)...))
	f.Add([]byte{0x80, 0x80})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, layout := range []Layout{Folded, Sorted} {
			for rest := b; len(rest) > 0; {
				r, next, err := layout.Next(rest)
				if err != nil {
					if !errors.Is(err, errs.Corrupt) {
						t.Fatalf("kind of %v", err)
					}
					break
				}
				if len(r.Whole) == 0 || !bytes.Equal(append(bytes.Clone(r.Whole), next...), rest) {
					t.Fatalf("record %q and rest %q of %q", r.Whole, next, rest)
				}
				if layout == Folded {
					key, value, after, err := NextFolded(rest)
					if err != nil || !bytes.Equal(key, r.Key) || value != UnZigZag(r.Second) || !bytes.Equal(after, next) {
						t.Fatalf("NextFolded differs: %q %d %v", key, value, err)
					}
				}
				rest = next
			}
		}
	})
}

// FuzzReader reads anything as a partition.
func FuzzReader(f *testing.F) {
	var b bytes.Buffer
	w := NewWriter(&b, Folded, WriterOptions{})
	if err := errors.Join(w.RecordInt64([]byte("key"), 7), w.End()); err != nil {
		f.Fatal(err)
	}
	x, err := w.Finish()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), x.Parts[0].Raw, int64(1))
	f.Add([]byte{}, int64(0), int64(0))
	f.Fuzz(func(t *testing.T, data []byte, raw, records int64) {
		part := Part{Stored: int64(len(data)), Raw: raw, Records: records, Sum: checksumOf(data)}
		rd := NewRange(bytes.NewReader(data), Index{Layout: Folded, Parts: []Part{part}}, nil).Reader(0, 1)
		found := int64(0)
		payload, err := rd.Next()
		for ; err == nil; payload, err = rd.Next() {
			for len(payload) > 0 && err == nil {
				if _, _, payload, err = NextFolded(payload); err == nil {
					found++
				}
			}
			if err != nil {
				break
			}
		}
		if !errors.Is(err, errs.Corrupt) {
			err = rd.End(found)
		}
		if err != nil && !errors.Is(err, errs.Corrupt) {
			t.Fatalf("kind of %v", err)
		}
	})
}
