package mapreduce

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/mapreduce/proof"
)

// nasty are inputs that word counts get wrong.
var nasty = map[string]string{
	"plain.txt":        "to be or not to be\nthat is the question\n",
	"no-final-newline": "to be\nor not",
	"crlf":             "to be\r\nor not\r\n\r\nto be",
	"empty":            "",
	"blank":            "\n\n \t \v\f\r\n",
	"one-word":         "word",
	"spaces":           strings.Repeat(" ", 5000) + "x" + strings.Repeat("\t", 5000),
	"invalid-utf8":     "caf\xe9 caf\xc3\xa9 \xff\xfe\xfd \xc3 \xa9 caf\xe9\n",
	"unicode-space":    "a\u00a0b a\u2003b a\u0085b\n", // no white space for us: bytes that are not ASCII belong to words
	"binary":           string(binaryBytes(40_000)),
	"zeros":            strings.Repeat("\x00", 10_000) + "\n\x00 \x00\x00 \x00\n",
	"long-word":        strings.Repeat("w", 100_000) + " end\n" + strings.Repeat("w", 100_000) + "\n",
	"long-line":        strings.Repeat("many words in one line ", 40_000),
	"deep/er/file":     "deep down\n",
	"ünïcode name [1]": "named strangely\n",
	"_hidden":          "must not be read",
	".hidden":          "must not be read",
	"_logs/history":    "must not be read",
}

func binaryBytes(n int) []byte {
	b, x := make([]byte, n), uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// visible returns the contents of the files that a job over their folder reads.
func visible(files map[string]string) (contents []string) {
	for name, content := range files {
		if name[0] != '_' && name[0] != '.' {
			contents = append(contents, content)
		}
	}
	return contents
}

func TestWordCount(t *testing.T) {
	dir, want := fill(t, nasty), wordCounts(visible(nasty)...)
	for seed := range uint64(24) {
		random := rand.New(rand.NewPCG(seed, 0))
		c := newCluster(t, BodyOptions{NoLocal: random.IntN(2) == 0})
		c.memory = pick(random, int64(8<<20), 16<<20, 64<<20)
		c.slots = 1 + random.IntN(4)
		o := builtins("wordcount", pick(random, "sum", "sum", ""), "sum")
		o.SplitSize = pick(random, int64(0), 50_000, 300_000)
		o.Partitioner = pick(random, HashPartitioner, TotalOrderPartitioner)
		reducers := random.IntN(10)
		if reducers > 0 {
			o.Reducers = ExactReducers(reducers)
		}
		parts := c.mustRun(newJob(t, o, t.TempDir()+"/out", dir))
		if reducers > 0 && len(parts) != reducers {
			t.Errorf("seed %d: %d parts, want %d", seed, len(parts), reducers)
		}
		if d := cmp.Diff(want, merged(t, parts)); d != "" {
			t.Errorf("seed %d: %.2000s", seed, d)
		}
		if o.Partitioner == TotalOrderPartitioner {
			merged(t, []string{strings.Join(parts, "")})
		}
	}
}

// pick returns one of several values.
func pick[T any](random *rand.Rand, values ...T) T { return values[random.IntN(len(values))] }

// TestWordCountLongLine has a line of 100 MB, which goes through several splits and is read by one of them.
func TestWordCountLongLine(t *testing.T) {
	const words = "several words of different lengths repeated "
	n := 100_000_000 / len(words)
	if testing.Short() {
		n /= 20
	}
	dir := fill(t, map[string]string{"a": "before\n" + strings.Repeat(words, n) + "\nafter\n"})
	c := newCluster(t, BodyOptions{})
	c.memory = 400 << 20
	o := builtins("wordcount", "sum", "sum")
	o.SplitSize = int64(n*len(words)) / 5
	got := merged(t, c.mustRun(newJob(t, o, t.TempDir()+"/out", dir)))
	want := map[string]int{"before\t1": 1, "after\t1": 1}
	for _, w := range strings.Fields(words) {
		want[fmt.Sprintf("%s\t%d", w, n)] = 1
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestInputs(t *testing.T) {
	dir := fill(t, map[string]string{
		"a/1.txt": "a1", "a/2.log": "a2", "b/1.txt": "b1", "_x/1.txt": "hidden", "_y.txt": "named",
	})
	for _, c := range []struct {
		input []string
		want  []string
	}{
		{[]string{"/a"}, []string{"a1", "a2"}},
		{[]string{"/*/*.txt"}, []string{"a1", "b1"}},
		{[]string{"/{a,b}/1.*"}, []string{"a1", "b1"}},
		{[]string{"/_y.txt"}, []string{"named"}},
		{[]string{"/_x", "/a/[2-3].log"}, []string{"a2", "hidden"}},
	} {
		var in []string
		for _, i := range c.input {
			in = append(in, dir+i)
		}
		cl := newCluster(t, BodyOptions{})
		got := merged(t, cl.mustRun(newJob(t, builtins("wordcount", "sum", "sum"), t.TempDir()+"/out", in...)))
		if d := cmp.Diff(wordCounts(strings.Join(c.want, " ")), got); d != "" {
			t.Errorf("%v: %s", c.input, d)
		}
	}
}

// TestNothing: without input there still is an output.
func TestNothing(t *testing.T) {
	for name, dir := range map[string]string{
		"an empty folder": t.TempDir(),
		"empty files":     fill(t, map[string]string{"a": "", "b": ""}),
		"hidden files":    fill(t, map[string]string{"_a": "x", ".b": "x"}),
	} {
		for _, reducers := range []Reducers{{}, ExactReducers(3), ExactReducers(0)} {
			for _, combiner := range []string{"", "sum"} {
				c := newCluster(t, BodyOptions{})
				o := builtins("wordcount", combiner, "sum")
				o.Reducers = reducers
				parts := c.mustRun(newJob(t, o, t.TempDir()+"/out", dir))
				want, fixed := reducers.Exact()
				if !fixed {
					want = 1
				}
				if len(parts) != want || strings.Join(parts, "") != "" {
					t.Errorf("%s, %v reducers: %q", name, reducers, parts)
				}
			}
		}
	}
}

func TestGrep(t *testing.T) {
	dir := fill(t, nasty)
	re := regexp.MustCompile(`[a-z]*o[a-z]*`)
	counts := map[string]int{}
	for _, content := range visible(nasty) {
		for line := range strings.Lines(content) {
			for _, m := range re.FindAllString(strings.TrimRight(line, "\r\n"), -1) {
				counts[m]++
			}
		}
	}
	want := map[string]int{}
	for m, n := range counts {
		want[fmt.Sprintf("%s\t%d", m, n)] = 1
	}
	c := newCluster(t, BodyOptions{})
	o := builtins("grep", "sum", "sum")
	o.Set, o.SplitSize = functions.Params{"pattern": re.String()}, 100_000
	if d := cmp.Diff(want, merged(t, c.mustRun(newJob(t, o, t.TempDir()+"/out", dir)))); d != "" {
		t.Error(d)
	}
}

// sortedLines returns the lines of contents in order, without their ends.
func sortedLines(contents []string) (lines []string) {
	for _, content := range contents {
		for line := range functions.Lines([]byte(content)) {
			lines = append(lines, string(line))
		}
	}
	slices.Sort(lines)
	return lines
}

// TestSort: the parts, one after the other, are all lines in order.
func TestSort(t *testing.T) {
	files := map[string]string{"same": strings.Repeat("the same line\n", 3000)}
	for name, content := range nasty {
		files[name] = content
	}
	for i := range 20 {
		var b bytes.Buffer
		for j := range 2000 {
			fmt.Fprintf(&b, "%08x %d\n", uint32(i*2000+j)*2654435761, j)
		}
		files[fmt.Sprint("lines", i)] = b.String()
	}
	dir := fill(t, files)
	want := sortedLines(visible(files))
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 0))
		c := newCluster(t, BodyOptions{NoLocal: random.IntN(2) == 0})
		c.memory = pick(random, int64(8<<20), 64<<20)
		o := Options{Mapper: functions.Ref{Builtin: "sort"}, Reducer: functions.Ref{Builtin: "sort"}}
		o.Partitioner = TotalOrderPartitioner
		o.SplitSize = pick(random, int64(0), 200_000)
		reducers := random.IntN(6)
		if reducers > 0 {
			o.Reducers = ExactReducers(reducers)
		}
		parts := c.mustRun(newJob(t, o, t.TempDir()+"/out", dir))
		all := strings.Join(parts, "")
		if got := strings.Split(strings.TrimSuffix(all, "\n"), "\n"); !slices.Equal(want, got) {
			t.Errorf("seed %d: %d lines, want %d; or other ones", seed, len(got), len(want))
		}
		for i, p := range parts {
			if reducers == 3 && len(p) < len(all)/8 {
				t.Errorf("seed %d: part %d of 3 has %d bytes of %d", seed, i, len(p), len(all))
			}
		}
	}
}

func TestWordMean(t *testing.T) {
	files := map[string]string{"a": "one three\n", "b": "sixsix", "c": "\n\n"}
	c := newCluster(t, BodyOptions{})
	o := builtins("wordmean", "wordmean", "wordmean")
	o.SplitSize = 1 // a map for each file
	parts := c.mustRun(newJob(t, o, t.TempDir()+"/out", fill(t, files)))
	if got := strings.Join(parts, ""); !strings.Contains(got, "14") || !strings.Contains(got, "4.66") {
		t.Errorf("3 words of 14 characters: %q", got)
	}
}

// TestAggregate runs the kinds of values that jobs have through both ways of collecting.
func TestAggregate(t *testing.T) {
	var content strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&content, "k%d\t%d\n", i%3, i-500)
	}
	dir := fill(t, map[string]string{"a": content.String()})
	for _, c := range []struct{ op, kind, want string }{
		{"sum", "int", "k0\t-167\nk1\t-500\nk2\t167\n"}, // replaced below by what the model says
		{"min", "int", "k0\t-500\nk1\t-499\nk2\t-498\n"},
		{"max", "int", "k0\t499\nk1\t497\nk2\t498\n"},
		{"count", "int", "k0\t334\nk1\t333\nk2\t333\n"},
		{"max", "float", "k0\t499\nk1\t497\nk2\t498\n"},
	} {
		if c.op == "sum" {
			sums := [3]int{}
			for i := range 1000 {
				sums[i%3] += i - 500
			}
			c.want = fmt.Sprintf("k0\t%d\nk1\t%d\nk2\t%d\n", sums[0], sums[1], sums[2])
		}
		for _, combiner := range []string{"aggregate", ""} {
			cl := newCluster(t, BodyOptions{})
			o := builtins("aggregate", combiner, "aggregate")
			o.Set = functions.Params{"op": c.op, "type": c.kind}
			o.SplitSize, o.Reducers = 1000, ExactReducers(1)
			if got := strings.Join(cl.mustRun(newJob(t, o, t.TempDir()+"/out", dir)), ""); got != c.want {
				t.Errorf("%s of %s, combiner %q: %q, want %q", c.op, c.kind, combiner, got, c.want)
			}
		}
	}
}

// TestIdentityKeepsNumbers: numbers that a reducer only passes on are in decimal in the output.
func TestIdentityKeepsNumbers(t *testing.T) {
	dir := fill(t, map[string]string{"a": "x y x\n"})
	o := Options{Mapper: functions.Ref{Builtin: "wordcount"}, Reducer: functions.Ref{Builtin: "identity"}}
	got := newCluster(t, BodyOptions{}).mustRun(newJob(t, o, t.TempDir()+"/out", dir))
	if want := "x\t1\nx\t1\ny\t1\n"; strings.Join(got, "") != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestMapOnly: the maps' output is the output.
func TestMapOnly(t *testing.T) {
	dir := fill(t, map[string]string{"a": "x y\n", "b": "\nz"})
	for _, c := range []struct {
		o    Options
		want []string
	}{
		{Options{Mapper: functions.Ref{Builtin: "identity"}, SplitSize: 1}, []string{"x y\n", "\n", "z\n"}},
		{Options{Mapper: functions.Ref{Builtin: "wordcount"}, SplitSize: 1}, []string{"x\t1\ny\t1\n", "z\t1\n"}},
		{Options{Mapper: functions.Ref{Builtin: "sort"}}, []string{"x y\n\nz\n"}},
	} {
		cl := newCluster(t, BodyOptions{})
		out := t.TempDir() + "/out"
		parts := cl.mustRun(newJob(t, c.o, out, dir))
		// Files are cut into several splits, of which some have no line.
		parts = slices.DeleteFunc(parts, func(p string) bool { return p == "" })
		if d := cmp.Diff(c.want, parts); d != "" {
			t.Errorf("%v: %s", c.o.Mapper, d)
		}
		if _, err := os.Stat(filepath.Join(out, "part-m-00000")); err != nil {
			t.Error(err)
		}
	}
}

// TestObjects reads from and writes to a store that has no folders.
func TestObjects(t *testing.T) {
	st := mem.New()
	for name, content := range nasty {
		if err := store.Put(t.Context(), st, store.Name("in/"+name), []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	c := newCluster(t, BodyOptions{})
	c.resolve = func(_ context.Context, uri string) (store.Store, store.Name, error) {
		return st, store.Name(strings.TrimPrefix(uri, "mem://bucket/")), nil
	}
	c.body.resolve = c.resolve
	o := builtins("wordcount", "sum", "sum")
	o.SplitSize, o.Reducers = 100_000, ExactReducers(3)
	job := newJob(t, o, "")
	job.Input, job.Output = []string{"mem://bucket/in"}, "mem://bucket/out"
	if _, err := c.run(job); err != nil {
		t.Fatal(err)
	}
	m, err := proof.Verify(t.Context(), c.resolve, job.Output)
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, p := range m.Parts {
		b, err := store.Get(t.Context(), st, store.Name("out/"+p.Name), 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, string(b))
	}
	if d := cmp.Diff(wordCounts(visible(nasty)...), merged(t, parts)); d != "" || len(parts) != 3 {
		t.Errorf("%d parts, %s", len(parts), d)
	}
}

// gzipped and zstandard compress text.
func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstandard(t *testing.T, text string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return string(w.EncodeAll([]byte(text), nil))
}

// TestCompressed reads compressed files whole, in whatever splits they are.
func TestCompressed(t *testing.T) {
	long := strings.Repeat("words that are in a long file\n", 20_000)
	files := map[string]string{
		"members.gz": gzipped(t, "first member\n") + gzipped(t, "second member"), "long.gz": gzipped(t, long),
		"empty.gz": gzipped(t, ""), "nothing.gz": "", "plain": long,
		"a.zst": zstandard(t, "zstd is here\n") + zstandard(t, long),
		"b.bz2": "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xb3\x14\x49\xdf\x00\x00\x02\xd1\x80\x00\x10\x40\x00\x32" +
			"\x60\xdc\x90\x20\x00\x31\x00\x00\x08\x41\xea\x34\xf4\xca\x6f\xa7\xc8\x59\xa6\x11\xb1\x4d\xfc\x5d" +
			"\xc9\x14\xe1\x42\x42\xcc\x51\x27\x7c", // "bzip two" and "was here"
	}
	dir := fill(t, files)
	want := wordCounts("first member second member zstd is here bzip two was here ", long, long, long)
	for _, size := range []int64{0, 1000} {
		c := newCluster(t, BodyOptions{})
		o := builtins("wordcount", "sum", "sum")
		o.SplitSize = size
		job := newJob(t, o, t.TempDir()+"/out", dir)
		sum, err := c.run(job)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, merged(t, c.parts(strings.TrimPrefix(job.Output, "file://")))); d != "" {
			t.Errorf("splits of %d: %s", size, d)
		}
		var total int64
		for _, content := range files {
			total += int64(len(content))
		}
		if sum.Totals.BytesRead != total {
			t.Errorf("%d bytes read, %d are there", sum.Totals.BytesRead, total)
		}
	}
	c := newCluster(t, BodyOptions{})
	o := builtins("sort", "", "sort")
	o.Combiner, o.Partitioner, o.Reducers = functions.Ref{}, TotalOrderPartitioner, ExactReducers(2)
	parts := c.mustRun(newJob(t, o, t.TempDir()+"/out", dir+"/*.gz"))
	sorted := strings.Join(sortedLines([]string{"first member", "second member", long}), "\n") + "\n"
	if strings.Join(parts, "") != sorted {
		t.Errorf("sorted: %.300q", parts)
	}
}

// TestCompressedDamaged: what cannot be decompressed is no shorter file.
func TestCompressedDamaged(t *testing.T) {
	whole := gzipped(t, strings.Repeat("some words\n", 1000))
	flipped := []byte(whole)
	flipped[len(flipped)-6] ^= 1 // in the checksum
	for name, content := range map[string]string{
		"short.gz": whole[:len(whole)/2], "flipped.gz": string(flipped), "trailing.gz": whole + "more", "text.gz": "text",
		"short.zst": zstandard(t, "words and more words of text")[:20], "text.bz2": "text",
	} {
		c := newCluster(t, BodyOptions{})
		dir := fill(t, map[string]string{name: content})
		job := newJob(t, builtins("wordcount", "sum", "sum"), t.TempDir()+"/out", dir)
		_, err := c.run(job)
		if errs.KindOf(err) != errs.Corrupt || !strings.Contains(err.Error(), dir+"/"+name) {
			t.Errorf("%s: %v", name, err)
		}
		nothing(t, job)
	}
}
