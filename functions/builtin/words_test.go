package builtin_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/builtin"
	"github.com/seed3322913c/runner/functions/functionstest"
)

// emitted collects keys of int64 records and checks what the mapper promises about them.
type emitted struct {
	t    *testing.T
	keys []string
}

func (e *emitted) Emit(key, value []byte) error {
	e.t.Errorf("record %q, %q is not int64", key, value)
	return nil
}

func (e *emitted) EmitInt64(key []byte, value int64) error {
	if value != 1 {
		e.t.Errorf("value %d of %q, want 1", value, key)
	}
	if cap(key) < len(key)+8 {
		e.t.Errorf("key %q has %d bytes of spare capacity, want 8", key, cap(key)-len(key))
	}
	e.keys = append(e.keys, string(key))
	return nil
}

// run makes text a run of lines as engines pass it: with 8 bytes of capacity behind it, that are not spaces.
func run(text []byte) []byte { return append(slices.Clone(text), "poisoned"...)[:len(text)] }

func words(text []byte) []string {
	isSpace := func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) }
	var all []string
	for _, w := range bytes.FieldsFunc(text, isSpace) {
		all = append(all, string(w))
	}
	return all
}

func tokenised(t *testing.T, text []byte) []string {
	t.Helper()
	m, err := builtin.Mapper("wordcount", nil)
	if err != nil {
		t.Fatal(err)
	}
	e := &emitted{t: t}
	n, err := m.(functions.BatchMapper).MapBatch(run(text), e)
	if err != nil {
		t.Fatal(err)
	}
	if want := functions.CountLines(text); n != want {
		t.Errorf("%d lines of %q, want %d", n, text, want)
	}
	return e.keys
}

func TestWordCountTokenises(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 1000)
	for _, text := range []string{
		"", " ", "a", "a b", " a  b ",
		"a\tb\nc\vd\fe\rf g\n", "\x00 \x01\x08 \x0e \x1f \x7f \x80 \xff\xa0 \x89 \x8d", "naïve café\r\n",
		string(long), " " + string(long) + " b", string(long[:63]) + " b", string(long[:64]) + " b",
		string(long[:63]) + "\nb c",
		string(long[:64]), string(long[:128]) + "\n", string(long[:127]) + " \n y",
	} {
		if diff := cmp.Diff(words([]byte(text)), tokenised(t, []byte(text))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestWordCountTokenisesEveryByte(t *testing.T) {
	for b := range 256 {
		for at := range 9 {
			text := []byte("abcdefgh ijkl")
			text[at] = byte(b)
			if diff := cmp.Diff(words(text), tokenised(t, text)); diff != "" {
				t.Errorf("%q (-want +got):\n%s", text, diff)
			}
		}
	}
}

func FuzzWordCount(f *testing.F) {
	f.Add([]byte("the quick\tbrown  fox\r\njumps\n"))
	f.Add(bytes.Repeat([]byte("ab "), 50))
	f.Fuzz(func(t *testing.T, text []byte) {
		if diff := cmp.Diff(words(text), tokenised(t, text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
		if utf8.Valid(text) {
			checkMean(t, text)
		}
	})
}

// checkMean compares what wordmean makes of valid UTF-8 with what the standard library counts.
func checkMean(t *testing.T, text []byte) {
	t.Helper()
	chars, all := 0, words(text)
	for _, w := range all {
		chars += utf8.RuneCountInString(w)
	}
	want := ""
	if n := len(all); n > 0 {
		mean := functions.AppendFloat(nil, float64(chars)/float64(n))
		want = fmt.Sprintf("count\t%d\nlength\t%d\nmean\t%s\n", n, chars, mean)
	}
	functionstest.MapReduceDriver{Function: job(t, "wordmean", nil), Input: string(text), Want: want}.Run(t)
}

// bench returns text to measure with: a file of the caller's choice, or words of random lengths as text has them.
func bench(b *testing.B) []byte {
	if name := os.Getenv("RUNNER_BENCH_TEXT"); name != "" {
		f, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		text := make([]byte, 64<<20)
		n, err := f.Read(text)
		if err != nil {
			b.Fatal(err)
		}
		return run(text[:n])
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var text []byte
	for len(text) < 16<<20 {
		text = append(text, "abcdefghijklmnopqrstuvwxyz"[:1+min(rng.IntN(12), rng.IntN(20))]...)
		text = append(text, "      \n\t"[rng.IntN(8)])
	}
	return run(text)
}

// tally is the cheapest emitter that cannot be optimised away.
type tally struct{ records, bytes int64 }

func (t *tally) Emit(key, value []byte) error { t.records++; return nil }

func (t *tally) EmitInt64(key []byte, value int64) error {
	t.records += value
	t.bytes += int64(len(key))
	return nil
}

func BenchmarkWordCount(b *testing.B) { benchmark(b, "wordcount", nil) }
func BenchmarkWordMean(b *testing.B)  { benchmark(b, "wordmean", nil) }
func BenchmarkGrep(b *testing.B) {
	benchmark(b, "grep", functions.Params{"pattern": "abcde[f-k]+"})
}

func benchmark(b *testing.B, name string, params functions.Params) {
	text := bench(b)
	m, err := builtin.Mapper(name, params)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		const batch = 1 << 20
		for rest := text; len(rest) > 0; {
			n := min(batch, len(rest))
			if i := bytes.LastIndexByte(rest[:n], '\n'); i >= 0 {
				n = i + 1
			}
			if _, err := m.(functions.BatchMapper).MapBatch(rest[:n], &tally{}); err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
	}
}
