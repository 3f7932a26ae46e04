package functions

import (
	"encoding/binary"
	"fmt"

	"github.com/seed3322913c/runner/infra/errs"
)

// FoldKind names a well-known fold.
type FoldKind uint8

// The well-known folds. A sum that leaves the range of an int64 wraps around.
const (
	FoldOther FoldKind = iota
	FoldSum
	FoldMin
	FoldMax
)

var foldText = [...]string{FoldOther: "other", FoldSum: "sum", FoldMin: "min", FoldMax: "max"}

// String returns the fold's name, which is also that of the built-in function that does it.
func (k FoldKind) String() string {
	if int(k) < len(foldText) {
		return foldText[k]
	}
	return fmt.Sprintf("fold %d", uint8(k))
}

// ParseFoldKind is the inverse of FoldKind.String; an unknown name is FoldOther.
func ParseFoldKind(text string) FoldKind {
	for k, t := range foldText {
		if t == text {
			return FoldKind(k)
		}
	}
	return FoldOther
}

// NewInt64Fold returns the combiner and reducer over int64 values that does a well-known fold: it is an Int64FoldKind,
// so that engines recognise it. It can be used by many goroutines at once. It panics for FoldOther, which names no
// fold.
func NewInt64Fold(kind FoldKind) Reducer {
	switch kind {
	case FoldSum:
		return int64Fold{kind, Sum[int64]().fold}
	case FoldMin:
		return int64Fold{kind, Min[int64]().fold}
	case FoldMax:
		return int64Fold{kind, Max[int64]().fold}
	}
	panic("functions.NewInt64Fold: " + kind.String() + " is not a well-known fold")
}

type int64Fold struct {
	kind FoldKind
	fold func(a, b int64) int64
}

func (f int64Fold) FoldInt64(a, b int64) int64 { return f.fold(a, b) }
func (f int64Fold) Int64Fold() FoldKind        { return f.kind }
func (f int64Fold) ValueKind() ValueKind       { return ValueInt64 }

func (f int64Fold) Reduce(key []byte, values Values, out Emitter) error {
	if !values.Next() {
		return nil
	}
	total, err := Int64(values)
	for err == nil && values.Next() {
		var v int64
		v, err = Int64(values)
		total = f.fold(total, v)
	}
	if err != nil {
		return err
	}
	return EmitInt64(out, key, total)
}

// Int64 returns the current value of values, which must be of ValueInt64. The error is of kind Corrupt.
func Int64(values Values) (int64, error) {
	if v, ok := values.(Int64Values); ok {
		return v.Int64(), nil
	}
	return DecodeInt64(values.Value())
}

// DecodeInt64 decodes a value of ValueInt64, all of it. The error is of kind Corrupt.
func DecodeInt64(value []byte) (int64, error) {
	v, n := binary.Varint(value)
	if n <= 0 || n != len(value) {
		return 0, errs.Errorf("functions.DecodeInt64", errs.Corrupt, nil, "%d bytes that are not one varint", len(value))
	}
	return v, nil
}

// EmitInt64 puts out one value of ValueInt64. Those who put out many ask Int64Out once.
func EmitInt64(out Emitter, key []byte, value int64) error {
	return Int64Out(out).EmitInt64(key, value)
}

// Int64Out returns out as an Int64Emitter, or else one that encodes the values and gives them to out.
func Int64Out(out Emitter) Int64Emitter {
	if e, ok := out.(Int64Emitter); ok {
		return e
	}
	return int64Encoder{out}
}

type int64Encoder struct{ Emitter }

func (e int64Encoder) EmitInt64(key []byte, value int64) error {
	var b [binary.MaxVarintLen64]byte
	return e.Emit(key, binary.AppendVarint(b[:0], value))
}

// Fold is an operation that folds two values into one, associatively and commutatively. It is a value rather than a
// func, so that an engine can recognise the well-known ones. The zero Fold is none.
type Fold[V any] struct {
	kind FoldKind
	fold func(a, b V) V
}

// Number is what Sum, Min and Max work on.
type Number interface {
	int | int64 | float64
}

// FoldFunc makes a Fold of any associative and commutative function.
func FoldFunc[V any](fold func(a, b V) V) Fold[V] { return Fold[V]{FoldOther, fold} }

// Sum adds.
func Sum[V Number]() Fold[V] { return Fold[V]{FoldSum, func(a, b V) V { return a + b }} }

// Min takes the smaller.
func Min[V Number]() Fold[V] { return Fold[V]{FoldMin, func(a, b V) V { return min(a, b) }} }

// Max takes the greater.
func Max[V Number]() Fold[V] { return Fold[V]{FoldMax, func(a, b V) V { return max(a, b) }} }

// Kind says which fold it is.
func (f Fold[V]) Kind() FoldKind { return f.kind }

// IsZero reports whether there is no fold.
func (f Fold[V]) IsZero() bool { return f.fold == nil }
