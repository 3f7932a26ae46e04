package builtin

import (
	"encoding/binary"
	"iter"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
)

// mean is a sum of numbers and how many there were: what is needed of a part to know the mean of the whole.
type mean[N int64 | float64] struct {
	count int64
	sum   N
}

func (m mean[N]) plus(o mean[N]) mean[N] { return mean[N]{m.count + o.count, m.sum + o.sum} }

func (m mean[N]) value() float64 { return float64(m.sum) / float64(m.count) }

func addMeans[N int64 | float64]() functions.Fold[mean[N]] { return functions.FoldFunc(mean[N].plus) }

func total[N int64 | float64](means iter.Seq[mean[N]]) (all mean[N]) {
	for m := range means {
		all = all.plus(m)
	}
	return all
}

// AppendBinary appends the count as a varint and 8 bytes of the sum.
func (m mean[N]) AppendBinary(dst []byte) ([]byte, error) {
	return binary.Append(binary.AppendVarint(dst, m.count), binary.LittleEndian, m.sum)
}

// UnmarshalBinary undoes AppendBinary.
func (m *mean[N]) UnmarshalBinary(src []byte) error {
	count, n := binary.Varint(src)
	if n <= 0 || len(src) != n+8 {
		return errs.Errorf("builtin.mean", errs.Corrupt, nil, "%d bytes that are not a count and a sum", len(src))
	}
	m.count = count
	_, err := binary.Decode(src[n:], binary.LittleEndian, &m.sum)
	return err
}
