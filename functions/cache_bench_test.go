package functions

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"
)

// BenchmarkFoldCache folds words, some of which are much more frequent than others, as in text.
func BenchmarkFoldCache(b *testing.B) {
	var words [][]byte
	if name := os.Getenv("RUNNER_BENCH_TEXT"); name != "" {
		f, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		text := make([]byte, 16<<20)
		if _, err := f.Read(text); err != nil {
			b.Fatal(err)
		}
		words = bytes.Fields(text)
	} else {
		rng := rand.New(rand.NewPCG(1, 2))
		zipf := rand.NewZipf(rng, 1.2, 10, 1<<20)
		for range 1 << 20 {
			words = append(words, []byte("word"+string(rune('a'+zipf.Uint64()%26))+string(rune(zipf.Uint64()))))
		}
	}
	bytes, out := 0, 0
	for _, w := range words {
		bytes += len(w) + 1
	}
	c := newFoldCache(Sum[int64]().fold, func(key []byte, value int64) error { out++; return nil })
	b.SetBytes(int64(bytes))
	for b.Loop() {
		for _, w := range words {
			if err := c.add(w, 1); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(out)/float64(b.N)/float64(len(words)), "passed")
}
