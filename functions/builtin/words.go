package builtin

import (
	"encoding/binary"
	"math/bits"

	"github.com/seed3322913c/runner/functions"
)

// A word is a maximal run of bytes other than ASCII white space: space \t \n \v \f \r. So it does not depend on the
// encoding of the text, and any bytes will do.
//
// The tokeniser looks at 64 bytes at a time: it makes a mask with a bit for each byte of a word, and then jumps from
// border to border. A loop over bytes with a class table is mispredicted at the end of nearly every word, and takes
// about twice as long.

// block is as many bytes as a mask has bits.
const block = 64

// ones is the byte 1, eight times: n*ones is the byte n.
const ones = 0x0101010101010101

// wordMask returns a bit for each byte, the first one lowest: 1 if it belongs to a word.
func wordMask(b *[block]byte) (mask uint64) {
	for i := 0; i < block; i += 8 {
		mask |= gather(wordTops(binary.LittleEndian.Uint64(b[i:i+8]))) << i
	}
	return mask
}

// wordTops sets the top bit of each byte in x that belongs to a word; the other bits mean nothing. No sum carries into
// the next byte, since the top bits are put aside before.
func wordTops(x uint64) uint64 {
	low := x &^ (0x80 * ones)
	fromTab := low + (0x80-'\t')*ones   // top bit: \t and above
	aboveCR := low + (0x80-'\r'-1)*ones // top bit: above \r
	notSpace := (low ^ ' '*ones) + 0x7f*ones
	return (^fromTab|aboveCR)&notSpace | x // bytes from 0x80 on are no white space
}

// gather moves the top bits of 8 bytes together.
func gather(x uint64) uint64 { return (x & (0x80 * ones) >> 7) * 0x0102040810204080 >> 56 }

// wordCount puts out each word with the number 1.
type wordCount struct{}

func (wordCount) ValueKind() functions.ValueKind { return functions.ValueInt64 }

func (w wordCount) Map(in functions.Record, out functions.Emitter) error {
	_, err := w.MapBatch(in.Value, out)
	return err
}

// MapBatch need not look for lines: their ends are white space.
func (wordCount) MapBatch(lines []byte, out functions.Emitter) (int64, error) {
	to := functions.Int64Out(out)
	start, inWord := 0, false
	var tail [block]byte
	for base := 0; base < len(lines); base += block {
		mask := wordMask(blockAt(lines, base, &tail))
		borders := mask ^ mask<<1
		if inWord {
			borders ^= 1
		}
		for borders != 0 {
			at := base + bits.TrailingZeros64(borders)
			borders &= borders - 1
			if !inWord {
				start, inWord = at, true
				continue
			}
			inWord = false
			if err := to.EmitInt64(lines[start:at], 1); err != nil {
				return 0, err
			}
		}
	}
	if inWord {
		if err := to.EmitInt64(lines[start:], 1); err != nil {
			return 0, err
		}
	}
	return functions.CountLines(lines), nil
}

// blockAt returns the block of text that begins at base. The last one is copied to tail and filled up with spaces.
func blockAt(text []byte, base int, tail *[block]byte) *[block]byte {
	if len(text)-base >= block {
		return (*[block]byte)(text[base:])
	}
	for i := copy(tail[:], text[base:]); i < block; i++ {
		tail[i] = ' '
	}
	return tail
}
