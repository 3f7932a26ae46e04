package bins

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/mapreduce/segment/segmenttest"
)

func put(s *Set, bin int, key, value string) error {
	b, err := s.Tail(bin, segment.MaxHeader+len(key)+len(value))
	if err != nil {
		return err
	}
	n := segment.PutHeader(b, len(key), uint64(len(value)))
	n += copy(b[n:], key)
	n += copy(b[n:], value)
	s.Advance(bin, n)
	return nil
}

type pair struct{ key, value string }

func contents(t testing.TB, s *Set, bin int) (all []pair) {
	sorted := s.Sorted(bin)
	for i := range sorted.Len() {
		r, _, err := segment.Sorted.Next(sorted.Record(i))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pair{string(r.Key), string(r.Value)})
	}
	return all
}

// foldCase is an order in which different keys are equal.
func foldCase(a, b []byte) int { return bytes.Compare(bytes.ToLower(a), bytes.ToLower(b)) }

func TestSorted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := segmenttest.Keys(400).Draw(rt, "keys")
		compare := rapid.SampledFrom([]func(a, b []byte) int{nil, bytes.Compare, foldCase}).Draw(rt, "compare")
		b := arena.New(arena.Options{Slab: 8 << 10}).Budget(64 << 20)
		defer b.Close()
		s := New(b, 3, Options{Layout: segment.Sorted, Sort: true, Compare: compare})
		defer s.Close()
		var want [3][]pair
		for i, key := range keys {
			bin, value := len(key)%3, fmt.Sprint(i)
			if err := put(s, bin, key, value); err != nil {
				t.Fatal(err)
			}
			want[bin] = append(want[bin], pair{key, value})
		}
		if compare == nil {
			compare = bytes.Compare
		}
		for bin, w := range want {
			if s.Records(bin) != len(w) {
				t.Fatalf("bin %d has %d records, want %d", bin, s.Records(bin), len(w))
			}
			slices.SortStableFunc(w, func(a, b pair) int { return compare([]byte(a.key), []byte(b.key)) })
			if got := contents(t, s, bin); !slices.Equal(got, w) {
				t.Fatalf("bin %d: got %q\nwant %q", bin, got, w)
			}
		}
	})
}

// TestSortedMany has bins large enough for each way of sorting.
func TestSortedMany(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	shapes := map[string]func(i int) string{
		"random":    func(int) string { return fmt.Sprintf("%016x", random.Uint64()) },
		"few":       func(int) string { return fmt.Sprint(random.IntN(50)) },
		"one":       func(int) string { return strings.Repeat("same", 10) },
		"shared":    func(int) string { return strings.Repeat("prefix", 5) + fmt.Sprint(random.IntN(1000)) },
		"ascending": func(i int) string { return fmt.Sprintf("%09d", i) },
		"zeros":     func(int) string { return strings.Repeat("\x00", random.IntN(40)) },
		"binary":    func(int) string { return string([]byte{byte(random.IntN(256)), byte(random.IntN(2) * 255)}) },
	}
	for name, shape := range shapes {
		for _, n := range []int{fewEntries, fewEntries + 1, 1000, manyEntries + 1, 5 * manyEntries} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				b := arena.New(arena.Options{}).Budget(64 << 20)
				defer b.Close()
				s := New(b, 1, Options{Layout: segment.Sorted, Sort: true})
				defer s.Close()
				want := make([]pair, n)
				for i := range want {
					want[i] = pair{shape(i), fmt.Sprint(i)}
					if err := put(s, 0, want[i].key, want[i].value); err != nil {
						t.Fatal(err)
					}
				}
				slices.SortStableFunc(want, func(a, b pair) int { return cmp.Compare(a.key, b.key) })
				if got := contents(t, s, 0); !slices.Equal(got, want) {
					t.Fatal("not sorted, or not stable")
				}
			})
		}
	}
}

// TestExhausted fills a set until the budget has no room, and finds all that went in; after Reset there is room again.
func TestExhausted(t *testing.T) {
	b := arena.New(arena.Options{Slab: 8 << 10}).Budget(100 << 10)
	defer b.Close()
	s := New(b, 5, Options{Layout: segment.Sorted, Sort: true})
	defer s.Close()
	for round := range 3 {
		n := 0
		for {
			err := put(s, n%5, fmt.Sprintf("key %07d", n), "")
			if errors.Is(err, errs.Exhausted) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n < 500 {
			t.Fatalf("round %d: only %d records fit", round, n)
		}
		for bin := range 5 {
			all := contents(t, s, bin)
			if len(all) != (n+4-bin)/5 {
				t.Fatalf("round %d: %d records in bin %d of %d in all", round, len(all), bin, n)
			}
			for i, p := range all {
				if p.key != fmt.Sprintf("key %07d", i*5+bin) {
					t.Fatalf("round %d: record %d of bin %d is %q", round, i, bin, p.key)
				}
			}
		}
		s.Reset()
	}
	if err := put(s, 0, strings.Repeat("x", 200<<10), ""); !errors.Is(err, errs.Exhausted) {
		t.Fatalf("a record larger than the budget: %v", err)
	}
}

func TestChunksKeepOrder(t *testing.T) {
	b := arena.New(arena.Options{}).Budget(64 << 20)
	defer b.Close()
	s := New(b, 1, Options{Layout: segment.Sorted})
	var want []byte
	for i := range 20_000 {
		key := strings.Repeat("k", i%300)
		if err := put(s, 0, key, "v"); err != nil {
			t.Fatal(err)
		}
		var head [segment.MaxHeader]byte
		want = append(append(append(want, head[:segment.PutHeader(head[:], len(key), 1)]...), key...), 'v')
		if i%7000 == 0 {
			s.Chunks(0) // looking does not disturb
		}
	}
	if got := bytes.Join(s.Chunks(0), nil); !bytes.Equal(got, want) {
		t.Fatal("chunks differ from what was put in")
	}
	for _, c := range s.Chunks(0) {
		if cap(c)-len(c) < segment.Slack {
			t.Fatalf("chunk without slack: %d of %d", len(c), cap(c))
		}
	}
}

func BenchmarkSorted(b *testing.B) {
	for _, n := range []int{5_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			budget := arena.New(arena.Options{}).Budget(1 << 30)
			defer budget.Close()
			s := New(budget, 1, Options{Layout: segment.Sorted, Sort: true})
			random := rand.New(rand.NewPCG(1, 2))
			for range n {
				if err := put(s, 0, fmt.Sprintf("%x word", random.Uint64()>>random.IntN(60)), "1"); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				s.Sorted(0)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
		})
	}
}
