package fold

import (
	"errors"
	"iter"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/infra/errs"
)

const piece = 32 // bytes: four numbers

func options(workers int) Options {
	return Options{Workers: workers, Piece: piece, Memory: 1 << 20, Largest: 1 << 20, Patient: true}
}

// send gives a result to f piece by piece, and returns the last status.
func send(f Fold, from superstep.Member, data []byte) (last Status, err error) {
	for at := 0; at == 0 || at < len(data); at += piece {
		part := data[at:min(at+piece, len(data))]
		p := Piece{From: from, Total: int64(len(data)), Offset: int64(at), Length: len(part)}
		last, err = f.Take(p, func(dst []byte) error { copy(dst, part); return nil })
		if err != nil {
			return last, err
		}
	}
	return last, nil
}

func member(i int) superstep.Member { return superstep.Member{Index: i} }

// shape adds in the documented shape: neighbours, neighbours of neighbours.
func shape(v [][]float64) []float64 {
	for len(v) > 1 {
		var next [][]float64
		for i := 0; i < len(v); i += 2 {
			switch {
			case i+1 == len(v) || v[i+1] == nil:
				next = append(next, v[i])
			case v[i] == nil:
				next = append(next, v[i+1])
			default:
				sum := slices.Clone(v[i])
				for j := range sum {
					sum[j] += v[i+1][j]
				}
				next = append(next, sum)
			}
		}
		v = next
	}
	return v[0]
}

func results(t *testing.T, f Fold) []any {
	t.Helper()
	seq, err := f.Results()
	if err != nil {
		t.Fatal(err)
	}
	return all(t, seq)
}

func all(t *testing.T, seq iter.Seq2[any, error]) (out []any) {
	t.Helper()
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// TestVectorSumsHaveOneShape: whatever the order of arrival, whoever is missing, the sum is that of the shape, to the
// bit.
func TestVectorSumsHaveOneShape(t *testing.T) {
	var pool Pool
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(rt, "workers")
		length := rapid.IntRange(0, 30).Draw(rt, "length")
		order := rapid.Permutation(indexes(n)).Draw(rt, "order")
		missing := rapid.IntRange(0, n-1).Draw(rt, "missing")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		vectors := make([][]float64, n)
		f := New(guagua.Reducer{Kind: guagua.Vectors}, &pool, options(n))
		defer f.Close()
		for _, i := range order[missing:] {
			vectors[i] = make([]float64, length)
			for j := range vectors[i] {
				vectors[i][j] = r.NormFloat64() * math.Pow(10, float64(r.IntN(20)))
			}
		}
		for _, i := range order[missing:] {
			if s, err := send(f, member(i), guagua.FloatBytes(vectors[i])); s != Whole || err != nil {
				rt.Fatalf("worker %d: %v %v", i, s, err)
			}
			if s, err := send(f, member(i), guagua.FloatBytes(vectors[i])); s != Dropped || err != nil {
				rt.Fatalf("worker %d a second time: %v %v", i, s, err)
			}
		}
		got := results(t, f)
		if len(got) != 1 || !slices.Equal(got[0].([]float64), shape(vectors)) {
			rt.Fatalf("got %v, want %v", got, shape(vectors))
		}
	})
}

func indexes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// TestManyAtOnce has all workers send at once, some of them twice over two connections, in little memory.
func TestManyAtOnce(t *testing.T) {
	const n, length = 33, 1000
	var pool Pool
	o := options(n)
	o.Memory = 10 * piece
	for turn := range 5 {
		f := New(guagua.Reducer{Kind: guagua.Vectors}, &pool, o)
		vectors := make([][]float64, n)
		var wg sync.WaitGroup
		for i := range n {
			vectors[i] = make([]float64, length)
			for j := range vectors[i] {
				vectors[i][j] = 1 / float64(1+i*j+turn)
			}
			for range 1 + i%2 {
				wg.Go(func() {
					if _, err := send(f, member(i), guagua.FloatBytes(vectors[i])); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		if got := results(t, f); !slices.Equal(got[0].([]float64), shape(vectors)) {
			t.Fatal("the sum differs")
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if pool.out != 0 {
		t.Errorf("%d bytes were never given back", pool.out)
	}
	if most := o.Memory + 12*piece; pool.Peak() > most { // one for each level of the tree, and those that come
		t.Errorf("at most %d bytes are allowed, %d were used", most, pool.Peak())
	}
}

// TestFanIn has a thousand workers send a megabyte each, in any order, into little memory.
func TestFanIn(t *testing.T) {
	const workers, size = 1000, 1 << 20
	var pool Pool
	o := Options{Workers: workers, Piece: 128 << 10, Memory: 16 << 20, Largest: size, Patient: true}
	f := New(guagua.Reducer{Kind: guagua.Vectors}, &pool, o)
	defer f.Close()
	var wg sync.WaitGroup
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(workers) {
		wg.Go(func() {
			for at := int64(0); at < size; at += int64(o.Piece) {
				p := Piece{From: member(i), Total: size, Offset: at, Length: o.Piece}
				_, err := f.Take(p, func(dst []byte) error {
					v, err := guagua.BytesFloats(dst)
					for j := range v {
						v[j] = float64(i)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	sum := results(t, f)[0].([]float64)
	if want := float64(workers * (workers - 1) / 2); sum[0] != want || sum[len(sum)-1] != want {
		t.Errorf("sum %g, want %g", sum[0], want)
	}
	t.Logf("%d results of %d bytes took %d bytes at most", workers, size, pool.Peak())
	if most := o.Memory + 12*int64(o.Piece); pool.Peak() > most {
		t.Errorf("%d bytes, want at most %d", pool.Peak(), most)
	}
}

// TestOneAfterTheOther: when memory is short, no piece is let in while another one is on its way up, however long that
// takes.
func TestOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pool Pool
		o, goOn := options(2), make(chan struct{})
		o.Memory, o.Grown = 0, func([]float64, int) { <-goOn }
		f := New(guagua.Reducer{Kind: guagua.Vectors}, &pool, o)
		defer f.Close()
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				if s, err := send(f, member(i), make([]byte, 2*piece)); s != Whole || err != nil {
					t.Error(s, err)
				}
			})
		}
		synctest.Wait()
		if pool.out != 0 {
			t.Errorf("%d bytes came while the first piece was being added up", pool.out)
		}
		close(goOn)
		wg.Wait()
		if got := results(t, f); len(got) != 1 {
			t.Errorf("the results are %v", got)
		}
	})
}

// TestRunningAheadWaits: a worker that runs ahead of another is made to wait when memory is short, and goes on later.
func TestRunningAheadWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(2)
		o.Memory = 3 * piece
		f := New(guagua.Reducer{Kind: guagua.Vectors}, new(Pool), o)
		fast, slow := make([]float64, 100), make([]float64, 100)
		fast[99], slow[99] = 1, 2
		done := make(chan Status, 1)
		go func() {
			s, _ := send(f, member(0), guagua.FloatBytes(fast))
			done <- s
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("800 bytes fit into 96")
		default:
		}
		if s, err := send(f, member(1), guagua.FloatBytes(slow)); s != Whole || err != nil {
			t.Fatal(s, err)
		}
		if s := <-done; s != Whole {
			t.Fatal(s)
		}
		if got := results(t, f)[0].([]float64); got[99] != 3 {
			t.Fatal(got[99])
		}
	})
}

func TestTheEndLetsWaitersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(2)
		o.Memory = piece
		f := New(guagua.Reducer{Kind: guagua.Vectors}, new(Pool), o)
		done := make(chan Status, 1)
		go func() {
			s, _ := send(f, member(0), make([]byte, 10*piece))
			done <- s
		}()
		synctest.Wait()
		f.Close()
		if s := <-done; s != Dropped {
			t.Fatal(s)
		}
	})
}

func TestAnotherAttemptDoesNotComplete(t *testing.T) {
	f := New(guagua.Reducer{Kind: guagua.Vectors}, new(Pool), options(1))
	first := Piece{From: member(0), Total: 2 * piece, Length: piece}
	if s, err := f.Take(first, func([]byte) error { return nil }); s != Partial || err != nil {
		t.Fatal(s, err)
	}
	if s, err := send(f, superstep.Member{Attempt: 1}, make([]byte, 2*piece)); s != Dropped || err != nil {
		t.Fatal(s, err)
	}
	if s, err := send(f, member(0), make([]byte, 2*piece)); s != Whole || err != nil {
		t.Fatal("the same attempt may go on where it was", s, err)
	}
}

func TestVectorsThatDoNotFit(t *testing.T) {
	f := New(guagua.Reducer{Kind: guagua.Vectors}, new(Pool), options(4))
	if _, err := send(f, member(2), make([]byte, 80)); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{72, 0, 33, 2 << 20} {
		if _, err := send(f, member(1), make([]byte, n)); !errors.Is(err, errs.Invalid) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	torn := errors.New("torn")
	p := Piece{From: member(3), Total: 80, Length: piece}
	if _, err := f.Take(p, func([]byte) error { return torn }); !errors.Is(err, torn) {
		t.Error(err)
	}
}

// TestFewPiecesAtATime has a hundred workers send lists at once: what is being read takes no more than its slots.
func TestFewPiecesAtATime(t *testing.T) {
	o := options(100)
	o.Memory, o.Scratch = 200, t.TempDir()
	pool := new(Pool)
	f := New(words(guagua.List), pool, o)
	var wg sync.WaitGroup
	for i := range o.Workers {
		wg.Go(func() {
			p := Piece{From: member(i), Total: piece, Length: piece}
			s, err := f.Take(p, func([]byte) error { runtime.Gosched(); return nil })
			if s != Whole || err != nil {
				t.Error(s, err)
			}
		})
	}
	wg.Wait()
	if got := pool.Peak(); got > minSlots*piece {
		t.Errorf("%d bytes were in use for pieces", got)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestHalfAResultGivesWayToTheNextAttempt(t *testing.T) {
	o := options(1)
	o.Memory, o.Scratch = 0, t.TempDir()
	for _, memory := range []int64{0, 1 << 20} {
		o.Memory = memory
		f := New(words(guagua.List), new(Pool), o)
		old := Piece{From: member(0), Total: 2 * piece, Length: piece}
		if s, err := f.Take(old, func([]byte) error { return nil }); s != Partial || err != nil {
			t.Fatal(s, err)
		}
		if s, err := send(f, superstep.Member{Attempt: 1}, []byte("short")); s != Whole || err != nil {
			t.Fatal(s, err)
		}
		if got := results(t, f); !slices.Equal(got, []any{"short"}) {
			t.Fatal(got)
		}
		f.Close()
	}
}

func TestErrorsSurface(t *testing.T) {
	r := words(guagua.Pairs)
	r.Combine = func(a, b []byte) ([]byte, error) { return nil, errs.E("words", errs.Failed, nil, nil) }
	f := New(r, new(Pool), options(3))
	if s, err := send(f, member(0), nil); s != Whole || err != nil {
		t.Error(s, err)
	}
	if _, err := send(f, member(1), nil); !errors.Is(err, errs.Failed) {
		t.Error(err)
	}
	o := options(1)
	o.Memory, o.Scratch = 0, t.TempDir()+"/gone"
	f = New(words(guagua.List), new(Pool), o)
	if _, err := send(f, member(0), []byte("x")); !errors.Is(err, errs.NotFound) {
		t.Error(err)
	}
	f = New(words(guagua.List), new(Pool), options(2))
	if _, err := send(f, member(0), []byte("bad")); err != nil {
		t.Fatal(err)
	}
	seq, err := f.Results()
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range seq {
		if !errors.Is(err, errs.Corrupt) {
			t.Error(err)
		}
	}
}
