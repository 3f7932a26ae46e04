package split

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
)

var accept = flag.Bool("accept", false, "accept the plans as they are now")

// TestCutGolden shows the plans of typical inputs. Read the difference before you accept it with -accept.
func TestCutGolden(t *testing.T) {
	const kb, mb = 1000, 1000 * 1000
	files := func(n int, size int64) (all []File) {
		for i := range n {
			all = append(all, File{URI: fmt.Sprintf("file:///in/%05d", i), Size: size, Version: "v"})
		}
		return all
	}
	one := func(size int64) []File { return []File{{"file:///in/text", size, "v"}} }
	var b strings.Builder
	for _, c := range []struct {
		name  string
		files []File
		opts  Options
	}{
		{"nothing", nil, Options{Slots: 2}},
		{"an empty file", one(0), Options{Slots: 2}},
		{"1 KB", one(kb), Options{Slots: 2}},
		{"4.5 MB, within the slop", one(4500 * kb), Options{Slots: 8}},
		{"870 MB on 2 cores", one(874_773_076), Options{Slots: 2}},
		{"100 GB on 2 cores", one(100_000 * mb), Options{Slots: 2}},
		{"100 GB on 800 cores", one(100_000 * mb), Options{Slots: 800}},
		{"10 bytes by 3", one(10), Options{Size: 3}},
		{"80,000 files of 10 KB on 2 cores", files(80_000, 10*kb), Options{Slots: 2}},
		{"30,000 files of 1 byte", files(30_000, 1), Options{Slots: 2}},
		{"large and small by turns", append(append(files(3, 100), one(1000)...), files(2, 150)...), Options{Size: 300}},
	} {
		splits := Cut(c.files, c.opts)
		fmt.Fprintf(&b, "%s: %d splits\n", c.name, len(splits))
		for i, s := range splits {
			if i >= 4 && i < len(splits)-1 {
				continue
			}
			fmt.Fprintf(&b, "  %d: %s\n", i, s)
		}
	}
	const golden = "testdata/cut.golden"
	if *accept {
		if err := os.WriteFile(golden, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Error(d)
	}
}

// drawSplits are splits of any files.
func drawFiles(t *rapid.T) []File {
	names := rapid.SliceOfDistinct(rapid.StringMatching(`[ab/é]{0,12}`), rapid.ID).Draw(t, "names")
	files := make([]File, len(names))
	for i, n := range names {
		size := rapid.OneOf(rapid.Int64Range(0, 50), rapid.Int64Range(0, 1<<40)).Draw(t, "size")
		files[i] = File{"mem:///" + n, size, rapid.StringN(0, 5, -1).Draw(t, "version")}
	}
	return files
}

// TestCutCovers: whatever the files and the options, the pieces in their order are the files in theirs, without gaps.
func TestCutCovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := drawFiles(t)
		var total int64
		for _, f := range files {
			total += f.Size
		}
		o := Options{Slots: rapid.IntRange(0, 64).Draw(t, "slots")}
		if rapid.Bool().Draw(t, "fixed") {
			o.Size = rapid.Int64Range(max(total/1000, 1), 1<<41).Draw(t, "split size")
		}
		next, at := 0, int64(0)
		for _, s := range Cut(files, o) {
			if len(s) == 0 {
				t.Fatal("a split without pieces")
			}
			if size := o.SizeFor(total); s.Bytes() > size+size/slop {
				t.Fatalf("a split of %d bytes, %d allowed", s.Bytes(), size)
			}
			for _, p := range s {
				for at == files[next].Size {
					next, at = next+1, 0
				}
				if p.File != files[next] || p.Offset != at || p.Length < 1 {
					t.Fatalf("%v after byte %d of %v", p, at, files[next])
				}
				at += p.Length
			}
		}
		for ; next < len(files) && at == files[next].Size; next++ {
			at = 0
		}
		if next < len(files) {
			t.Fatalf("%v is not read from byte %d on", files[next], at)
		}
	})
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, s := range Cut(drawFiles(t), Options{Size: 1 << 36}) {
			back, err := Decode(s.Append(nil))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(s, back); d != "" {
				t.Fatal(d)
			}
		}
	})
}

func TestWriteRead(t *testing.T) {
	for _, n := range []int{0, 1, 5000} {
		var splits []Split
		for i := range n {
			splits = append(splits, Split{{File{fmt.Sprint("s3://b/", i), 10, "v"}, 0, 5}, {File{"s3://b/z", 7, ""}, 0, 7}})
		}
		st := mem.New()
		if err := Write(t.Context(), st, "jobs/x/splits", []byte("head"), splits); err != nil {
			t.Fatal(err)
		}
		if err := Write(t.Context(), st, "jobs/x/splits", []byte("other"), nil); errs.KindOf(err) != errs.Exist {
			t.Errorf("written again: %v", err)
		}
		head, back, err := Read(t.Context(), st, "jobs/x/splits")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(splits, back); d != "" || string(head) != "head" {
			t.Error(string(head), d)
		}
	}
}

func TestReadDamaged(t *testing.T) {
	st := mem.New()
	if _, _, err := Read(t.Context(), st, "splits"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("no object: %v", err)
	}
	if err := Write(t.Context(), st, "splits", []byte("head"), []Split{{{File{"s3://b/x", 10, "v"}, 0, 10}}}); err != nil {
		t.Fatal(err)
	}
	data, err := store.Get(t.Context(), st, "splits", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		bad := append([]byte(nil), data...)
		bad[i] ^= 4
		if err := store.Put(t.Context(), st, "splits", bad); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(t.Context(), st, "splits"); errs.KindOf(err) != errs.Corrupt {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Split{{File{"file:///a/b", 10, "1-2"}, 0, 4}, {File{"file:///a/c", 3, "1-2"}, 0, 3}}.Append(nil))
	f.Add([]byte{version, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			if errs.KindOf(err) != errs.Corrupt {
				t.Fatal(err)
			}
			return
		}
		for _, p := range s {
			if p.Offset < 0 || p.Length < 0 || p.Length > p.Size-p.Offset {
				t.Fatalf("%v", p)
			}
		}
		if back, err := Decode(s.Append(nil)); err != nil || !cmp.Equal(s, back) {
			t.Fatalf("%v became %v, %v", s, back, err)
		}
	})
}
