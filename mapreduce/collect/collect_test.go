package collect

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

var sum = functions.NewInt64Fold(functions.FoldSum).(functions.Int64Folder)

func options(t testing.TB, memory int64, parts int) Options {
	b := arena.New(arena.Options{Slab: 4 << 10}).Budget(memory)
	t.Cleanup(b.Close)
	return Options{Dir: t.TempDir(), Scratch: t.TempDir(), Budget: b, Partitions: parts}
}

func newFolder(t testing.TB, o FoldOptions) *Folder {
	t.Helper()
	c, err := NewFolder(sum, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newSorter(t testing.TB, o SortOptions) *Sorter {
	t.Helper()
	c, err := NewSorter(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// contents reads all records of a segment, partition by partition, as text.
func contents(t testing.TB, dir string) (parts []string) {
	t.Helper()
	x, err := segment.ReadIndex(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := segment.Open(dir, 0, len(x.Parts))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i, p := range x.Parts {
		var out bytes.Buffer
		rd := r.Reader(i, i+1)
		for payload, err := rd.Next(); err == nil; payload, err = rd.Next() {
			for len(payload) > 0 {
				var r segment.Record
				if r, payload, err = x.Layout.Next(payload); err != nil {
					t.Fatal(err)
				}
				if x.Layout == segment.Folded {
					fmt.Fprintf(&out, "%s=%d ", r.Key, segment.UnZigZag(r.Second))
				} else {
					fmt.Fprintf(&out, "%s=%s ", r.Key, r.Value)
				}
			}
		}
		if err := rd.End(p.Records); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, out.String())
	}
	return parts
}

// failsWith checks that a collector refuses something with a kind of error, and that Finish does too, since the mapper
// may not have passed the error on.
func failsWith(t *testing.T, c Collector, got error, want errs.Kind) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := c.Finish(t.Context()); !errors.Is(err, want) {
		t.Errorf("Finish: got %v, want %v", err, want)
	}
}

func TestBadValues(t *testing.T) {
	for _, bad := range []struct {
		kind  functions.ValueKind
		value string
	}{
		{functions.ValueInt64, ""}, {functions.ValueInt64, "\x02\x02"}, {functions.ValueInt64, "\x80"},
		{functions.ValueText, ""}, {functions.ValueText, "one"}, {functions.ValueText, "99999999999999999999"},
	} {
		c := newFolder(t, FoldOptions{Options: options(t, 64<<10, 1), Values: bad.kind})
		failsWith(t, c, c.Emit([]byte("key"), []byte(bad.value)), errs.Invalid)
	}
}

func TestBadPartitioner(t *testing.T) {
	long := []byte(strings.Repeat("long", 20)) // such keys go to their partition at once
	for _, p := range []int{-1, 3} {
		f := newFolder(t, FoldOptions{Options: options(t, 64<<10, 3), Partition: func([]byte) int { return p }})
		failsWith(t, f, f.EmitInt64(long, 1), errs.Invalid)
		f = newFolder(t, FoldOptions{Options: options(t, 64<<10, 3), Partition: func([]byte) int { return p }})
		if err := f.EmitInt64([]byte("short"), 1); err != nil {
			t.Error(err)
		}
		if _, err := f.Finish(t.Context()); !errors.Is(err, errs.Invalid) {
			t.Errorf("partition %d of a key in the cache: %v", p, err)
		}
		s := newSorter(t, SortOptions{Options: options(t, 64<<10, 3), Partition: func(_, _ []byte) int { return p }})
		failsWith(t, s, s.Emit(long, nil), errs.Invalid)
	}
}

func TestBadOptions(t *testing.T) {
	for _, parts := range []int{0, -1, segment.MaxParts + 1} {
		if _, err := NewFolder(sum, FoldOptions{Options: options(t, 64<<10, parts)}); !errors.Is(err, errs.Invalid) {
			t.Errorf("folder of %d partitions: %v", parts, err)
		}
		if _, err := NewSorter(SortOptions{Options: options(t, 64<<10, parts)}); !errors.Is(err, errs.Invalid) {
			t.Errorf("sorter of %d partitions: %v", parts, err)
		}
	}
	if _, err := NewFolder(sum, FoldOptions{Options: options(t, 4<<10, 1)}); !errors.Is(err, errs.Exhausted) {
		t.Errorf("no memory to begin: %v", err)
	}
}

func TestRecordBeyondBudget(t *testing.T) {
	huge := bytes.Repeat([]byte("x"), 100<<10)
	f := newFolder(t, FoldOptions{Options: options(t, 64<<10, 1)})
	failsWith(t, f, f.EmitInt64(huge, 1), errs.Exhausted)
	s := newSorter(t, SortOptions{Options: options(t, 64<<10, 1)})
	failsWith(t, s, s.Emit([]byte("key"), huge), errs.Exhausted)
}

// TestNoDisk has no room for the segment, or no place for spills.
func TestNoDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full here")
	}
	collectors := map[string]func(o Options) Collector{
		"folder": func(o Options) Collector { return newFolder(t, FoldOptions{Options: o}) },
		"sorter": func(o Options) Collector { return newSorter(t, SortOptions{Options: o}) },
	}
	for name, make := range collectors {
		o := options(t, 256<<10, 2)
		if err := os.Symlink("/dev/full", filepath.Join(o.Dir, segment.DataName)); err != nil {
			t.Fatal(err)
		}
		c := make(o)
		if err := functions.EmitInt64(c, []byte("key"), 1); err != nil {
			t.Fatal(err)
		}
		_, err := c.Finish(t.Context())
		if !errors.Is(err, errs.Exhausted) || !strings.Contains(err.Error(), segment.DataName) {
			t.Errorf("%s, full disk: %v", name, err)
		}
		o = options(t, 64<<10, 2)
		o.Scratch = filepath.Join(o.Scratch, "absent")
		c, err = make(o), nil
		for i := 0; err == nil && i < 100_000; i++ {
			err = functions.EmitInt64(c, fmt.Appendf(nil, "key %d", i), 1)
		}
		failsWith(t, c, err, errs.NotFound)
		if _, err := segment.ReadIndex(o.Dir); !errors.Is(err, errs.NotFound) {
			t.Errorf("%s: there is a segment: %v", name, err)
		}
		if o.Budget.Left() != o.Budget.Limit() {
			t.Errorf("%s: %d bytes are still held", name, o.Budget.Limit()-o.Budget.Left())
		}
	}
}

// changing is a combiner that puts out other keys than it gets.
type changing struct{}

func (changing) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	for values.Next() {
	}
	_ = out.Emit([]byte("a key of its own"), nil) // and does not look whether that worked
	return nil
}

func TestCombinerChangesKeys(t *testing.T) {
	for _, parts := range []int{1, 50} {
		c := newSorter(t, SortOptions{Options: options(t, 256<<10, parts), Combiner: changing{}})
		for i := range 100 {
			if err := c.Emit(fmt.Appendf(nil, "%d %d", i, i), nil); err != nil {
				t.Fatal(err)
			}
		}
		// With one partition the keys are in order, and the same key again and again: nothing is wrong with that.
		if _, err := c.Finish(t.Context()); errors.Is(err, errs.Invalid) != (parts > 1) {
			t.Errorf("%d partitions: %v", parts, err)
		}
	}
}

// first is a combiner that keeps the first value.
type first struct{ calls int }

func (f *first) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	f.calls++
	values.Next()
	return out.Emit(key, values.Value())
}

// TestCombinerThatDoesNotPay is given up after a while.
func TestCombinerThatDoesNotPay(t *testing.T) {
	for repeat, want := range map[int]bool{1: false, 10: true} {
		combiner := &first{}
		c := newSorter(t, SortOptions{Options: options(t, 128<<10, 1), Combiner: combiner})
		const keys = 50_000
		for i := range keys * repeat {
			if err := c.Emit(fmt.Appendf(nil, "key %d", i/repeat), []byte("value")); err != nil {
				t.Fatal(err)
			}
		}
		x, err := c.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s := c.Stats()
		if (combiner.calls >= keys) != want || s.CombineIn < trial || x.Records() != keys {
			t.Errorf("%d values a key: %d calls, %d records, %+v", repeat, combiner.calls, x.Records(), s)
		}
	}
}

// TestFoldsMore has keys that repeat too far apart for the cache: those of a partition are folded once more at the end
// if that pays.
func TestFoldsMore(t *testing.T) {
	for distinct, want := range map[int]int64{30_000: 30_000, 150_000: 300_000} {
		o := options(t, 64<<20, 8)
		c := newFolder(t, FoldOptions{Options: o})
		for i := range 300_000 {
			if err := c.EmitInt64(fmt.Appendf(nil, "key %d", i%distinct), 1); err != nil {
				t.Fatal(err)
			}
		}
		x, err := c.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := x.Records(); n != want && !(want == 300_000 && n > want*9/10 && n <= want) {
			t.Errorf("%d keys: %d records, want about %d", distinct, n, want)
		}
	}
}

func TestCompressed(t *testing.T) {
	sizes := map[record.Codec]int64{}
	for _, codec := range []record.Codec{record.None, record.S2, record.Zstd} {
		o := options(t, 1<<20, 2)
		o.Codec = codec
		c := newSorter(t, SortOptions{Options: o})
		for i := range 1000 {
			if err := c.Emit(fmt.Appendf(nil, "key %04d", i), []byte("value")); err != nil {
				t.Fatal(err)
			}
		}
		x, err := c.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, sizes[codec] = x.Span()
		if got := strings.Join(contents(t, o.Dir), ""); strings.Count(got, "=value ") != 1000 {
			t.Errorf("%v: %q", codec, got)
		}
	}
	if sizes[record.S2] >= sizes[record.None] || sizes[record.Zstd] >= sizes[record.None] {
		t.Errorf("nothing was saved: %v", sizes)
	}
}

func TestAbort(t *testing.T) {
	for name, c := range map[string]func(o Options) Collector{
		"folder": func(o Options) Collector { return newFolder(t, FoldOptions{Options: o}) },
		"sorter": func(o Options) Collector { return newSorter(t, SortOptions{Options: o}) },
	} {
		o := options(t, 64<<10, 3)
		c := c(o)
		for i := range 30_000 {
			if err := functions.EmitInt64(c, fmt.Appendf(nil, "key %d", i), 1); err != nil {
				t.Fatal(err)
			}
		}
		if c.Stats().Spills == 0 {
			t.Errorf("%s did not spill", name)
		}
		c.Abort()
		c.Abort()
		for _, dir := range []string{o.Dir, o.Scratch} {
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%s left behind %v, %v", name, left, err)
			}
		}
		if o.Budget.Left() != o.Budget.Limit() {
			t.Errorf("%s: %d bytes are still held", name, o.Budget.Limit()-o.Budget.Left())
		}
	}
}

// TestText collects numbers as text: what a streaming program's job does.
func TestText(t *testing.T) {
	o := options(t, 256<<10, 1)
	f := newFolder(t, FoldOptions{Options: o, Values: functions.ValueText})
	for _, v := range []string{"1", "-12", "+3"} {
		if err := f.Emit([]byte("k"), []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, o.Dir)[0]; got != "k=-8 " {
		t.Errorf("folded: %q", got)
	}
	o = options(t, 256<<10, 1)
	s := newSorter(t, SortOptions{Options: o, Values: functions.ValueText})
	if err := s.EmitInt64([]byte("k"), -8); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, o.Dir)[0]; got != "k=-8 " {
		t.Errorf("sorted: %q", got)
	}
}

// BenchmarkFolder emits words that are nearly all in the cache, and words that never are.
func BenchmarkFolder(b *testing.B) {
	for _, distinct := range []int{1000, 1 << 20} {
		b.Run(fmt.Sprintf("distinct=%d", distinct), func(b *testing.B) {
			const n = 1 << 20
			text := make([]byte, 0, n*16)
			ends := make([]int, n)
			for i := range ends {
				text = fmt.Appendf(text, "w%x", uint32(i%distinct)*0x9E3779B9)
				ends[i] = len(text)
			}
			text = append(text, make([]byte, 16)...)[:len(text)]
			pool := arena.New(arena.Options{})
			dir := b.TempDir()
			for b.Loop() {
				budget := pool.Budget(256 << 20)
				c := newFolder(b, FoldOptions{Options: Options{Dir: dir, Scratch: dir, Budget: budget, Partitions: 1024}})
				start := 0
				for _, end := range ends {
					if err := c.EmitInt64(text[start:end], 1); err != nil {
						b.Fatal(err)
					}
					start = end
				}
				c.Abort()
				budget.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
		})
	}
}
