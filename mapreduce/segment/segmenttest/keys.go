// Package segmenttest draws keys and values for tests of what handles them.
package segmenttest

import (
	"strings"

	"pgregory.net/rapid"
)

// Key draws a key of one of the shapes that sorting and hashing treat differently: none, a few, many bytes, the same
// first words as other keys, zeros and 0xff at the end.
func Key() *rapid.Generator[string] {
	few := rapid.SampledFrom([]string{"", "a", "b", "ab", "the", "\x00", "\x00\x00", "\xff",
		"\xff\xff\xff\xff\xff\xff\xff\xff"})
	tail := rapid.StringOfN(rapid.RuneFrom([]rune{0, 'a', 'b', 0x7f, 0xff}), 0, 12, -1)
	shared := rapid.Custom(func(t *rapid.T) string {
		n := rapid.SampledFrom([]int{7, 8, 9, 15, 16, 17, 23, 24, 25, 47, 48, 49}).Draw(t, "shared")
		return strings.Repeat("x", n) + tail.Draw(t, "tail")
	})
	zeros := rapid.Custom(func(t *rapid.T) string {
		return "z" + strings.Repeat("\x00", rapid.IntRange(0, 20).Draw(t, "zeros"))
	})
	long := rapid.Custom(func(t *rapid.T) string {
		return strings.Repeat(rapid.SampledFrom([]string{"long", "longer "}).Draw(t, "word"),
			rapid.IntRange(1, 400).Draw(t, "times"))
	})
	bytes := rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 30), func(b []byte) string { return string(b) })
	return rapid.OneOf(few, few, tail, shared, shared, zeros, long, bytes)
}

// Keys draws up to n keys, many of which come several times.
func Keys(n int) *rapid.Generator[[]string] {
	return rapid.Custom(func(t *rapid.T) []string {
		distinct := rapid.SliceOfN(Key(), 1, 60).Draw(t, "distinct")
		picks := rapid.SliceOfN(rapid.IntRange(0, len(distinct)-1), 0, n).Draw(t, "picks")
		keys := make([]string, len(picks))
		for i, p := range picks {
			keys[i] = distinct[p]
		}
		return keys
	})
}
