package child_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/builtin"
	"github.com/seed3322913c/runner/functions/child"
)

// benchText returns text to measure with: a file of the caller's choice, or words of random lengths.
func benchText(b *testing.B) []byte {
	b.Helper()
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
		return text[:n]
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var text []byte
	for len(text) < 16<<20 {
		text = append(text, "abcdefghijklmnopqrstuvwxyz"[:1+min(rng.IntN(12), rng.IntN(20))]...)
		text = append(text, "      \n\t"[rng.IntN(8)])
	}
	return text
}

// tally is the cheapest Emitter.
type tally struct{ records, bytes int64 }

func (t *tally) Emit(key, value []byte) error { t.records++; return nil }

func (t *tally) EmitInt64(key []byte, value int64) error {
	t.records++
	t.bytes += int64(len(key))
	return nil
}

// BenchmarkWordCount compares the built-in with functions in a child. MB/s/core counts the processor time of both
// processes, MB/s the time of the clock.
func BenchmarkWordCount(b *testing.B) {
	for _, c := range []struct {
		name, function string
		combiner       functions.Ref
	}{
		{"builtin", "", functions.Ref{}},
		{"child raw", "raw", functions.Ref{}},
		{"child raw combined", "raw", functions.Ref{Builtin: "sum"}},
		{"child typed", "wordcount", functions.Ref{}},
		{"child typed combined", "wordcount", functions.Ref{Builtin: "sum"}},
		{"child typed bytes combined", "bytes", functions.Ref{Builtin: "sum"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			text := benchText(b)
			before := processorTime(b)
			var m functions.BatchMapper
			if c.function == "" {
				builtIn, err := builtin.Mapper("wordcount", nil)
				if err != nil {
					b.Fatal(err)
				}
				m = builtIn.(functions.BatchMapper)
			} else {
				task := child.Task{Function: c.function, Combiner: c.combiner}
				inChild, err := child.NewMapper(b.Context(), command("functions"), task)
				if err != nil {
					b.Fatal(err)
				}
				defer inChild.Close()
				m = inChild
			}
			out := &tally{}
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				mapText(b, m, text, out)
			}
			if f, ok := m.(*child.Mapper); ok {
				if err := f.Cleanup(out); err != nil {
					b.Fatal(err)
				}
				if err := f.Close(); err != nil {
					b.Fatal(err)
				}
			}
			used := processorTime(b) - before
			b.ReportMetric(float64(len(text))*float64(b.N)/1e6/used.Seconds(), "MB/s/core")
			b.ReportMetric(float64(out.records)/float64(b.N), "records/op")
		})
	}
}

func mapText(b *testing.B, m functions.BatchMapper, text []byte, out functions.Emitter) {
	const batch = 1 << 20
	for rest := text; len(rest) > 0; {
		n := min(batch, len(rest))
		if i := bytes.LastIndexByte(rest[:n], '\n'); i >= 0 {
			n = i + 1
		}
		if _, err := m.MapBatch(rest[:n], out); err != nil {
			b.Fatal(err)
		}
		rest = rest[n:]
	}
}

// processorTime is what this process and its dead children have used.
func processorTime(b *testing.B) time.Duration {
	var total int64
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		total += u.Utime.Nano() + u.Stime.Nano()
	}
	return time.Duration(total)
}

// BenchmarkLife starts a child, hands it one line and ends it: what each attempt pays.
func BenchmarkLife(b *testing.B) {
	for b.Loop() {
		m, err := child.NewMapper(b.Context(), command("functions"), child.Task{Function: "wordcount"})
		if err != nil {
			b.Fatal(err)
		}
		out := &tally{}
		if _, err := m.MapBatch([]byte("a b"), out); err != nil {
			b.Fatal(err)
		}
		if err := m.Cleanup(out); err != nil {
			b.Fatal(err)
		}
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
