package builtin

import "github.com/seed3322913c/runner/functions"

// identity puts out what it gets.
type identity struct{}

func (identity) Map(in functions.Record, out functions.Emitter) error {
	return out.Emit(in.Key, in.Value)
}

func (identity) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	if typed, ok := values.(functions.Typed); ok && typed.ValueKind() == functions.ValueInt64 {
		return passInt64(key, values, functions.Int64Out(out))
	}
	for values.Next() {
		if err := out.Emit(key, values.Value()); err != nil {
			return err
		}
	}
	return nil
}

// passInt64 keeps numbers numbers, so that an output in text shows them in decimal.
func passInt64(key []byte, values functions.Values, out functions.Int64Emitter) error {
	for values.Next() {
		n, err := functions.Int64(values)
		if err != nil {
			return err
		}
		if err := out.EmitInt64(key, n); err != nil {
			return err
		}
	}
	return nil
}

// lineKey makes the line the key, so that the shuffle sorts it.
type lineKey struct{}

func (lineKey) Map(in functions.Record, out functions.Emitter) error { return out.Emit(in.Value, nil) }

func (lineKey) MapBatch(lines []byte, out functions.Emitter) (n int64, err error) {
	for line := range functions.Lines(lines) {
		n++
		if err := out.Emit(line, nil); err != nil {
			return n, err
		}
	}
	return n, nil
}

// keyOnly puts out the key once for each value, and no value.
type keyOnly struct{}

func (keyOnly) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	for values.Next() {
		if err := out.Emit(key, nil); err != nil {
			return err
		}
	}
	return nil
}

// count counts values, whatever they are. It is no combiner: it would count counts.
type count struct{}

func (count) ValueKind() functions.ValueKind { return functions.ValueInt64 }

func (count) Reduce(key []byte, values functions.Values, out functions.Emitter) error {
	n := int64(0)
	for values.Next() {
		n++
	}
	return functions.EmitInt64(out, key, n)
}
