package builtin

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"strconv"

	"github.com/seed3322913c/runner/functions"
)

// wordMean counts words and their characters over the whole attempt, and puts out one record at its end. A character
// is a byte that does not continue another one in UTF-8; in text that is no UTF-8, every other byte counts.
type wordMean struct{ total mean[int64] }

func (w *wordMean) Map(in functions.Record, _ functions.Emitter) error {
	w.add(in.Value)
	return nil
}

func (w *wordMean) MapBatch(lines []byte, _ functions.Emitter) (int64, error) {
	w.add(lines)
	return functions.CountLines(lines), nil
}

func (w *wordMean) add(text []byte) {
	before := uint64(0)
	for base := 0; base < len(text); base += block {
		var tail [block]byte
		b := blockAt(text, base, &tail)
		mask := wordMask(b)
		begins := mask &^ (mask<<1 | before>>(block-1))
		w.total.count += int64(bits.OnesCount64(begins))
		w.total.sum += int64(bits.OnesCount64(mask &^ continuationMask(b)))
		before = mask
	}
}

// continuationMask returns a bit for each byte: 1 if it is 10xxxxxx.
func continuationMask(b *[block]byte) (mask uint64) {
	for i := 0; i < block; i += 8 {
		x := binary.LittleEndian.Uint64(b[i : i+8])
		mask |= gather(x&^(x<<1)) << i
	}
	return mask
}

func (w *wordMean) Cleanup(out functions.Emitter) error {
	if w.total.count == 0 {
		return nil
	}
	value, err := w.total.AppendBinary(nil)
	if err != nil {
		return err
	}
	return out.Emit([]byte("words"), value)
}

// wordMeanRaw puts out three lines, in the order of their keys.
func wordMeanRaw() functions.Raw {
	raw := functions.MapReduce[string, mean[int64]]{
		Combine: addMeans[int64](),
		Reduce: functions.Reduce(func(_ string, means iter.Seq[mean[int64]], emit func(string, string)) error {
			all := total(means)
			emit("count", strconv.FormatInt(all.count, 10))
			emit("length", strconv.FormatInt(all.sum, 10))
			emit("mean", string(functions.AppendFloat(nil, all.value())))
			return nil
		}),
	}.Raw()
	raw.Mapper = func() functions.Mapper { return &wordMean{} }
	return raw
}
