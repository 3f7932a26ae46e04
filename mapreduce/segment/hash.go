package segment

import (
	"encoding/binary"
	"math/bits"
)

// Slack is how many bytes behind a key may be read (never used) when the capacity of its slice covers them, since keys
// are loaded eight bytes at a time.
const Slack = 8

const (
	hashA = 0x9E3779B97F4A7C15
	hashB = 0xD6E8FEB86659FD93
)

// Hash is the hash of keys that chooses partitions. It is part of the format, since all maps of a job must agree: never
// change it.
func Hash(key []byte) uint64 {
	h, i := HashStart(len(key)), 0
	for ; len(key)-i > 16; i += 16 {
		h = HashPair(h, binary.LittleEndian.Uint64(key[i:]), binary.LittleEndian.Uint64(key[i+8:]))
	}
	return HashEnd(HashPair(h, Load(key, i), Load(key, i+8)))
}

// HashStart, HashPair and HashEnd are Hash in parts, for who has a key's words at hand: HashStart of the length,
// HashPair for each 16 bytes (the last ones filled with zeros; once for the empty key), HashEnd.
func HashStart(n int) uint64 { return uint64(n) * hashA }

// HashPair is told with HashStart.
func HashPair(h, w0, w1 uint64) uint64 {
	hi, lo := bits.Mul64(h^w0, w1^hashB)
	return hi ^ lo
}

// HashEnd is told with HashStart.
func HashEnd(h uint64) uint64 { return h ^ h>>29 }

// Partition returns which of parts partitions a hash falls in: they divide the range of hashes evenly, in order, so
// that neighbours can be put together. Only the upper half of the hash counts. parts is at most MaxParts.
func Partition(hash uint64, parts int) int { return int(hash >> 32 * uint64(parts) >> 32) }

// Load returns up to 8 bytes of key from offset i on, the first in the lowest bits, zeros beyond its end. It is a
// single load when the capacity of key allows.
func Load(key []byte, i int) uint64 {
	n := len(key) - i
	if cap(key)-i >= 8 {
		return binary.LittleEndian.Uint64(key[i:i+8]) & Mask(n)
	}
	return loadTail(key, i)
}

// Mask covers the lowest n bytes of a word: none if n is negative, all if it is above 8.
func Mask(n int) uint64 { return masks[min(max(n, 0), 8)] }

var masks = [9]uint64{0, 1<<8 - 1, 1<<16 - 1, 1<<24 - 1, 1<<32 - 1, 1<<40 - 1, 1<<48 - 1, 1<<56 - 1, 1<<64 - 1}

func loadTail(key []byte, i int) (word uint64) {
	for j := i; j < len(key) && j < i+8; j++ {
		word |= uint64(key[j]) << (8 * (j - i))
	}
	return word
}

// Prefix returns up to 8 bytes of key from offset i on as a number whose order is that of the bytes, zeros beyond its
// end.
func Prefix(key []byte, i int) uint64 { return bits.ReverseBytes64(Load(key, i)) }
