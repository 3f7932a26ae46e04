package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/mapreduce/segment/segmenttest"
)

// rec is a record of either layout.
type rec struct {
	key, value string
	number     int64
}

// write makes partitions of records to a segment in dir.
func write(t testing.TB, dir string, layout segment.Layout, opts segment.WriterOptions, parts [][]rec) segment.Index {
	t.Helper()
	f, err := segment.Create(dir, layout, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abort()
	fill(t, f.Writer, layout, parts)
	x, err := f.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func fill(t testing.TB, w *segment.Writer, layout segment.Layout, parts [][]rec) {
	t.Helper()
	for _, records := range parts {
		for _, r := range records {
			var err error
			if layout == segment.Sorted {
				err = w.Record([]byte(r.key), []byte(r.value))
			} else {
				err = w.RecordInt64([]byte(r.key), r.number)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.End(); err != nil {
			t.Fatal(err)
		}
	}
}

// read reads all parts of a range.
func read(r *segment.Range) (parts [][]rec, err error) {
	x := r.Index()
	rd := r.Reader(x.First, x.First+len(x.Parts))
	for range x.Parts {
		var records []rec
		for {
			payload, err := rd.Next()
			if err == io.EOF {
				break
			}
			for err == nil && len(payload) > 0 {
				var got segment.Record
				if got, payload, err = x.Layout.Next(payload); err == nil {
					one := rec{key: string(got.Key), value: string(got.Value)}
					if x.Layout == segment.Folded {
						one.number = segment.UnZigZag(got.Second)
					}
					records = append(records, one)
				}
			}
			if err != nil {
				return nil, err
			}
		}
		if err := rd.End(int64(len(records))); err != nil {
			return nil, err
		}
		parts = append(parts, records)
	}
	return parts, nil
}

// numbers are around what an encoding treats differently.
var numbers = []int64{0, 1, -1, 63, 64, -65, math.MaxInt64, math.MinInt64}

func drawParts(rt *rapid.T, layout segment.Layout) (parts [][]rec) {
	for range rapid.IntRange(1, 6).Draw(rt, "parts") {
		var records []rec
		for i, key := range segmenttest.Keys(80).Draw(rt, "keys") {
			r := rec{key: key, number: rapid.SampledFrom(numbers).Draw(rt, "number")}
			if layout == segment.Sorted {
				r.number, r.value = 0, strings.Repeat("v", i*i%200)
			}
			records = append(records, r)
		}
		parts = append(parts, records)
	}
	return parts
}

func budget(n int64) *arena.Budget { return arena.New(arena.Options{}).Budget(n) }

// TestRoundTrip writes a segment and reads ranges of it in every way there is.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		layout := rapid.SampledFrom([]segment.Layout{segment.Folded, segment.Sorted}).Draw(rt, "layout")
		opts := segment.WriterOptions{
			Codec: rapid.SampledFrom([]record.Codec{record.None, record.S2, record.Zstd}).Draw(rt, "codec"),
			Block: rapid.SampledFrom([]int{0, 1, 100, 5000}).Draw(rt, "block"),
		}
		parts := drawParts(rt, layout)
		want := write(t, dir, layout, opts, parts)
		x, err := segment.ReadIndex(dir)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(x) != fmt.Sprint(want) {
			t.Fatalf("index read %v\nwritten %v", x, want)
		}
		lo := rapid.IntRange(0, len(parts)).Draw(rt, "lo")
		hi := rapid.IntRange(lo, len(parts)).Draw(rt, "hi")
		check := func(how string, r *segment.Range, err error) {
			if err != nil {
				t.Fatal(how, err)
			}
			got, err := read(r)
			if err != nil {
				t.Fatal(how, err)
			}
			if fmt.Sprint(got) != fmt.Sprint(parts[lo:hi]) {
				t.Fatalf("%s: got %v\nwant %v", how, got, parts[lo:hi])
			}
			if err := r.Close(); err != nil {
				t.Fatal(how, err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(how, "closed twice:", err)
			}
		}
		r, err := segment.Open(dir, lo, hi)
		check("opened", r, err)
		data, err := os.ReadFile(filepath.Join(dir, segment.DataName))
		if err != nil {
			t.Fatal(err)
		}
		piece := rapid.IntRange(1, 300).Draw(rt, "piece")
		for _, memory := range []int64{1 << 20, 0} {
			r, err = receive(x.Cut(lo, hi), data, piece, segment.ReceiveOptions{Budget: budget(memory), Dir: dir})
			check("received", r, err)
		}
		r, err = segment.Spill(dir, layout, opts, func(w *segment.Writer) error {
			src, err := segment.Open(dir, 0, len(parts))
			if err != nil {
				return err
			}
			defer src.Close()
			for i := lo; i < hi && err == nil; i++ {
				if err = w.Copy(src, i); err == nil {
					err = w.End()
				}
			}
			return err
		})
		check("copied", r, err)
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 2 {
			t.Fatalf("files left behind: %v, %v", left, err)
		}
	})
}

// receive gives a receiver the span of want in pieces.
func receive(want segment.Index, data []byte, piece int, opts segment.ReceiveOptions) (*segment.Range, error) {
	rc, err := segment.NewReceiver(want, opts)
	if err != nil {
		return nil, err
	}
	defer rc.Abort()
	offset, length := want.Span()
	span := data[offset:min(offset+length, int64(len(data)))]
	for len(span) > 0 {
		n := min(piece, len(span))
		if _, err := rc.Write(span[:n]); err != nil {
			return nil, err
		}
		span = span[n:]
	}
	return rc.Finish()
}

// TestLongRecords has records that fill several blocks, also exactly.
func TestLongRecords(t *testing.T) {
	const block = record.MaxBlock
	for _, n := range []int{block - 10, block - 5, 2*block - 6, 2*block - 5, 2*block + 100} {
		dir := t.TempDir()
		long := rec{key: "k", value: strings.Repeat("v", n)}
		parts := [][]rec{{{key: "a", value: "b"}, long, {key: "l", value: "m"}}, {{key: "n"}}}
		write(t, dir, segment.Sorted, segment.WriterOptions{}, parts)
		r, err := segment.Open(dir, 0, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got, err := read(r)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if !slices.EqualFunc(got, parts, slices.Equal) {
			t.Fatalf("%d bytes: records differ", n)
		}
	}
}

// TestDamage alters every byte of a small segment, cuts it at every length, and makes it longer: whatever way it is
// read, that is noticed.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	parts := [][]rec{
		{{key: "one", number: 1}, {key: "two", number: -70}}, nil,
		{{key: strings.Repeat("three", 20), number: 3}}, {{key: ""}},
	}
	x := write(t, dir, segment.Folded, segment.WriterOptions{Block: 50}, parts)
	data, err := os.ReadFile(filepath.Join(dir, segment.DataName))
	if err != nil {
		t.Fatal(err)
	}
	index := x.Append(nil)
	check := func(what string, index, data []byte) {
		t.Helper()
		x, err := segment.Parse(index)
		if err == nil {
			_, err = read(segment.NewRange(bytes.NewReader(data), x, nil))
			if _, e := receive(x, data, 7, segment.ReceiveOptions{Budget: budget(1 << 20)}); !errors.Is(e, errs.Corrupt) {
				t.Errorf("%s, received: %v", what, e)
			}
			_, e := segment.Spill(dir, x.Layout, segment.WriterOptions{}, func(w *segment.Writer) error {
				src := segment.NewRange(bytes.NewReader(data), x, nil)
				for i := range x.Parts {
					if err := w.Copy(src, i); err != nil {
						return err
					}
				}
				return nil
			})
			if !errors.Is(e, errs.Corrupt) {
				t.Errorf("%s, copied: %v", what, e)
			}
		}
		if !errors.Is(err, errs.Corrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range data {
		for _, flip := range []byte{1, 0x80, 0xff} {
			altered := bytes.Clone(data)
			altered[i] ^= flip
			check(fmt.Sprintf("byte %d of the data ^ %#x", i, flip), index, altered)
		}
		check(fmt.Sprintf("data cut at %d", i), index, data[:i])
	}
	for i := range index {
		for _, flip := range []byte{1, 0x80, 0xff} {
			altered := bytes.Clone(index)
			altered[i] ^= flip
			check(fmt.Sprintf("byte %d of the index ^ %#x", i, flip), altered, data)
		}
		check(fmt.Sprintf("index cut at %d", i), index[:i], data)
	}
	check("index with more behind", append(bytes.Clone(index), 0), data)
}

// TestWrongIndex has indexes that are well formed but not those of the data.
func TestWrongIndex(t *testing.T) {
	dir := t.TempDir()
	parts := [][]rec{{{key: "a", number: 1}}, {{key: "b", number: 2}, {key: "c", number: 3}}}
	x := write(t, dir, segment.Folded, segment.WriterOptions{Block: 1}, parts)
	data, err := os.ReadFile(filepath.Join(dir, segment.DataName))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(p []segment.Part){
		"records":        func(p []segment.Part) { p[0].Records++ },
		"raw":            func(p []segment.Part) { p[1].Raw-- },
		"cut in a block": func(p []segment.Part) { p[0].Stored--; p[1].Offset--; p[1].Stored++ },
		"cut elsewhere": func(p []segment.Part) {
			n := p[1].Stored / 2
			p[0].Stored, p[1].Offset, p[1].Stored = p[0].Stored+n, p[1].Offset+n, p[1].Stored-n
		},
		"too long": func(p []segment.Part) { p[1].Stored += 100 },
	} {
		wrong := segment.Index{Layout: x.Layout, Parts: slices.Clone(x.Parts)}
		change(wrong.Parts)
		if _, err := read(segment.NewRange(bytes.NewReader(data), wrong, nil)); !errors.Is(err, errs.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReceiverResumes breaks the connection anywhere, and alters a byte now and then.
func TestReceiverResumes(t *testing.T) {
	dir := t.TempDir()
	var parts [][]rec
	for i := range 20 {
		parts = append(parts, slices.Repeat([]rec{{key: fmt.Sprint("key", i), number: 1}}, i*i%17))
	}
	x := write(t, dir, segment.Folded, segment.WriterOptions{}, parts).Cut(3, 18)
	data, err := os.ReadFile(filepath.Join(dir, segment.DataName))
	if err != nil {
		t.Fatal(err)
	}
	offset, length := x.Span()
	span := data[offset : offset+length]
	random := rand.New(rand.NewPCG(1, 2))
	for _, memory := range []int64{1 << 20, 0} {
		rc, err := segment.NewReceiver(x, segment.ReceiveOptions{Budget: budget(memory), Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		damaged := 0
		for rc.Received() < length {
			rest := bytes.Clone(span[rc.Received():])
			rest = rest[:1+random.IntN(min(len(rest), 60))]
			alter := random.IntN(3) == 0
			if alter {
				rest[random.IntN(len(rest))] ^= 0x10
			}
			_, err := rc.Write(rest)
			if alter && err == nil { // noticed at the end of its partition, if it came that far
				_, err = rc.Write(span[rc.Received():])
			}
			if alter != errors.Is(err, errs.Corrupt) {
				t.Fatalf("altered %v: %v", alter, err)
			}
			if alter {
				damaged++
				rc.Rewind()
			}
		}
		if damaged == 0 {
			t.Fatal("nothing was altered")
		}
		if _, err := rc.Write([]byte{0}); !errors.Is(err, errs.Corrupt) {
			t.Errorf("more bytes than there are: %v", err)
		}
		r, err := rc.Finish()
		if err != nil {
			t.Fatal(err)
		}
		rc.Abort()
		got, err := read(r)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(parts[3:18]) {
			t.Fatalf("got %v, %v", got, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	rc, err := segment.NewReceiver(x, segment.ReceiveOptions{Budget: budget(0), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rc.Finish(); !errors.Is(err, errs.Corrupt) {
		t.Errorf("finished with nothing there: %v", err)
	}
	rc.Abort()
	rc.Abort()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
}

// TestNotThereBeforeCommit looks at a directory while a segment is made in it.
func TestNotThereBeforeCommit(t *testing.T) {
	dir := t.TempDir()
	f, err := segment.Create(dir, segment.Sorted, segment.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, f.Writer, segment.Sorted, [][]rec{{{key: "k"}}})
	if _, err := segment.Open(dir, 0, 1); !errors.Is(err, errs.NotFound) {
		t.Errorf("before Commit: %v", err)
	}
	f.Abort()
	f.Abort()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("after Abort: %v, %v", left, err)
	}
	write(t, dir, segment.Sorted, segment.WriterOptions{}, [][]rec{{{key: "k"}}})
	if _, err := segment.Open(dir, 0, 2); !errors.Is(err, errs.Invalid) {
		t.Errorf("a partition too many: %v", err)
	}
	_, err = segment.Create(filepath.Join(dir, "none"), segment.Sorted, segment.WriterOptions{})
	if !errors.Is(err, errs.NotFound) {
		t.Errorf("no such directory: %v", err)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write(p []byte) (int, error) { return len(p) / 2, io.ErrShortWrite }

func TestWriteError(t *testing.T) {
	w := segment.NewWriter(full{}, segment.Sorted, segment.WriterOptions{})
	var err error
	for i := 0; err == nil && i < 1_000_000; i++ {
		err = w.Record([]byte("key"), []byte("value"))
	}
	if !errors.Is(err, io.ErrShortWrite) {
		t.Fatalf("never told: %v", err)
	}
	if _, err := w.Finish(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Finish: %v", err)
	}
}
