package data

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// files is an input in memory, by URI.
type files map[string][]byte

func (f files) open(_ context.Context, uri string, r store.Range) (io.ReadCloser, error) {
	data, ok := f[uri]
	if !ok {
		return nil, errs.E("open", errs.NotFound, uri, nil)
	}
	from, to := r.Bounds(int64(len(data)))
	return io.NopCloser(bytes.NewReader(data[from:to])), nil
}

func (f files) env(t testing.TB) *guagua.Env {
	return &guagua.Env{Worker: 3, Threads: 3, Open: f.open, Logf: func(string, ...any) {}, Scratch: t.TempDir(),
		Count: func(string, string, int64) {}}
}

// whole is a split of whole files.
func (f files) whole(uris ...string) guagua.Split {
	var in guagua.Split
	for _, uri := range uris {
		n := int64(len(f[uri]))
		in.Pieces = append(in.Pieces, guagua.Piece{URI: uri, Length: n, Size: n})
	}
	return in
}

func options(params guagua.Params) Options {
	r := params.Reader()
	o := ReadOptions(r, "1")
	if err := r.Err(); err != nil {
		panic(err)
	}
	return o
}

// flat returns all rows as text: label and features.
func flat[T Float](t testing.TB, table *Table[T]) string {
	var out strings.Builder
	for b, err := range table.Range(0, table.Rows) {
		if err != nil {
			t.Fatal(err)
		}
		x := b.Dense(nil)
		for i := range b.Rows {
			if b.Y != nil {
				fmt.Fprint(&out, b.Y[i], ":")
			}
			fmt.Fprintln(&out, x[i*b.Columns:(i+1)*b.Columns])
		}
	}
	return out.String()
}

func load(t testing.TB, f files, o Options, uris ...string) (string, error) {
	table, err := Load[float64](t.Context(), f.env(t), f.whole(uris...), o)
	if err != nil {
		return "", err
	}
	defer table.Close()
	return flat(t, table), nil
}

func TestFormats(t *testing.T) {
	gz, zst := new(bytes.Buffer), new(bytes.Buffer)
	z := gzip.NewWriter(gz)
	io.WriteString(z, "1,2.5,-3\n0,4e1,.5\n")
	z.Close()
	s, _ := zstd.NewWriter(zst)
	io.WriteString(s, "1,2.5,-3\n0,4e1,.5")
	s.Close()
	f := files{
		"a.csv": []byte("1,2.5,-3\n0,4e1,.5\n"), "crlf.csv": []byte("1,2.5,-3\r\n0,40.0,0.5\r\n\r\n"),
		"a.csv.gz": gz.Bytes(), "a.csv.zst": zst.Bytes(), "a.tsv": []byte("1\t2.5\t-3\n\n0\t4e1\t.5"),
		"q.csv": []byte(`"1", 2.5 ,"-3"` + "\n" + ` 0,"4e1",.5`), "semi": []byte("1;2.5;-3\n0;40;+0.5"),
		"head.csv":  []byte("age,\"the, label\",size\n2.5,1,-3\n40,0,.5\n"),
		"a.libsvm":  []byte("1 1:2.5 2:-3 # a comment\n# nothing\n0 1:4e1 2:.5\n"),
		"text.csv":  []byte("cat,2.5,-3\ndog,40,.5\n"),
		"empty.csv": nil,
	}
	const want = "1:[2.5 -3]\n0:[40 0.5]\n"
	for uri, params := range map[string]guagua.Params{
		"a.csv": {}, "crlf.csv": {}, "a.csv.gz": {}, "a.csv.zst": {}, "a.tsv": {}, "q.csv": {}, "a.libsvm": {},
		"semi": {"delimiter": ";"}, "head.csv": {"header": "true", "label": "the, label"},
	} {
		if got, err := load(t, f, options(params), "empty.csv", uri); got != want || err != nil {
			t.Errorf("%s: %q, %v", uri, got, err)
		}
	}
	o := options(guagua.Params{})
	o.Labels = Classes([]string{"dog", "cat"})
	if got, err := load(t, f, o, "text.csv"); got != want || err != nil {
		t.Errorf("classes: %q, %v", got, err)
	}
	o.Labels = Positive("cat")
	if got, err := load(t, f, o, "text.csv"); got != want || err != nil {
		t.Errorf("positive: %q, %v", got, err)
	}
	if got, err := load(t, f, options(guagua.Params{"scale": "2", "label": "2"}), "a.csv"); err != nil ||
		got != "2.5:[0.5 -1.5]\n40:[0 0.25]\n" {
		t.Errorf("scale, label: %q, %v", got, err)
	}
	if got, err := load(t, f, options(guagua.Params{"label": "none"}), "a.csv"); err != nil ||
		got != "[1 2.5 -3]\n[0 40 0.5]\n" {
		t.Errorf("no label: %q, %v", got, err)
	}
}

func TestLabels(t *testing.T) {
	for _, c := range []struct {
		labels Labels
		text   string
		want   float64 // NaN: refused
	}{
		{Labels{}, "2.5", 2.5}, {Labels{}, "x", math.NaN()}, {Labels{}, "", math.NaN()},
		{Positive("1"), "1.0", 1}, {Positive("1"), "2", 0}, {Positive("1"), "x", 0}, {Positive("x"), "x", 1},
		{Binary(), "-1", 0}, {Binary(), "1", 1}, {Binary(), "2", math.NaN()},
		{Count(3), "2", 2}, {Count(3), "3", math.NaN()}, {Count(3), "0.5", math.NaN()}, {Count(3), "-1", math.NaN()},
		{Classes([]string{"a", "b"}), "b", 1}, {Classes([]string{"a", "b"}), "c", math.NaN()},
	} {
		got, err := c.labels.text([]byte(c.text))
		if (err != nil) != math.IsNaN(c.want) || err == nil && got != c.want {
			t.Errorf("%+v of %q: %v, %v", c.labels, c.text, got, err)
		}
	}
}

// TestPiecesOwnEachLineOnce cuts a file anywhere, and loads every line exactly once.
func TestPiecesOwnEachLineOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var text strings.Builder
		for range rapid.IntRange(1, 20).Draw(rt, "lines") {
			text.WriteString(rapid.SampledFrom([]string{"1,2\n", "\n", "3,44444\n", "5,6\r\n"}).Draw(rt, "line"))
		}
		data := text.String()
		if rapid.Bool().Draw(rt, "no end") {
			data = strings.TrimSuffix(data, "\n")
		}
		f := files{"a.csv": []byte(data)}
		cuts := append(rapid.SliceOf(rapid.IntRange(0, len(data))).Draw(rt, "cuts"), 0, len(data))
		slices.Sort(cuts)
		got := ""
		for i := range cuts[1:] {
			p := guagua.Piece{URI: "a.csv", Offset: int64(cuts[i]), Length: int64(cuts[i+1] - cuts[i]), Size: int64(len(data))}
			table, err := Load[float64](t.Context(), f.env(t), guagua.Split{Pieces: []guagua.Piece{p}}, options(nil))
			if err == nil {
				got += flat(t, table)
			} else if !strings.Contains(err.Error(), "no records") {
				rt.Fatal(err)
			}
		}
		want, err := load(t, f, options(nil), "a.csv")
		if err != nil && strings.TrimSpace(data) != "" {
			rt.Fatal(err)
		}
		if got != want {
			rt.Fatalf("cut at %v: got %q, want %q", cuts, got, want)
		}
	})
}

func TestBadRowsAreToldWithFileAndLine(t *testing.T) {
	f := files{"a.csv": []byte("1,2,3\n1,2\n1,x,3\n\n1,2,3,4\n1,NaN,3\n1,,3\n1,1e999,3\n0,2,3\n")}
	for _, c := range []struct {
		policy  string
		offset  int64
		rows    int
		message string
	}{
		{"fail", 0, 0, `a.csv line 2: invalid: 2 fields, want 3`},
		{"fail", 8, 0, `a.csv line 3: invalid: field 2: "x" is not a number`},
		{"fail", 17, 0, `a.csv line 5: invalid: 4 fields, want 3`},
		{"max:3", 0, 0, `a.csv line 6: invalid: field 2: "NaN" is not a number`},
		{"max:5", 0, 0, `a.csv line 8: invalid: field 2: "1e999" is not a number`},
		{"max:6", 0, 2, ""},
		{"skip", 0, 2, ""},
	} {
		p := f.whole("a.csv").Pieces[0]
		p.Offset, p.Length = c.offset, p.Size-c.offset
		o := options(guagua.Params{"bad-rows": c.policy})
		table, err := Load[float64](t.Context(), f.env(t), guagua.Split{Pieces: []guagua.Piece{p}}, o)
		if c.message == "" {
			if err != nil || table.Rows != c.rows || table.Bad != 6 {
				t.Errorf("%s: %v", c.policy, err)
			}
		} else if !errors.Is(err, errs.Invalid) || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s from %d: %v", c.policy, c.offset, err)
		}
	}
	for text, want := range map[string]string{
		"1 2:1 1:1": "index 1 comes after 2", "1 0:1": "index 0 comes after 0", "1 a:1": `"a:1" is not index:value`,
		"x 1:1": `label "x" is not a number`, "1 1:y": `"y" is not a number`, "1 1:1 17": `"17" is not index:value`,
		"1 99999999999:1": "is not index:value",
	} {
		_, err := load(t, files{"a.svm": []byte("0 1:1\n" + text + "\n")}, options(nil), "a.svm")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "a.svm line 2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestBadInput(t *testing.T) {
	f := files{"a.csv": []byte("1,2\n3,4\n"), "b.csv": []byte("1,2,3\n"), "a.csv.gz": []byte("no gzip"), "e.csv": nil,
		"p.parquet": []byte("PAR1 is not enough")}
	longer := f.whole("a.csv")
	longer.Pieces[0].Length, longer.Pieces[0].Size = 20, 20
	for name, c := range map[string]struct {
		in     guagua.Split
		params guagua.Params
		kind   errs.Kind
		text   string
	}{
		"missing":   {guagua.Split{Pieces: []guagua.Piece{{URI: "x.csv", Length: 1, Size: 1}}}, nil, errs.NotFound, "x.csv"},
		"cut":       {longer, nil, errs.Corrupt, "it ends after 8 bytes; it had 20"},
		"gzip":      {f.whole("a.csv.gz"), nil, errs.Corrupt, "a.csv.gz"},
		"parquet":   {f.whole("p.parquet"), nil, errs.Corrupt, "p.parquet"},
		"empty":     {f.whole("e.csv"), nil, errs.Invalid, "has no records: e.csv"},
		"ragged":    {f.whole("a.csv", "b.csv"), nil, errs.Invalid, "b.csv line 1: invalid: 3 fields, want 2"},
		"label":     {f.whole("a.csv"), guagua.Params{"label": "3"}, errs.Invalid, "there are 2 columns"},
		"name":      {f.whole("a.csv"), guagua.Params{"label": "y"}, errs.Invalid, "names need header=true"},
		"head only": {f.whole("b.csv"), guagua.Params{"header": "true"}, errs.Invalid, "has no records: b.csv"},
	} {
		_, err := Load[float64](t.Context(), f.env(t), c.in, options(c.params))
		if errs.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v (kind %v)", name, err, errs.KindOf(err))
		}
	}
	for _, p := range []guagua.Params{{"scale": "0"}, {"delimiter": "1"}, {"bad-rows": "max:x"}, {"bad-rows": "3"},
		{"format": "xml"}} {
		r := p.Reader()
		ReadOptions(r, "1")
		if err := r.Err(); !errors.Is(err, errs.Invalid) {
			t.Errorf("%v: %v", p, err)
		}
	}
}

// TestPlacesHoldTheSameRows keeps rows in memory, mapped and in a file, dense and sparse, in both precisions.
func TestPlacesHoldTheSameRows(t *testing.T) {
	var dense, sparse strings.Builder
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		fmt.Fprintf(&dense, "%d,%g,%g\n", r.IntN(2), r.Float32(), r.Float32())
		fmt.Fprintf(&sparse, "%d %d:%g 9:%g\n", r.IntN(2), 1+r.IntN(8), r.Float32(), r.Float32())
	}
	f := files{"a.csv": []byte(dense.String()), "a.svm": []byte(sparse.String())}
	for uri := range f {
		uris := []string{uri, uri, uri} // three blocks at least
		want, err := load(t, f, options(nil), uris...)
		if err != nil {
			t.Fatal(err)
		}
		for keep, room := range map[string]int64{"auto": 8000, "spill": 0, "mmap": 0, "memory": 1 << 20} {
			env := f.env(t)
			env.Memory = room
			table, err := Load[float64](t.Context(), env, f.whole(uris...), options(guagua.Params{"keep": keep}))
			if err != nil {
				t.Fatal(err)
			}
			if got := flat(t, table); got != want {
				t.Errorf("%s, %s: other rows", uri, keep)
			}
			if spilled := table.file != nil; spilled != (keep != "memory") {
				t.Errorf("%s: in a file: %v", keep, spilled)
			}
			if err := table.Close(); err != nil {
				t.Error(err)
			}
			half, err := Load[float32](t.Context(), env, f.whole(uris...), options(guagua.Params{"keep": keep}))
			if err != nil || flat(t, half) != want {
				t.Errorf("%s, %s, float32: %v", uri, keep, err)
			}
		}
	}
	env := f.env(t)
	env.Memory = 100
	_, err := Load[float64](t.Context(), env, f.whole("a.csv"), options(guagua.Params{"keep": "memory"}))
	if !errors.Is(err, errs.Exhausted) {
		t.Error(err)
	}
}

// TestStripesDoNotDependOnThreads goes over a table in any number of threads.
func TestStripesDoNotDependOnThreads(t *testing.T) {
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, "%d,%d\n", i, i)
	}
	f := files{"a.csv": []byte(text.String())}
	table, err := Load[float64](t.Context(), f.env(t), f.whole("a.csv"), options(nil))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for threads := 1; threads < 6; threads++ {
		got := make([]string, table.StripeCount())
		err := table.Each(t.Context(), threads, func(s int, b Block[float64]) error {
			for i := range b.Rows {
				if b.Y[i] != float64(b.First+i) {
					return fmt.Errorf("row %d has label %g", b.First+i, b.Y[i])
				}
				got[s] += strconv.Itoa(int(b.X[i])) + " "
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) || len(got) != Stripes {
			t.Errorf("%d threads: other stripes", threads)
		}
	}
	if all := strings.Fields(strings.Join(want, "")); len(all) != 5000 || all[4999] != "4999" {
		t.Errorf("%d rows", len(all))
	}
	stop := errors.New("stop")
	if err := table.Each(t.Context(), 2, func(int, Block[float64]) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestWiden(t *testing.T) {
	f := files{"a.svm": []byte("1 2:5\n")}
	table, err := Load[float64](t.Context(), f.env(t), f.whole("a.svm"), options(nil))
	if err != nil || table.Columns != 2 || !table.Sparse() {
		t.Fatal(table.Columns, err)
	}
	table.Widen(4)
	if got := flat(t, table); got != "1:[0 5 0 0]\n" {
		t.Error(got)
	}
}

// FuzzNumber: what number accepts is what strconv reads.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"1", "-0.5", "1e5", "123456789012345678901", "1e-400", ".", "+", "1e", "9007199254740993",
		"0.1e+22", "00000000000000000000001", "1.7976931348623157e308", "5e-324", "1-2", "1,2", "", "-.e1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, n := number([]byte(s))
		if n == 0 {
			if w, err := strconv.ParseFloat(s, 64); err == nil && strings.Trim(s, "0123456789.eE+-") == "" {
				t.Errorf("%q is %g, and was refused", s, w)
			}
			return
		}
		if w, err := strconv.ParseFloat(s[:n], 64); err != nil || math.Float64bits(v) != math.Float64bits(w) {
			t.Errorf("%q: %g, want %g, %v", s[:n], v, w, err)
		}
	})
}

// FuzzText: whatever a file holds, loading it ends, and every line is a row, or bad, or empty.
func FuzzText(f *testing.F) {
	f.Add("1,2\n3,4", true)
	f.Add("\"1\",\"2\n", true)
	f.Add("1 1:2\n-1 7:3 # x\n", false)
	f.Add("\r\n,,\n\x00", true)
	f.Fuzz(func(t *testing.T, text string, csv bool) {
		uri := map[bool]string{true: "a.csv", false: "a.svm"}[csv]
		in := files{uri: []byte(text)}
		o := options(guagua.Params{"bad-rows": "skip"})
		table, err := Load[float64](t.Context(), in.env(t), in.whole(uri), o)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Error(err)
			}
			return
		}
		full := 0
		for line := range strings.Lines(text) {
			if strings.TrimSpace(line) != "" {
				full++
			}
		}
		if csv && table.Rows+table.Bad != full || table.Rows+table.Bad > full {
			t.Errorf("%d rows and %d bad ones out of %d lines", table.Rows, table.Bad, full)
		}
	})
}

func BenchmarkCSV(b *testing.B) {
	var text bytes.Buffer
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		fmt.Fprintf(&text, "%d", r.IntN(10))
		for range 100 {
			fmt.Fprintf(&text, ",%.4f", r.Float64()*10)
		}
		text.WriteByte('\n')
	}
	f := files{"a.csv": text.Bytes()}
	for threads := 1; threads <= 2; threads++ {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			b.SetBytes(int64(text.Len()))
			env := f.env(b)
			env.Threads = threads
			for b.Loop() {
				if _, err := Load[float64](b.Context(), env, f.whole("a.csv"), options(nil)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
