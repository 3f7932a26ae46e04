package bins

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"

	"github.com/seed3322913c/runner/mapreduce/segment"
)

// entry stands for a record while it is sorted: 8 bytes of its key, from some depth on, as a number that compares as
// they do, and where the record is. Comparing the number nearly always decides, without a look at the record.
type entry struct {
	word uint64
	at   uint64 // chunk<<32 | offset in it
}

// record returns the bytes from e's record to the end of its chunk.
func record(chunks [][]byte, e entry) []byte { return chunks[e.at>>32][uint32(e.at):] }

// list returns an entry for each record of chunks, in out, which has room for them.
func list(chunks [][]byte, out []entry, layout segment.Layout) []entry {
	n := 0
	for i, chunk := range chunks {
		for at := 0; at < len(chunk); n++ {
			rest := chunk[at:]
			key, second, k := segment.Header(rest)
			out[n] = entry{segment.Prefix(rest[k:k+key], 0), uint64(i)<<32 | uint64(at)}
			at += k + key
			if layout == segment.Sorted {
				at += int(second)
			}
		}
	}
	return out[:n]
}

// byteOrder sorts entries by their keys' bytes, equal keys in the order they are in. It is a radix sort on 8 bytes at a
// time: where those are equal, on the next 8.
type byteOrder struct {
	chunks [][]byte
}

const (
	fewEntries  = 40      // sorted by insertion: counting 256 digits costs more
	manyEntries = 8 << 10 // do not fit L2 with their copy: divided by one digit first, from the top
)

func (o byteOrder) key(e entry) []byte { return segment.Key(record(o.chunks, e)) }

// sort sorts es, whose words are those from depth on and whose keys are equal before it. tmp is as long as es.
func (o byteOrder) sort(es, tmp []entry, depth int) {
	for len(es) > fewEntries {
		if differ := difference(es); differ != 0 {
			radix(es, tmp, differ)
			o.sortTies(es, tmp, depth)
			return
		}
		ended := o.deepen(es, tmp, depth)
		es, tmp, depth = es[ended:], tmp[ended:], depth+8
	}
	o.insertion(es, depth)
}

// sortTies sorts each run of equal words in es, which is sorted by words.
func (o byteOrder) sortTies(es, tmp []entry, depth int) {
	for i := 0; i < len(es); {
		j := i + 1
		for j < len(es) && es[j].word == es[i].word {
			j++
		}
		if j-i > 1 {
			ended := i + o.deepen(es[i:j], tmp[i:j], depth)
			o.sort(es[ended:j], tmp[ended:j], depth+8)
		}
		i = j
	}
}

// deepen moves the keys that end within their word, all of the same word, to the front of es, sorted, and loads the
// next word of the others. It returns how many ended: they are equal but for zeros at their end, so the shorter comes
// first, and all of them come before those that go on.
func (o byteOrder) deepen(es, tmp []entry, depth int) (ended int) {
	depth += 8
	uneven, n := false, 0
	for _, e := range es {
		key := o.key(e)
		if len(key) > depth {
			tmp[n] = entry{segment.Prefix(key, depth), e.at}
			n++
			continue
		}
		uneven = uneven || ended > 0 && len(key) != len(o.key(es[0]))
		es[ended] = e
		ended++
	}
	if uneven {
		slices.SortStableFunc(es[:ended], func(a, b entry) int { return cmp.Compare(len(o.key(a)), len(o.key(b))) })
	}
	copy(es[ended:], tmp[:n])
	return ended
}

func (o byteOrder) insertion(es []entry, depth int) {
	for i := 1; i < len(es); i++ {
		e := es[i]
		j := i
		for ; j > 0 && (e.word < es[j-1].word || e.word == es[j-1].word && o.less(e, es[j-1], depth)); j-- {
			es[j] = es[j-1]
		}
		es[j] = e
	}
}

// less compares two keys that are equal up to depth.
func (o byteOrder) less(a, b entry, depth int) bool {
	return bytes.Compare(o.key(a)[depth:], o.key(b)[depth:]) < 0
}

// difference returns the bits in which the words of es are not all the same.
func difference(es []entry) (differ uint64) {
	for i := range es {
		differ |= es[i].word ^ es[0].word
	}
	return differ
}

// radix sorts es by word, equal words in the order they are in. The words differ in the bits of differ only, not zero.
func radix(es, tmp []entry, differ uint64) {
	if len(es) > manyEntries {
		radixTop(es, tmp, differ)
		return
	}
	src, dst := es, tmp
	for shift := uint(0); shift < 64; shift += 8 {
		if byte(differ>>shift) != 0 {
			scatter(src, dst, shift)
			src, dst = dst, src
		}
	}
	if &src[0] != &es[0] {
		copy(es, src)
	}
}

// radixTop divides es by the highest byte in which they differ, and sorts what each value of it has.
func radixTop(es, tmp []entry, differ uint64) {
	shift := uint(bits.Len64(differ)-1) &^ 7
	ends := scatter(es, tmp, shift)
	copy(es, tmp)
	begin := 0
	for _, end := range ends {
		part := es[begin:end]
		if len(part) <= fewEntries {
			insertWords(part)
		} else if differ := difference(part); differ != 0 {
			radix(part, tmp[begin:end], differ)
		}
		begin = end
	}
}

func insertWords(es []entry) {
	for i := 1; i < len(es); i++ {
		e := es[i]
		j := i
		for ; j > 0 && e.word < es[j-1].word; j-- {
			es[j] = es[j-1]
		}
		es[j] = e
	}
}

// scatter copies src to dst in the order of the byte at shift, and returns where each value of it ends.
func scatter(src, dst []entry, shift uint) (ends [256]int) {
	for i := range src {
		ends[byte(src[i].word>>shift)]++
	}
	sum := 0
	for i, n := range ends {
		ends[i] = sum
		sum += n
	}
	for i := range src {
		d := byte(src[i].word >> shift)
		dst[ends[d]] = src[i]
		ends[d]++
	}
	return ends
}

// sortCompare sorts es by any order of keys, equal keys in the order they came.
func sortCompare(es []entry, chunks [][]byte, compare func(a, b []byte) int) {
	slices.SortFunc(es, func(a, b entry) int {
		if c := compare(segment.Key(record(chunks, a)), segment.Key(record(chunks, b))); c != 0 {
			return c
		}
		return cmp.Compare(a.at, b.at)
	})
}
