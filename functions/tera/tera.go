// Package tera makes and checks the rows of the TeraSort benchmark, byte for byte those of Hadoop's TeraGen and of
// gensort's binary mode.
//
// Row n follows from n alone: a linear congruential generator over 128 bits, begun at 0 and stepped n+1 times, gives
// the row's random number r. All rows are 100 bytes, of which the first 10 are the key:
//
//	| r, bits 127..48 | 00 11 | n, 32 hex digits | 88 99 AA BB | last 12 hex digits of r, each 4 times | CC DD EE FF |
//	  10 bytes          2       32                 4             48                                      4
//
// A Generator yields rows from any n on; a Store offers the rows from 0 on as objects, so that a job can read them like
// files; a Sum is the checksum by which outputs are compared.
package tera

import (
	"math/bits"
	"strconv"
)

// The sizes of rows, in bytes.
const (
	RowBytes = 100
	KeyBytes = 10
)

// number is an unsigned integer of 128 bits.
type number struct{ hi, lo uint64 }

func (a number) add(b number) number {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	return number{a.hi + b.hi + carry, lo}
}

func (a number) mul(b number) number {
	hi, lo := bits.Mul64(a.lo, b.lo)
	return number{hi + a.hi*b.lo + a.lo*b.hi, lo}
}

// digit returns the i-th hexadecimal digit, the highest being 0.
func (a number) digit(i int) byte {
	const digits = "0123456789ABCDEF"
	word := a.hi
	if i >= 16 {
		word, i = a.lo, i-16
	}
	return digits[word>>(60-4*i)&15]
}

// A step of the generator turns x into factor*x + term. The term reads "JimGrayRIP     \x01".
var (
	factor = number{0x2360ed051fc65da4, 0x4385df649fccf645}
	term   = number{0x4a696d4772617952, 0x4950202020202001}
)

// Generator yields rows in the order of their numbers.
type Generator struct {
	row    uint64 // the next
	random number // of the row before
}

// NewGenerator returns a generator whose first row is number row. It takes as many steps as row has bits.
func NewGenerator(row uint64) *Generator {
	g := &Generator{row: row}
	f, t := factor, term // of 2^i steps at once
	for n := row; n > 0; n >>= 1 {
		if n&1 == 1 {
			g.random = f.mul(g.random).add(t)
		}
		f, t = f.mul(f), f.mul(t).add(t)
	}
	return g
}

// Next writes the next row.
func (g *Generator) Next(row *[RowBytes]byte) {
	g.random = factor.mul(g.random).add(term)
	r := g.random
	for i := range 8 {
		row[i] = byte(r.hi >> (56 - 8*i))
	}
	row[8], row[9] = byte(r.lo>>56), byte(r.lo>>48)
	row[10], row[11] = 0x00, 0x11
	n := number{lo: g.row}
	for i := range 32 {
		row[12+i] = n.digit(i)
	}
	copy(row[44:], "\x88\x99\xAA\xBB")
	for i := range 12 {
		d := r.digit(20 + i)
		at := row[48+4*i:]
		at[0], at[1], at[2], at[3] = d, d, d, d
	}
	copy(row[96:], "\xCC\xDD\xEE\xFF")
	g.row++
}

// Sum is the sum of the CRC32 (IEEE) of rows, in 128 bits. It does not depend on their order.
type Sum struct{ n number }

// Add adds a row's CRC32.
func (s *Sum) Add(crc uint32) { s.n = s.n.add(number{lo: uint64(crc)}) }

// Merge adds another sum.
func (s *Sum) Merge(o Sum) { s.n = s.n.add(o.n) }

// Words returns the high and the low half; SumOf is the inverse.
func (s Sum) Words() (hi, lo uint64) { return s.n.hi, s.n.lo }

// SumOf returns the sum with the given halves.
func SumOf(hi, lo uint64) Sum { return Sum{number{hi, lo}} }

// String returns the sum in hexadecimal, without leading zeros.
func (s Sum) String() string {
	if s.n.hi == 0 {
		return strconv.FormatUint(s.n.lo, 16)
	}
	low := strconv.FormatUint(s.n.lo, 16)
	return strconv.FormatUint(s.n.hi, 16) + "0000000000000000"[len(low):] + low
}
