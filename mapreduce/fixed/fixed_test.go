package fixed_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/arena"
	"github.com/seed3322913c/runner/mapreduce/fixed"
	"github.com/seed3322913c/runner/mapreduce/text"
)

// opener opens data, for every name.
func opener(data []byte) text.Opener {
	return func(_ context.Context, _ text.Piece, from int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data[from:])), nil
	}
}

// readAll reads pieces of data to their end.
func readAll(t *testing.T, data []byte, length int, pieces []text.Piece) ([]byte, *fixed.Reader, error) {
	t.Helper()
	budget := arena.New(arena.Options{}).Budget(1 << 20)
	t.Cleanup(budget.Close)
	r := fixed.NewReader(opener(data), pieces, length, text.Options{Budget: budget, Buffer: 64})
	defer r.Close()
	var got []byte
	for {
		b, err := r.Batch(t.Context())
		if errors.Is(err, io.EOF) {
			return got, r, nil
		}
		if err != nil {
			return got, r, err
		}
		if name, at := r.Position(); name != "f" || at%int64(length) != 0 || !bytes.Equal(data[at:at+int64(len(b))], b) {
			t.Fatalf("%d bytes at %s %d are not what is there", len(b), name, at)
		}
		if len(b)%length != 0 || cap(b) < len(b)+8 {
			t.Fatalf("a run of %d bytes with room for %d", len(b), cap(b))
		}
		got = append(got, b...)
	}
}

// TestPieces: wherever a file is cut, its records come once each and in order.
func TestPieces(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		length := 1 + random.IntN(90)
		data := make([]byte, length*random.IntN(40))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		var all []byte
		for at := 0; at < len(data); {
			n := 1 + random.IntN(min(len(data)-at, 200))
			got, r, err := readAll(t, data, length, []text.Piece{{Name: "f", Offset: int64(at), Length: int64(n)}})
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if r.Done() != int64(n) {
				t.Errorf("seed %d: %d of %d bytes done", seed, r.Done(), n)
			}
			all, at = append(all, got...), at+n
		}
		if !bytes.Equal(all, data) {
			t.Errorf("seed %d: %d bytes of %d, or others", seed, len(all), len(data))
		}
		whole := []text.Piece{{Name: "f", Length: text.ToEnd}}
		if got, _, err := readAll(t, data, length, whole); err != nil || !bytes.Equal(got, data) {
			t.Errorf("seed %d: to the end: %d bytes of %d, %v", seed, len(got), len(data), err)
		}
	}
}

func TestDamage(t *testing.T) {
	data := make([]byte, 95)
	for _, c := range []struct {
		piece text.Piece
		kind  errs.Kind
	}{
		{text.Piece{Name: "f", Length: 95}, errs.Invalid},          // the last record is half
		{text.Piece{Name: "f", Length: text.ToEnd}, errs.Invalid},  // the same
		{text.Piece{Name: "f", Length: 1000}, errs.Invalid},        // the same
		{text.Piece{Name: "f", Offset: 90, Length: 0}, errs.Other}, // nothing
	} {
		_, _, err := readAll(t, data, 10, []text.Piece{c.piece})
		if c.kind != errs.Other && errs.KindOf(err) != c.kind || c.kind == errs.Other && err != nil {
			t.Errorf("%+v: %v", c.piece, err)
		}
	}
	if _, _, err := readAll(t, data[:90], 10, []text.Piece{{Name: "f", Length: 95}}); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("a file that became shorter: %v", err)
	}
}
