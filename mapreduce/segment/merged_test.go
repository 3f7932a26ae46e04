package segment_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
	"github.com/seed3322913c/runner/mapreduce/segment"
)

// dirs makes n directories.
func dirs(t testing.TB, n int) (all []string) {
	t.Helper()
	for range n {
		all = append(all, t.TempDir())
	}
	return all
}

// TestMerge: whatever runs of partitions are read of a merged segment, on the disk, in memory or in a file, each
// segment that went into it has in them what it had before.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		layout := rapid.SampledFrom([]segment.Layout{segment.Folded, segment.Sorted}).Draw(rt, "layout")
		n := rapid.IntRange(1, 5).Draw(rt, "segments")
		from, parts := dirs(t, n), make([][][]rec, n)
		least := 0
		for m := range parts {
			parts[m] = drawParts(rt, layout)
			if m == 0 || len(parts[m]) < least {
				least = len(parts[m])
			}
		}
		for m := range parts {
			parts[m] = parts[m][:least]
			write(t, from[m], layout, segment.WriterOptions{
				Codec: rapid.SampledFrom([]record.Codec{record.None, record.S2}).Draw(rt, "codec"),
				Block: rapid.SampledFrom([]int{0, 1, 100}).Draw(rt, "block"),
			}, parts[m])
		}
		dir := t.TempDir()
		if err := segment.Merge(dir, from); err != nil {
			t.Fatal(err)
		}
		lo := rapid.IntRange(0, least).Draw(rt, "lo")
		hi := rapid.IntRange(lo, least).Draw(rt, "hi")
		r, err := segment.Open(dir, lo*n, hi*n)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(rt, "fetched") {
			data, err := os.ReadFile(filepath.Join(dir, segment.DataName))
			if err != nil {
				t.Fatal(err)
			}
			opts := segment.ReceiveOptions{Dir: dir, Budget: budget(rapid.SampledFrom([]int64{0, 1 << 20}).Draw(rt, "memory"))}
			x := r.Index()
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if r, err = receive(x, data, 1000, opts); err != nil {
				t.Fatal(err)
			}
		}
		all, err := r.Unmerge(n)
		if err != nil {
			t.Fatal(err)
		}
		for m, one := range all {
			got, err := read(one)
			if err != nil {
				t.Fatal(err)
			}
			if want := parts[m][lo:hi]; fmt.Sprint(got) != fmt.Sprint(want) || one.Index().First != lo {
				t.Fatalf("segment %d, partitions %d to %d: %v, want %v", m, lo, hi, got, want)
			}
		}
		for _, one := range all { // the file is open until the last one is closed
			if _, err := read(one); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(one.Close(), one.Close()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestMergeRefuses: what is damaged, missing or of another kind never gets into a merged segment.
func TestMergeRefuses(t *testing.T) {
	parts := [][]rec{{{key: "a", value: "one"}}, {{key: "b", value: "two"}, {key: "c"}}}
	again := func(layout segment.Layout, parts [][]rec) func(string) error {
		return func(dir string) error {
			write(t, dir, layout, segment.WriterOptions{}, parts)
			return nil
		}
	}
	in := func(file string, spoil func(name string) error) func(string) error {
		return func(dir string) error { return spoil(filepath.Join(dir, file)) }
	}
	cut := func(name string) error { return os.Truncate(name, 10) }
	for name, c := range map[string]struct {
		spoil func(dir string) error
		kind  errs.Kind
	}{
		"missing":        {os.RemoveAll, errs.NotFound},
		"no data":        {in(segment.DataName, os.Remove), errs.NotFound},
		"short":          {in(segment.DataName, cut), errs.Corrupt},
		"a byte":         {in(segment.DataName, flipMiddle), errs.Corrupt},
		"the index":      {in(segment.IndexName, flipMiddle), errs.Corrupt},
		"other layout":   {again(segment.Folded, parts), errs.Corrupt},
		"fewer of parts": {again(segment.Sorted, parts[:1]), errs.Corrupt},
	} {
		from, to := dirs(t, 3), t.TempDir()
		for _, d := range from {
			write(t, d, segment.Sorted, segment.WriterOptions{}, parts)
		}
		if err := c.spoil(from[1]); err != nil {
			t.Fatal(err)
		}
		if err := segment.Merge(to, from); errs.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := segment.ReadIndex(to); errs.KindOf(err) != errs.NotFound {
			t.Errorf("%s: there is a segment: %v", name, err)
		}
	}
	if err := segment.Merge(t.TempDir(), nil); errs.KindOf(err) != errs.Invalid {
		t.Errorf("nothing merged: %v", err)
	}
	dir := t.TempDir()
	write(t, dir, segment.Sorted, segment.WriterOptions{}, parts)
	r, err := segment.Open(dir, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Unmerge(3); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("2 partitions of 3 segments: %v", err)
	}
}

func flipMiddle(name string) error {
	b, err := os.ReadFile(name)
	if err == nil {
		b[len(b)/2] ^= 1
		err = os.WriteFile(name, b, 0o666)
	}
	return err
}
