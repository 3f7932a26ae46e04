package functions

import (
	"iter"
	"reflect"
	"slices"
)

// Function is what a binary offers through Main, and what the test kit runs: a MapReduce, a Raw or an Answer.
type Function interface {
	// Raw returns the function over bytes.
	Raw() Raw
}

// Raw is a function written over bytes. Each attempt gets instances of its own.
type Raw struct {
	Name     string  // unique in the binary; "main" if empty
	Doc      string  // one line
	Params   []Param // what it may be told
	Mapper   func() Mapper
	Combiner func() Reducer // nil: no combining
	Reducer  func() Reducer // nil: the mapper's records are the result

	// Partition, if not nil, says which of so many reducers gets a key, from 0. It depends on nothing else.
	Partition func(key []byte, reducers int) int

	Key KeyOrder // in which order keys come to reducers, and which of them come together

	Handler Handler // answers events instead; then there is no Mapper
}

// Raw returns r.
func (r Raw) Raw() Raw { return r }

// MapReduce is a function written with types. See Codec for the types that K and V may be.
//
// The functions run in one goroutine, in a process that serves one attempt, so they may share variables that Setup
// sets. What is printed goes to the attempt's log.
type MapReduce[K, V any] struct {
	Name   string  // unique in the binary; "main" if empty
	Doc    string  // one line
	Params []Param // what it may be told

	// Setup, if not nil, is called before the first call of Map or Reduce in each attempt. env remains usable.
	Setup func(env Env) error

	// Map is called with each line, without its end. The bytes are valid until it returns, also in what it emits.
	Map func(line []byte, emit func(key K, value V)) error

	// Combine folds the values of a key on their way to the reducer, and is what Reduce does if there is none.
	Combine Fold[V]

	// Partition, if not nil, says which of so many reducers gets a key, from 0. It depends on nothing else. A job needs
	// to say how many reducers it wants then.
	Partition func(key K, reducers int) int

	// Key says in which order keys, as they are encoded, come to Reduce, and which of them come together.
	Key KeyOrder

	// Reduce is made by the function Reduce. Without it and without Combine, what Map emits is the result.
	Reduce Reduction[K, V]
}

// Raw returns the function over bytes.
func (m MapReduce[K, V]) Raw() Raw {
	raw := Raw{Name: m.Name, Doc: m.Doc, Params: m.Params, Key: m.Key, Partition: m.partition()}
	reduction := m.Reduce
	if reduction.reducer == nil && !m.Combine.IsZero() {
		reduction = foldReduction[K](m.Combine)
	}
	if m.Map != nil {
		final := reduction.reducer == nil
		raw.Mapper = func() Mapper { return newTypedMapper(m, final) }
	}
	if !m.Combine.IsZero() {
		raw.Combiner = func() Reducer { return newCombiner(m.Combine) }
	}
	if reduction.reducer != nil {
		raw.Reducer = func() Reducer { return reduction.reducer(m.Setup) }
	}
	return raw
}

// partition returns Partition over bytes. Of a key that cannot be decoded it makes a partition that there is not.
func (m MapReduce[K, V]) partition() func(key []byte, reducers int) int {
	if m.Partition == nil {
		return nil
	}
	codec := KeyCodec[K]()
	return func(key []byte, reducers int) int {
		k, err := codec.Decode(key)
		if err != nil {
			return -1
		}
		return m.Partition(k, reducers)
	}
}

// typedMapper is a Map function with codecs around it.
type typedMapper[K, V any] struct {
	setup func(Env) error
	mapFn func([]byte, func(K, V)) error
	emit  func(K, V) // what mapFn calls
	to    sink[K, V]
	fold  Fold[V]
	cache *foldCache[V] // folds on the way out; nil: does not
	lines int64         // begun so far
}

func (t *typedMapper[K, V]) linesBegun() int64 { return t.lines }

func newTypedMapper[K, V any](m MapReduce[K, V], final bool) *typedMapper[K, V] {
	t := &typedMapper[K, V]{setup: m.Setup, mapFn: m.Map, fold: m.Combine}
	t.to = newSink(KeyCodec[K](), ValueCodec[V](), final)
	t.emit = t.to.put
	return t
}

func (t *typedMapper[K, V]) ValueKind() ValueKind { return t.to.kind() }
func (t *typedMapper[K, V]) Setup(env Env) error  { return callSetup(t.setup, env) }

func (t *typedMapper[K, V]) Map(in Record, out Emitter) error {
	t.to.begin(out)
	return t.line(in.Value)
}

func (t *typedMapper[K, V]) MapBatch(lines []byte, out Emitter) (int64, error) {
	t.to.begin(out)
	before := t.lines
	for line := range Lines(lines) {
		if err := t.line(line); err != nil {
			return t.lines - before, err
		}
	}
	return t.lines - before, nil
}

func (t *typedMapper[K, V]) line(line []byte) error {
	t.lines++
	if err := t.mapFn(line, t.emit); err != nil {
		return err
	}
	return t.to.err
}

// combine makes the mapper fold values on their way out. For int64 values the process around it does that, without an
// indirect call per record; values that may be views of the line cannot wait.
func (t *typedMapper[K, V]) combine() {
	if !t.fold.IsZero() && t.to.kind() != ValueInt64 && selfContained(reflect.TypeFor[V]()) {
		t.cache = newFoldCache(t.fold.fold, t.to.putEncodedKey)
		t.emit = t.putCached
	}
}

func (t *typedMapper[K, V]) putCached(key K, value V) {
	if k, ok := t.to.encodeKey(key); ok {
		t.to.fail(t.cache.add(k, value))
	}
}

func (t *typedMapper[K, V]) Flush(out Emitter) error {
	if t.cache == nil {
		return nil
	}
	t.to.begin(out)
	return t.cache.flush()
}

func (t *typedMapper[K, V]) Cleanup(out Emitter) error { return t.Flush(out) }

// selfContained reports whether values of a type share no memory that somebody may write to.
func selfContained(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		for f := range t.Fields() {
			if !selfContained(f.Type) {
				return false
			}
		}
		return true
	case reflect.Array:
		return selfContained(t.Elem())
	case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return false
	}
	return true
}

func callSetup(setup func(Env) error, env Env) error {
	if setup == nil {
		return nil
	}
	return setup(env)
}

// sink encodes typed records and puts them out. It keeps the first error, since a user's function is not told.
type sink[K, V any] struct {
	appendKey   func([]byte, K) ([]byte, error)
	appendValue func([]byte, V) ([]byte, error)
	toInt64     func(V) int64 // if not nil, values go out unencoded
	noKey       bool
	noValue     bool

	key   []byte // reused
	value []byte // reused
	out   Emitter
	out64 Int64Emitter // out, if toInt64 is not nil
	err   error
}

// newSink makes a sink for records on their way to reduce or, if final, for the text of the output.
func newSink[K, V any](key Codec[K], value Codec[V], final bool) sink[K, V] {
	s := sink[K, V]{appendKey: key.Append, appendValue: value.Append, toInt64: value.toInt64}
	if final {
		s = sink[K, V]{appendKey: key.Text, appendValue: value.Text, noKey: key.none, noValue: value.none}
	}
	s.key, s.value = make([]byte, 0, 64), make([]byte, 0, 64) // not nil: an empty value is not an absent one
	return s
}

func (s *sink[K, V]) kind() ValueKind {
	if s.toInt64 != nil {
		return ValueInt64
	}
	return ValueBytes
}

func (s *sink[K, V]) begin(out Emitter) {
	if s.out == out {
		return
	}
	s.out = out
	if s.toInt64 != nil {
		s.out64 = Int64Out(out)
	}
}

func (s *sink[K, V]) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *sink[K, V]) put(key K, value V) {
	if k, ok := s.encodeKey(key); ok {
		s.fail(s.putEncodedKey(k, value))
	}
}

// encodeKey returns the key's bytes, with the spare capacity that makes them fast to read, until the next call.
func (s *sink[K, V]) encodeKey(key K) ([]byte, bool) {
	if s.err != nil {
		return nil, false
	}
	k, err := s.appendKey(s.key[:0], key)
	if err != nil {
		s.err = err
		return nil, false
	}
	s.key = slices.Grow(k, 8)
	if s.noKey {
		return nil, true
	}
	return s.key, true
}

func (s *sink[K, V]) putEncodedKey(key []byte, value V) error {
	if s.toInt64 != nil {
		return s.out64.EmitInt64(key, s.toInt64(value))
	}
	v, err := s.appendValue(s.value[:0], value)
	if err != nil {
		return err
	}
	s.value = v
	if s.noValue {
		v = nil
	}
	return s.out.Emit(key, v)
}

// Reduction is what a MapReduce does with the values of a key. Reduce makes one.
type Reduction[K, V any] struct {
	reducer func(setup func(Env) error) Reducer
}

// Reduce makes a Reduction of a function. It is called with each key and its values, which can be read once, and emits
// lines of the output as a key and a value of any types.
//
//	Reduce: functions.Reduce(func(station string, t iter.Seq[float64], emit func(string, float64)) error { ... })
func Reduce[K, V, K2, V2 any](f func(key K, values iter.Seq[V], emit func(K2, V2)) error) Reduction[K, V] {
	return Reduction[K, V]{func(setup func(Env) error) Reducer {
		t := &typedReducer[K, V, K2, V2]{setup: setup, reduce: f, key: KeyCodec[K]()}
		t.in.codec = ValueCodec[V]()
		t.to = newSink(KeyCodec[K2](), ValueCodec[V2](), true)
		t.values, t.emit = t.in.all, t.to.put
		return t
	}}
}

type typedReducer[K, V, K2, V2 any] struct {
	setup  func(Env) error
	reduce func(K, iter.Seq[V], func(K2, V2)) error
	key    Codec[K]
	in     decoded[V]
	values iter.Seq[V] // in.all
	to     sink[K2, V2]
	emit   func(K2, V2) // to.put
}

func (t *typedReducer[K, V, K2, V2]) Setup(env Env) error { return callSetup(t.setup, env) }

func (t *typedReducer[K, V, K2, V2]) Reduce(key []byte, values Values, out Emitter) error {
	k, err := t.key.Decode(key)
	if err != nil {
		return err
	}
	t.to.begin(out)
	t.in.values = values
	if err := t.reduce(k, t.values, t.emit); err != nil {
		return err
	}
	t.to.fail(t.in.err)
	return t.to.err
}

// decoded is a key's values with their type, until the first that cannot be decoded.
type decoded[V any] struct {
	values Values
	codec  Codec[V]
	err    error
}

func (d *decoded[V]) all(yield func(V) bool) {
	ints, _ := d.values.(Int64Values)
	for d.err == nil && d.values.Next() {
		var v V
		if ints != nil && d.codec.fromInt64 != nil {
			v = d.codec.fromInt64(ints.Int64())
		} else if v, d.err = d.codec.Decode(d.values.Value()); d.err != nil {
			return
		}
		if !yield(v) {
			return
		}
	}
}

// folded folds all values into one; ok is false if there are none.
func (d *decoded[V]) folded(fold Fold[V]) (total V, ok bool) {
	for v := range d.all {
		if !ok {
			total, ok = v, true
			continue
		}
		total = fold.fold(total, v)
	}
	return total, ok
}

// foldReduction puts out what the values fold to. Where the keys need no decoding, engines know how to do that.
func foldReduction[K, V any](fold Fold[V]) Reduction[K, V] {
	switch any(*new(K)).(type) {
	case string, []byte:
		if ValueCodec[V]().Kind == ValueInt64 {
			return Reduction[K, V]{func(func(Env) error) Reducer { return newCombiner(fold) }}
		}
	}
	return Reduce(func(key K, values iter.Seq[V], emit func(K, V)) error {
		var total V
		first := true
		for v := range values {
			if first {
				total, first = v, false
			} else {
				total = fold.fold(total, v)
			}
		}
		emit(key, total)
		return nil
	})
}

// newCombiner returns the combiner of a fold: an Int64Folder if the values are int64.
func newCombiner[V any](fold Fold[V]) Reducer {
	codec := ValueCodec[V]()
	if codec.Kind != ValueInt64 {
		return &combiner[V]{fold: fold, codec: codec}
	}
	if fold.kind != FoldOther {
		return NewInt64Fold(fold.kind)
	}
	return int64Fold{FoldOther, func(a, b int64) int64 {
		return codec.toInt64(fold.fold(codec.fromInt64(a), codec.fromInt64(b)))
	}}
}

type combiner[V any] struct {
	fold  Fold[V]
	codec Codec[V]
	value []byte // reused
}

func (c *combiner[V]) Reduce(key []byte, values Values, out Emitter) error {
	in := decoded[V]{values: values, codec: c.codec}
	total, ok := in.folded(c.fold)
	if !ok || in.err != nil {
		return in.err
	}
	v, err := c.codec.Append(c.value[:0], total)
	if err != nil {
		return err
	}
	c.value = v
	return out.Emit(key, v)
}
