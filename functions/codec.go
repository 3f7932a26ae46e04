package functions

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"

	"github.com/seed3322913c/runner/infra/errs"
)

// Codec turns values of a type into bytes and back. It is chosen once by type, so that no record needs reflection;
// only types that have no codec of their own are left to encoding/json. It has no state.
//
//	type            as a key (byte order is natural order)       as a value               as text
//	string, []byte  the bytes                                    the bytes                the bytes
//	int, int64      8 bytes, big endian, sign bit flipped        zig-zag varint           decimal
//	float64         8 bytes, big endian, see orderedBits         8 bytes, little endian   shortest decimal
//	bool            1 byte, 0 or 1                               the same                 false, true
//	struct{}        nothing                                      nothing                  none: no TAB either
//	BinaryAppender  its own bytes                                its own bytes            JSON
//	others          JSON, in the order of its bytes              JSON                     JSON
//
// BinaryAppender stands for types that implement encoding.BinaryAppender, and encoding.BinaryUnmarshaler by pointer.
type Codec[T any] struct {
	// Append appends the bytes that travel between map and reduce. Only JSON fails, with errs.Invalid.
	Append func(dst []byte, v T) ([]byte, error)
	// Decode undoes Append, or fails with errs.Corrupt. The result does not share memory with src.
	Decode func(src []byte) (T, error)
	// Text appends what people read in a job's output.
	Text func(dst []byte, v T) ([]byte, error)
	// Kind is what Append makes.
	Kind ValueKind

	none      bool          // Text means that there is none
	toInt64   func(T) int64 // if Kind is ValueInt64
	fromInt64 func(int64) T // if Kind is ValueInt64
}

// KeyCodec returns the codec of keys of type T.
func KeyCodec[T any]() Codec[T] {
	var codec any
	switch any(*new(T)).(type) {
	case int:
		codec = orderedIntCodec[int]()
	case int64:
		codec = orderedIntCodec[int64]()
	case float64:
		codec = Codec[float64]{Append: appendOrderedFloat, Decode: decodeOrderedFloat, Text: textFloat}
	default:
		return ValueCodec[T]()
	}
	return codec.(Codec[T])
}

// ValueCodec returns the codec of values of type T.
func ValueCodec[T any]() Codec[T] {
	var codec any
	switch any(*new(T)).(type) {
	case string:
		codec = Codec[string]{Append: appendString, Decode: decodeString, Text: appendString}
	case []byte:
		codec = Codec[[]byte]{Append: appendBytes, Decode: decodeBytes, Text: appendBytes}
	case int:
		codec = intCodec[int]()
	case int64:
		codec = intCodec[int64]()
	case float64:
		codec = Codec[float64]{Append: appendFloat, Decode: decodeFloat, Text: textFloat}
	case bool:
		codec = Codec[bool]{Append: appendBool, Decode: decodeBool, Text: textBool}
	case struct{}:
		codec = Codec[struct{}]{Append: appendNone, Decode: decodeNone, Text: appendNone, none: true}
	case encoding.BinaryAppender:
		if _, ok := any(new(T)).(encoding.BinaryUnmarshaler); ok {
			return Codec[T]{Append: appendBinary[T], Decode: decodeBinary[T], Text: appendJSON[T]}
		}
		return Codec[T]{Append: appendJSON[T], Decode: decodeJSON[T], Text: appendJSON[T]}
	default:
		return Codec[T]{Append: appendJSON[T], Decode: decodeJSON[T], Text: appendJSON[T]}
	}
	return codec.(Codec[T])
}

func intCodec[T int | int64]() Codec[T] {
	return Codec[T]{
		Append:    func(dst []byte, v T) ([]byte, error) { return binary.AppendVarint(dst, int64(v)), nil },
		Decode:    func(src []byte) (T, error) { v, err := DecodeInt64(src); return T(v), err },
		Text:      textInt[T],
		Kind:      ValueInt64,
		toInt64:   func(v T) int64 { return int64(v) },
		fromInt64: func(v int64) T { return T(v) },
	}
}

func orderedIntCodec[T int | int64]() Codec[T] {
	return Codec[T]{Append: appendOrderedInt[T], Decode: decodeOrderedInt[T], Text: textInt[T]}
}

func appendString(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }
func decodeString(src []byte) (string, error)           { return string(src), nil }
func appendBytes(dst []byte, v []byte) ([]byte, error)  { return append(dst, v...), nil }
func decodeBytes(src []byte) ([]byte, error)            { return bytes.Clone(src), nil }

func textInt[T int | int64](dst []byte, v T) ([]byte, error) {
	return strconv.AppendInt(dst, int64(v), 10), nil
}

func appendOrderedInt[T int | int64](dst []byte, v T) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(v)^1<<63), nil
}

func decodeOrderedInt[T int | int64](src []byte) (T, error) {
	if len(src) != 8 {
		return 0, badLength("an integer key", src)
	}
	return T(binary.BigEndian.Uint64(src) ^ 1<<63), nil
}

func appendFloat(dst []byte, v float64) ([]byte, error) {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v)), nil
}

func decodeFloat(src []byte) (float64, error) {
	if len(src) != 8 {
		return 0, badLength("a float64", src)
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(src)), nil
}

func textFloat(dst []byte, v float64) ([]byte, error) { return AppendFloat(dst, v), nil }

// AppendFloat appends the shortest decimal that is v again when it is read, with an exponent only for numbers of more
// than 21 digits or less than a millionth, as JSON and JavaScript write them.
func AppendFloat(dst []byte, v float64) []byte {
	format := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, v, format, -1, 64)
}

func appendOrderedFloat(dst []byte, v float64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, orderedBits(v)), nil
}

func decodeOrderedFloat(src []byte) (float64, error) {
	if len(src) != 8 {
		return 0, badLength("a float64 key", src)
	}
	b := binary.BigEndian.Uint64(src)
	if b>>63 == 1 {
		return math.Float64frombits(b ^ 1<<63), nil
	}
	return math.Float64frombits(^b), nil
}

// orderedBits returns bits that are ordered as floats are: of negative numbers all bits are flipped, of others the
// sign. The two zeros are one key, and so are all NaNs, which come last.
func orderedBits(v float64) uint64 {
	switch {
	case v == 0:
		v = 0
	case v != v:
		v = math.NaN()
	}
	b := math.Float64bits(v)
	if b>>63 == 1 {
		return ^b
	}
	return b ^ 1<<63
}

func appendBool(dst []byte, v bool) ([]byte, error) {
	if v {
		return append(dst, 1), nil
	}
	return append(dst, 0), nil
}

func decodeBool(src []byte) (bool, error) {
	if len(src) != 1 || src[0] > 1 {
		return false, badLength("a bool", src)
	}
	return src[0] == 1, nil
}

func textBool(dst []byte, v bool) ([]byte, error) { return strconv.AppendBool(dst, v), nil }

func appendJSON[T any](dst []byte, v T) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return dst, errs.E("functions.Codec", errs.Invalid, nil, err)
	}
	return append(dst, b...), nil
}

func decodeJSON[T any](src []byte) (v T, err error) {
	if err := json.Unmarshal(src, &v); err != nil {
		return v, errs.E("functions.Codec", errs.Corrupt, nil, err)
	}
	return v, nil
}

func appendBinary[T any](dst []byte, v T) ([]byte, error) {
	b, err := any(v).(encoding.BinaryAppender).AppendBinary(dst)
	if err != nil {
		return dst, errs.E("functions.Codec", errs.Invalid, nil, err)
	}
	return b, nil
}

func decodeBinary[T any](src []byte) (v T, err error) {
	if err := any(&v).(encoding.BinaryUnmarshaler).UnmarshalBinary(src); err != nil {
		return v, errs.E("functions.Codec", errs.Corrupt, nil, err)
	}
	return v, nil
}

func appendNone(dst []byte, _ struct{}) ([]byte, error) { return dst, nil }

func decodeNone(src []byte) (none struct{}, err error) {
	if len(src) > 0 {
		return none, badLength("nothing", src)
	}
	return none, nil
}

func badLength(what string, src []byte) error {
	return errs.Errorf("functions.Codec", errs.Corrupt, nil, "%d bytes that are not %s", len(src), what)
}
