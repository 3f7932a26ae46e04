package guagua

import (
	"encoding"
	"encoding/binary"
	"encoding/json"
	"math"
	"unsafe"

	"github.com/seed3322913c/runner/infra/errs"
)

// Codec turns values of one type into bytes and back. The type is fixed by the program on both ends: nothing that
// arrives over the wire chooses what is built from it. Decode may keep views into data, which is valid until the next
// Compute, and must refuse with errs.Corrupt what Append never writes.
type Codec[T any] interface {
	Append(dst []byte, v T) ([]byte, error)
	Decode(data []byte) (T, error)
}

// viewer is the ability of a Codec to show a value's bytes without copying them.
type viewer[T any] interface {
	view(v T) []byte
}

// Floats is the codec of vectors: eight bytes each, as they lie in the memory of a little-endian machine. It copies
// nothing where that can be avoided.
type Floats struct{}

// Append adds the bytes of v.
func (Floats) Append(dst []byte, v []float64) ([]byte, error) {
	return append(dst, FloatBytes(v)...), nil
}

// Decode returns data as a vector.
func (Floats) Decode(data []byte) ([]float64, error) { return BytesFloats(data) }

func (Floats) view(v []float64) []byte { return FloatBytes(v) }

// FloatBytes returns the bytes of v, as a view.
func FloatBytes(v []float64) []byte {
	mustLittleEndian()
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*8)
}

// BytesFloats returns data as a vector: a view if data lies at an address that the processor likes, otherwise a copy.
func BytesFloats(data []byte) ([]float64, error) {
	mustLittleEndian()
	if len(data)%8 != 0 {
		return nil, errs.Errorf("guagua.Floats", errs.Corrupt, nil, "%d bytes are no vector of 8-byte numbers", len(data))
	}
	p := unsafe.Pointer(unsafe.SliceData(data))
	if uintptr(p)%8 != 0 {
		v := make([]float64, len(data)/8)
		copy(FloatBytes(v), data)
		return v, nil
	}
	return unsafe.Slice((*float64)(p), len(data)/8), nil
}

// mustLittleEndian costs nothing where it is true: the compiler sees a constant.
func mustLittleEndian() {
	one := uint16(1)
	if *(*byte)(unsafe.Pointer(&one)) != 1 {
		panic("guagua: vectors need a little-endian processor")
	}
}

// Int64 is the codec of one whole number.
type Int64 struct{}

// Append adds 8 bytes.
func (Int64) Append(dst []byte, v int64) ([]byte, error) {
	return binary.LittleEndian.AppendUint64(dst, uint64(v)), nil
}

// Decode needs exactly 8 bytes.
func (Int64) Decode(data []byte) (int64, error) {
	if len(data) != 8 {
		return 0, errs.Errorf("guagua.Int64", errs.Corrupt, nil, "%d bytes, want 8", len(data))
	}
	return int64(binary.LittleEndian.Uint64(data)), nil
}

// Float64 is the codec of one number.
type Float64 struct{}

// Append adds 8 bytes.
func (Float64) Append(dst []byte, v float64) ([]byte, error) {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v)), nil
}

// Decode needs exactly 8 bytes.
func (Float64) Decode(data []byte) (float64, error) {
	v, err := Int64{}.Decode(data)
	return math.Float64frombits(uint64(v)), err
}

// Bytes is the codec of bytes, which travel as they are.
type Bytes struct{}

// Append adds v.
func (Bytes) Append(dst, v []byte) ([]byte, error) { return append(dst, v...), nil }

// Decode returns data itself.
func (Bytes) Decode(data []byte) ([]byte, error) { return data, nil }

func (Bytes) view(v []byte) []byte { return v }

// JSON is the codec of any plain struct: its exported fields. Numbers survive exactly, but NaN and infinity cannot be
// encoded, and it is not fast.
type JSON[T any] struct{}

// Append adds the JSON text of v.
func (JSON[T]) Append(dst []byte, v T) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, errs.E("guagua.JSON", errs.Failed, nil, err)
	}
	return append(dst, text...), nil
}

// Decode reads one JSON text.
func (JSON[T]) Decode(data []byte) (v T, err error) {
	if err := json.Unmarshal(data, &v); err != nil {
		return v, errs.E("guagua.JSON", errs.Corrupt, nil, err)
	}
	return v, nil
}

// Binary is the codec of types that encode themselves. P is *T and is inferred:
//
//	guagua.Binary[Gradient, *Gradient]{}
type Binary[T any, P interface {
	*T
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}] struct{}

// Append adds what MarshalBinary returns.
func (Binary[T, P]) Append(dst []byte, v T) ([]byte, error) {
	data, err := P(&v).MarshalBinary()
	if err != nil {
		return nil, errs.E("guagua.Binary", errs.Failed, nil, err)
	}
	return append(dst, data...), nil
}

// Decode calls UnmarshalBinary on a new T.
func (Binary[T, P]) Decode(data []byte) (v T, err error) {
	if err := P(&v).UnmarshalBinary(data); err != nil {
		return v, errs.E("guagua.Binary", errs.Corrupt, nil, err)
	}
	return v, nil
}
