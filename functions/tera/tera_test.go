package tera_test

import (
	"bytes"
	"io"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/seed3322913c/runner/functions/tera"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// model returns a row by its definition, in big integers.
func model(n int64) []byte {
	hex := func(s string) *big.Int { v, _ := new(big.Int).SetString(s, 16); return v }
	factor, term := hex("2360ed051fc65da44385df649fccf645"), hex("4a696d47726179524950202020202001")
	r, mod := new(big.Int), new(big.Int).Lsh(big.NewInt(1), 128)
	for range n + 1 {
		r.Mul(r, factor).Add(r, term).Mod(r, mod)
	}
	raw := r.FillBytes(make([]byte, 16))
	digits := "0123456789ABCDEF"
	row := append(bytes.Clone(raw[:10]), 0x00, 0x11)
	number := big.NewInt(n).FillBytes(make([]byte, 16))
	for _, b := range number {
		row = append(row, digits[b>>4], digits[b&15])
	}
	row = append(row, 0x88, 0x99, 0xAA, 0xBB)
	for _, b := range raw[10:] {
		for _, d := range []byte{digits[b>>4], digits[b&15]} {
			row = append(row, d, d, d, d)
		}
	}
	return append(row, 0xCC, 0xDD, 0xEE, 0xFF)
}

// TestFirstRow compares with a row written by hand: the first random number is the generator's term.
func TestFirstRow(t *testing.T) {
	var row [tera.RowBytes]byte
	tera.NewGenerator(0).Next(&row)
	want := "JimGrayRIP\x00\x1100000000000000000000000000000000\x88\x99\xAA\xBB" +
		"222200002222000022220000222200002222000000001111\xCC\xDD\xEE\xFF"
	if string(row[:]) != want {
		t.Errorf("got  %q\nwant %q", row, want)
	}
}

func TestRows(t *testing.T) {
	for _, from := range []int64{0, 1, 2, 3, 7, 64, 1000, 4095} {
		g := tera.NewGenerator(uint64(from))
		for n := from; n < from+3; n++ {
			var row [tera.RowBytes]byte
			g.Next(&row)
			if want := model(n); !bytes.Equal(row[:], want) {
				t.Errorf("row %d from %d: %q, want %q", n, from, row, want)
			}
		}
	}
}

// TestStore reads ranges of an object, in pieces of any size.
func TestStore(t *testing.T) {
	const rows = 50
	var whole []byte
	for n := range int64(rows) {
		whole = append(whole, model(n)...)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		r := store.Range{Offset: random.Int64N(rows*100 + 50), Length: random.Int64N(700)}
		body, err := tera.Store{}.Open(t.Context(), "50", r)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for buf := make([]byte, 1+random.IntN(350)); ; {
			n, err := body.Read(buf)
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		from, to := r.Bounds(int64(len(whole)))
		if !bytes.Equal(got, whole[from:to]) {
			t.Fatalf("%+v: %d bytes that are not the %d wanted", r, len(got), to-from)
		}
	}
	for _, name := range []store.Name{"x", "-1", "1/2", "01", "92233720368547759"} {
		if _, err := (tera.Store{}).Stat(t.Context(), name); errs.KindOf(err) != errs.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSum(t *testing.T) {
	var s tera.Sum
	for range 3 {
		s.Add(0xffffffff)
	}
	s.Merge(tera.SumOf(0, 1<<64-1))
	if hi, lo := s.Words(); s.String() != "100000002fffffffc" || hi != 1 || lo != 0x2fffffffc {
		t.Errorf("%s, %x %x", s, hi, lo)
	}
}
