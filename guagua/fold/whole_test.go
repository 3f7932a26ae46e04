package fold

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/infra/errs"
)

// words is a reducer over strings; its fold is associative but not commutative, so order shows.
func words(kind guagua.Reduction) guagua.Reducer {
	return guagua.Reducer{
		Kind: kind,
		Decode: func(b []byte) (any, error) {
			if string(b) == "bad" {
				return nil, errs.E("words", errs.Corrupt, nil, nil)
			}
			return string(b), nil
		},
		Combine: func(a, b []byte) ([]byte, error) { return fmt.Appendf(nil, "(%s%s)", a, b), nil },
	}
}

// TestPairsHaveOneShape: whatever the order of arrival, whoever is missing, whatever waits in a file, the outcome is
// that of the shape.
func TestPairsHaveOneShape(t *testing.T) {
	scratch := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(rt, "workers")
		order := rapid.Permutation(indexes(n)).Draw(rt, "order")
		missing := rapid.IntRange(0, n-1).Draw(rt, "missing")
		o := options(n)
		o.Memory, o.Scratch = rapid.Int64Range(0, 40).Draw(rt, "memory"), scratch
		f := New(words(guagua.Pairs), new(Pool), o)
		defer f.Close()
		level := make([]string, n)
		for _, i := range order[missing:] {
			level[i] = string(rune('a' + i))
			if s, err := send(f, member(i), []byte(level[i])); s != Whole || err != nil {
				rt.Fatal(s, err)
			}
		}
		for len(level) > 1 {
			var next []string
			for i := 0; i < len(level); i += 2 {
				v := level[i]
				if i+1 < len(level) && level[i+1] != "" {
					if v += level[i+1]; level[i] != "" {
						v = "(" + v + ")"
					}
				}
				next = append(next, v)
			}
			level = next
		}
		if got := results(t, f); len(got) != 1 || got[0] != level[0] {
			rt.Fatalf("got %v, want %v", got, level)
		}
	})
}

// TestPairsFoldWhileTheyArrive: neighbours are folded as soon as both are there.
func TestPairsFoldWhileTheyArrive(t *testing.T) {
	var folded []string
	r := words(guagua.Pairs)
	combine := r.Combine
	r.Combine = func(a, b []byte) ([]byte, error) {
		sum, err := combine(a, b)
		folded = append(folded, string(sum))
		return sum, err
	}
	f := New(r, new(Pool), options(5))
	defer f.Close()
	for _, c := range []struct {
		from int
		want []string
	}{{3, nil}, {0, nil}, {2, []string{"(cd)"}}, {1, []string{"(ab)", "((ab)(cd))"}}, {4, []string{"(((ab)(cd))e)"}}} {
		folded = nil
		if s, err := send(f, member(c.from), []byte{'a' + byte(c.from)}); s != Whole || err != nil {
			t.Fatal(s, err)
		}
		if !slices.Equal(folded, c.want) {
			t.Errorf("worker %d has come: folded %q, want %q", c.from, folded, c.want)
		}
	}
	if got := results(t, f); !slices.Equal(got, []any{"(((ab)(cd))e)"}) {
		t.Errorf("got %q", got)
	}
}

// TestPairsTakeLittleMemory has many workers send at once what folds to something as large, more than fits.
func TestPairsTakeLittleMemory(t *testing.T) {
	const workers, size, memory = 64, 10 * piece, 20 * piece
	o := options(workers)
	o.Memory, o.Scratch = memory, t.TempDir()
	r := guagua.Reducer{Kind: guagua.Pairs, Decode: func(b []byte) (any, error) { return string(b), nil }}
	var f *whole
	var most, folding int64
	r.Combine = func(a, b []byte) ([]byte, error) {
		f.Lock()
		most, folding = max(most, f.used), max(folding, f.folding)
		f.Unlock()
		for i := range a {
			a[i] += b[i]
		}
		return a, nil
	}
	f = newWhole(r, new(Pool), o)
	defer f.Close()
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			if s, err := send(f, member(i), bytes.Repeat([]byte{1}, size)); s != Whole || err != nil {
				t.Error(s, err)
			}
		})
	}
	wg.Wait()
	if got := results(t, f); !slices.Equal(got, []any{strings.Repeat(string(rune(workers)), size)}) {
		t.Errorf("got %q", got)
	}
	if most > memory || folding > 2*size || f.spill.size == 0 {
		t.Errorf("%d bytes waited in memory and %d were folded at a time, %d allowed; %d were in the file", most, folding,
			memory, f.spill.size)
	}
	if f.used > size {
		t.Errorf("%d bytes were never given back", f.used-size)
	}
}

// TestSpilledResultsMayBeKept: a master may hold several results at a time, also those that come from the file.
func TestSpilledResultsMayBeKept(t *testing.T) {
	o := options(3)
	o.Memory, o.Scratch = 0, t.TempDir()
	f := New(guagua.Reducer{Decode: func(b []byte) (any, error) { return b, nil }}, new(Pool), o)
	defer f.Close()
	for i := range 3 {
		if _, err := send(f, member(i), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i, v := range results(t, f) {
		if got := v.([]byte); got[0] != byte(i) {
			t.Errorf("result %d is %d", i, got[0])
		}
	}
}

// TestListsSpill keeps results that don't fit in a file, and yields them in order, as often as asked.
func TestListsSpill(t *testing.T) {
	dir := t.TempDir()
	o := options(6)
	o.Memory, o.Scratch = 200, dir
	f := New(words(guagua.List), new(Pool), o)
	text := func(i int) string { return fmt.Sprintf("%d:%0*d", i, 30*i, i) }
	for _, i := range []int{5, 1, 3, 0, 4} {
		if s, err := send(f, member(i), []byte(text(i))); s != Whole || err != nil {
			t.Fatal(s, err)
		}
		if s, _ := send(f, superstep.Member{Index: i, Attempt: 1}, []byte(text(i))); s != Dropped {
			t.Fatal("counted twice")
		}
	}
	seq, err := f.Results()
	if err != nil {
		t.Fatal(err)
	}
	want := []any{text(0), text(1), text(3), text(4), text(5)}
	for range 2 {
		if got := all(t, seq); !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v is left in the scratch directory", left)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
