package segment

import (
	"encoding/binary"
	"math"

	"github.com/seed3322913c/runner/infra/errs"
)

// MaxHeader is the longest a record's two numbers can be, in bytes.
const MaxHeader = 2 * binary.MaxVarintLen64

// PutHeader writes a record's two numbers to b, which has room for MaxHeader bytes, and returns their length. The
// second is the length of the value in layout Sorted, and ZigZag of the value itself in layout Folded.
func PutHeader(b []byte, key int, second uint64) int {
	if uint64(key)|second < 0x80 {
		b[1] = byte(second)
		b[0] = byte(key)
		return 2
	}
	return putHeader(b, key, second)
}

func putHeader(b []byte, key int, second uint64) int {
	n := binary.PutUvarint(b, uint64(key))
	return n + binary.PutUvarint(b[n:], second)
}

// Header reads what PutHeader wrote and returns where the key begins, or 0 if b does not begin with two numbers.
func Header(b []byte) (key int, second uint64, at int) {
	if len(b) >= 2 && b[0]|b[1] < 0x80 {
		return int(b[0]), uint64(b[1]), 2
	}
	return header(b)
}

func header(b []byte) (key int, second uint64, at int) {
	k, n := binary.Uvarint(b)
	if n <= 0 || k > math.MaxInt {
		return 0, 0, 0
	}
	second, m := binary.Uvarint(b[n:])
	if m <= 0 {
		return 0, 0, 0
	}
	return int(k), second, n + m
}

// Key returns the key of the record at the beginning of b, which is known to be whole, with the capacity of b.
func Key(b []byte) []byte {
	n, _, at := Header(b)
	return b[at : at+n]
}

// Record is a record taken apart: views of where it lies. The key keeps the capacity behind it.
type Record struct {
	Whole  []byte // all of it, as it is stored
	Key    []byte
	Value  []byte // layout Sorted
	Second uint64 // layout Folded: ZigZag of the value
}

// Next takes the first record off b. It fails with errs.Corrupt if there is none.
func (l Layout) Next(b []byte) (r Record, rest []byte, err error) {
	n, second, at := Header(b)
	if at == 0 || n > len(b)-at {
		return Record{}, nil, errRecord
	}
	end := at + n
	if l == Sorted {
		if second > uint64(len(b)-end) {
			return Record{}, nil, errRecord
		}
		end += int(second)
	}
	return Record{b[:end], b[at : at+n], b[at+n : end], second}, b[end:], nil
}

// NextFolded is Next for layout Folded, where every nanosecond counts.
func NextFolded(b []byte) (key []byte, value int64, rest []byte, err error) {
	n, second, at := Header(b)
	if at == 0 || n > len(b)-at {
		return nil, 0, nil, errRecord
	}
	return b[at : at+n], UnZigZag(second), b[at+n:], nil
}

var errRecord = errs.Errorf("segment.Next", errs.Corrupt, nil, "a record goes beyond the end of its block")

// ZigZag maps small numbers of either sign to small unsigned ones, as encoding/binary's varints do.
func ZigZag(v int64) uint64 { return uint64(v)<<1 ^ uint64(v>>63) }

// UnZigZag is the inverse of ZigZag.
func UnZigZag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
