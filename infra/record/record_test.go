package record_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
)

var codecs = []record.Codec{record.None, record.S2, record.Zstd}

// payloads are the shapes that matter: nothing, tiny, text, bytes that do not compress, runs, and the largest.
func payloads() [][]byte {
	noise := make([]byte, 100_000)
	x := uint32(1)
	for i := range noise {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	return [][]byte{
		nil, []byte("a"), []byte(strings.Repeat("the quick brown fox ", 500)), noise,
		make([]byte, 300_000), make([]byte, record.MaxBlock),
	}
}

// readers are the two ways to read the same input.
var readers = map[string]func([]byte) *record.Reader{
	"bytes":  record.NewBytesReader,
	"stream": func(b []byte) *record.Reader { return record.NewReader(iotest.HalfReader(bytes.NewReader(b))) },
}

// blocks reads all payloads until the first error.
func blocks(r *record.Reader) (got [][]byte, err error) {
	for {
		b, err := r.Next()
		if err != nil {
			return got, err
		}
		got = append(got, bytes.Clone(b))
	}
}

func TestBlocksComeBack(t *testing.T) {
	for _, codec := range codecs {
		var stream []byte
		enc := record.NewEncoder(codec)
		for _, p := range payloads() {
			stream = enc.Append(stream, p)
		}
		for name, open := range readers {
			got, err := blocks(open(stream))
			if err != io.EOF {
				t.Errorf("%v, %s: ended with %v", codec, name, err)
			}
			if !slices.EqualFunc(got, payloads(), bytes.Equal) {
				t.Errorf("%v, %s: other payloads came back", codec, name)
			}
		}
	}
}

func TestCompressionThatDoesNotPayIsDropped(t *testing.T) {
	for _, codec := range codecs {
		noise := payloads()[3]
		if b := record.Append(nil, noise, codec); b[0] != 0xB0 || len(b) > len(noise)+record.MaxHeader {
			t.Errorf("%v: noise stored with tag %#x in %d bytes", codec, b[0], len(b))
		}
		if b := record.Append(nil, make([]byte, 1000), codec); b[0] != 0xB0|byte(codec) {
			t.Errorf("%v: zeros stored with tag %#x", codec, b[0])
		}
	}
}

// TestWriterKeepsChunksTogether checks that a chunk is cut only if it is longer than a block.
// TestCompressionThatDoesNotPayIsTriedSeldom: behind many blocks of noise the first that would compress is not tried,
// but one that follows soon, and then all.
func TestCompressionThatDoesNotPayIsTriedSeldom(t *testing.T) {
	noise, text := make([]byte, 1000), bytes.Repeat([]byte("text"), 250)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(noise)
	for _, codec := range []record.Codec{record.S2, record.Zstd} {
		e := record.NewEncoder(codec)
		for range 1000 {
			e.Append(nil, noise)
		}
		n := 0
		for len(e.Append(nil, text)) > 500 && n < 1000 {
			n++
		}
		if n == 0 || n > 32 || len(e.Append(nil, text)) > 500 {
			t.Errorf("%v: text is compressed after %d blocks", codec, n)
		}
	}
}

func TestWriterKeepsChunksTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 64).Draw(t, "block")
		chunks := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 200)).Draw(t, "chunks")
		var out bytes.Buffer
		w := record.NewWriter(&out, record.Options{Codec: rapid.SampledFrom(codecs).Draw(t, "codec"), Block: limit})
		for _, c := range chunks {
			if n, err := w.Write(c); n != len(c) || err != nil {
				t.Fatalf("Write: %d, %v", n, err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if w.Offset() != int64(out.Len()) {
			t.Fatalf("offset %d of %d", w.Offset(), out.Len())
		}
		got, err := blocks(record.NewBytesReader(out.Bytes()))
		if err != io.EOF {
			t.Fatal(err)
		}
		ends := map[int]bool{} // where blocks end in the stream of payloads
		at := 0
		for _, b := range got {
			if len(b) > limit {
				t.Fatalf("a block of %d bytes, limit %d", len(b), limit)
			}
			at += len(b)
			ends[at] = true
		}
		if !bytes.Equal(slices.Concat(got...), slices.Concat(chunks...)) {
			t.Fatal("other bytes came back")
		}
		at = 0
		for _, c := range chunks {
			for i := at + 1; i < at+len(c) && len(c) <= limit; i++ {
				if ends[i] {
					t.Fatalf("the chunk at %d was cut at %d", at, i)
				}
			}
			at += len(c)
		}
		all, err := io.ReadAll(record.NewReader(bytes.NewReader(out.Bytes())))
		if err != nil || !bytes.Equal(all, slices.Concat(chunks...)) {
			t.Fatalf("read as a stream: %v", err)
		}
	})
}

// TestEveryFlippedBitIsNoticed also checks that what was read before the damage is what was written.
func TestEveryFlippedBitIsNoticed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream, want := drawStream(t)
		bit := rapid.IntRange(0, len(stream)*8-1).Draw(t, "bit")
		stream[bit/8] ^= 1 << (bit % 8)
		for name, open := range readers {
			got, err := blocks(open(stream))
			if !errors.Is(err, errs.Corrupt) {
				t.Fatalf("%s: bit %d flipped, and %d of %d blocks read, then %v", name, bit, len(got), len(want), err)
			}
			checkPrefix(t, got, want)
		}
	})
}

// TestEveryFlippedByteIsNoticed goes through all bytes and all values of one stream.
func TestEveryFlippedByteIsNoticed(t *testing.T) {
	for _, codec := range codecs {
		stream := record.Append(nil, []byte(strings.Repeat("abc ", 20)), codec)
		stream = record.Append(stream, []byte("second"), codec)
		for i := range stream {
			for x := 1; x < 256; x++ {
				bad := bytes.Clone(stream)
				bad[i] ^= byte(x)
				if _, err := blocks(record.NewBytesReader(bad)); !errors.Is(err, errs.Corrupt) {
					t.Fatalf("%v: byte %d xor %#x: %v", codec, i, x, err)
				}
			}
		}
	}
}

func TestEveryTruncationIsTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream, want := drawStream(t)
		cut := rapid.IntRange(0, len(stream)).Draw(t, "cut")
		for name, open := range readers {
			r := open(stream[:cut])
			got, err := blocks(r)
			checkPrefix(t, got, want)
			if int64(cut) == r.Offset() { // between two blocks: a clean end
				if err != io.EOF {
					t.Fatalf("%s: %v at a block's end", name, err)
				}
			} else if !errors.Is(err, errs.Corrupt) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s: %v inside a block", name, err)
			}
		}
	})
}

func drawStream(t *rapid.T) (stream []byte, want [][]byte) {
	enc := record.NewEncoder(rapid.SampledFrom(codecs).Draw(t, "codec"))
	want = rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom([]byte("aaab")), 0, 300), 1, 5).Draw(t, "payloads")
	for _, p := range want {
		stream = enc.Append(stream, p)
	}
	return stream, want
}

func checkPrefix(t *rapid.T, got, want [][]byte) {
	if len(got) > len(want) || !slices.EqualFunc(got, want[:len(got)], bytes.Equal) {
		t.Fatalf("%d blocks read, not those that were written", len(got))
	}
}

func TestErrorSaysWhere(t *testing.T) {
	stream := record.Append(nil, []byte("good"), record.None)
	at := len(stream)
	stream = record.Append(stream, []byte("bad"), record.None)
	stream[len(stream)-1] ^= 1
	r := record.NewBytesReader(stream)
	_, err := blocks(r)
	want := fmt.Sprintf("record.Read block 1 at byte %d: corrupt data: checksum differs", at)
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if _, again := r.Next(); again != err {
		t.Errorf("then %v", again)
	}
}

func TestFailingInputIsNotDamage(t *testing.T) {
	broken := errs.E("net", errs.Unavailable, nil, errors.New("cable"))
	stream := record.Append(nil, make([]byte, 100_000), record.None)
	for _, cut := range []int{0, 5, 90_000} {
		_, err := blocks(record.NewReader(io.MultiReader(bytes.NewReader(stream[:cut]), iotest.ErrReader(broken))))
		if errs.KindOf(err) != errs.Unavailable {
			t.Errorf("after %d bytes: %v", cut, err)
		}
	}
}

func TestFailingOutputIsToldForEver(t *testing.T) {
	broken := errors.New("disk full")
	w := record.NewWriter(writerFunc(func([]byte) (int, error) { return 0, broken }), record.Options{Block: 4})
	if _, err := w.Write([]byte("more than four")); !errors.Is(err, broken) {
		t.Errorf("Write: %v", err)
	}
	if err := w.Flush(); !errors.Is(err, broken) {
		t.Errorf("Flush: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// allocations returns how many f makes once everything is warm: the least of a few measurements, since a garbage
// collection in between empties the pools that codecs keep, and other goroutines' allocations count too.
func allocations(f func()) float64 {
	least := testing.AllocsPerRun(20, f)
	for range 4 {
		least = min(least, testing.AllocsPerRun(20, f))
	}
	return least
}

// TestSteadyStateDoesNotAllocate writes and reads blocks with warm buffers.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	text := []byte(strings.Repeat("the quick brown fox ", 5000))
	for _, codec := range codecs {
		w := record.NewWriter(io.Discard, record.Options{Codec: codec})
		if n := allocations(func() {
			if _, err := w.Write(text); err != nil {
				t.Fatal(err)
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations for a block written", codec, n)
		}
		var stream []byte
		for range 110 { // one for each call, and the warm-ups
			stream = record.Append(stream, text, codec)
		}
		for name, r := range map[string]*record.Reader{
			"bytes": record.NewBytesReader(stream), "stream": record.NewReader(bytes.NewReader(stream)),
		} {
			if n := allocations(func() {
				if _, err := r.Next(); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%v, %s: %v allocations for a block read", codec, name, n)
			}
		}
	}
}

func TestUncompressedBlocksAreViews(t *testing.T) {
	stream := record.Append(nil, []byte("payload"), record.None)
	b, err := record.NewBytesReader(stream).Next()
	if err != nil {
		t.Fatal(err)
	}
	if &b[0] != &stream[len(stream)-len(b)] {
		t.Error("the payload was copied")
	}
}

func TestByteStrings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(t, "list")
		var data []byte
		for _, b := range list {
			data = record.AppendBytes(data, b)
		}
		rest := data
		for _, want := range list {
			b, r, ok := record.Bytes(rest)
			if !ok || !bytes.Equal(b, want) {
				t.Fatalf("got %q, %v, want %q", b, ok, want)
			}
			rest = r
		}
		if len(rest) != 0 {
			t.Fatalf("%d bytes left", len(rest))
		}
	})
	huge := strings.Repeat("\xff", 9) + "\x01"
	for _, bad := range []string{"", "\x05four", "\x80", huge, strings.Repeat("\xff", 11)} {
		if _, _, ok := record.Bytes([]byte(bad)); ok {
			t.Errorf("%q was taken for a byte string", bad)
		}
	}
}

func TestCodecNames(t *testing.T) {
	for _, c := range codecs {
		if got, err := record.ParseCodec(c.String()); got != c || err != nil {
			t.Errorf("%v came back as %v, %v", c, got, err)
		}
	}
	if _, err := record.ParseCodec("gzip"); !errors.Is(err, errs.Invalid) {
		t.Errorf("gzip: %v", err)
	}
}

// FuzzReader feeds any bytes: no panic, both sources agree, and whatever is accepted can be written and read again.
func FuzzReader(f *testing.F) {
	for _, codec := range codecs {
		s := record.Append(nil, []byte(strings.Repeat("word ", 100)), codec)
		f.Add(s)
		f.Add(append(s, record.Append(nil, nil, codec)...))
		f.Add(s[:len(s)-1])
	}
	f.Add([]byte{})
	f.Add([]byte{0xB0, 0xff, 0xff, 0xff, 0x07, 0xff, 0xff, 0xff, 0x07, 0, 0, 0, 0})
	f.Add([]byte{0xB1, 0x80, 0x80, 0x80, 0x08, 0x01, 1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := blocks(record.NewBytesReader(data))
		got2, err2 := blocks(record.NewReader(bytes.NewReader(data)))
		if !slices.EqualFunc(got, got2, bytes.Equal) || err.Error() != err2.Error() {
			t.Fatalf("bytes: %d blocks, %v; stream: %d blocks, %v", len(got), err, len(got2), err2)
		}
		if err != io.EOF && !errors.Is(err, errs.Corrupt) {
			t.Fatal(err)
		}
		var again []byte
		for _, b := range got {
			again = record.Append(again, b, record.None)
		}
		got3, err := blocks(record.NewBytesReader(again))
		if err != io.EOF || !slices.EqualFunc(got, got3, bytes.Equal) {
			t.Fatalf("written again: %v", err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	text := []byte(strings.Repeat("the quick brown fox jumps over it ", 7000))
	for _, codec := range codecs {
		b.Run(codec.String(), func(b *testing.B) {
			const blocks = 100
			stream := bytes.Repeat(record.Append(nil, text, codec), blocks)
			b.SetBytes(int64(blocks * len(text)))
			for b.Loop() {
				r := record.NewBytesReader(stream)
				for range blocks {
					if _, err := r.Next(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	text := []byte(strings.Repeat("the quick brown fox jumps over it ", 7000))
	for _, codec := range codecs {
		b.Run(codec.String(), func(b *testing.B) {
			w := record.NewWriter(io.Discard, record.Options{Codec: codec})
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := w.Write(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
