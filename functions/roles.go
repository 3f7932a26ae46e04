package functions

import (
	"io"

	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// finish does what a function wants done after its last call.
func finish(function any, out Emitter) error {
	if f, ok := function.(Cleanup); ok {
		return f.Cleanup(out)
	}
	return nil
}

func flush(function any, out Emitter) error {
	if f, ok := function.(Flusher); ok {
		return f.Flush(out)
	}
	return nil
}

func closeFunction(function any) error {
	if f, ok := function.(io.Closer); ok {
		return f.Close()
	}
	return nil
}

// mapBody runs a mapper.
type mapBody struct {
	s      *server
	mapper Mapper
	batch  BatchMapper // the mapper, if it is one
	lines  lineCounter // the mapper, if it is one
	out    Emitter
	cache  *foldCache[int64] // between the mapper and the server; nil: none
}

// lineCounter is a BatchMapper that knows how many lines it began in its life.
type lineCounter interface{ linesBegun() int64 }

// newMapBody sets up a mapper. If the job has a combiner that this program has too, the records are combined on their
// way out: each that is not sent saves both processes more than the look in the cache costs.
func (s *server) newMapBody(raw Raw, combiner string) (body, error) {
	b := &mapBody{s: s, mapper: raw.Mapper(), out: s}
	b.batch, _ = b.mapper.(BatchMapper)
	b.lines, _ = b.mapper.(lineCounter)
	var fold Reducer
	own := raw.Combiner != nil && combiner == Ref{Go: raw.name()}.String()
	if own {
		fold = raw.Combiner()
	} else if kind := ParseFoldKind(combiner); kind != FoldOther {
		fold = NewInt64Fold(kind)
	}
	if f, ok := fold.(Int64Folder); ok && ValueKindOf(b.mapper) == ValueInt64 {
		b.cache = newFoldCache(f.FoldInt64, s.EmitInt64)
		b.out = cachedEmitter{b.cache}
	} else if m, ok := b.mapper.(interface{ combine() }); ok && own {
		m.combine()
	}
	return b, s.accept(b.mapper)
}

func (b *mapBody) take(t wire.Type, payload []byte) error {
	if t == wire.Records {
		return b.records(payload)
	}
	if t != wire.Lines {
		return unexpected(t)
	}
	b.s.done.In += CountLines(payload)
	if b.batch != nil {
		if b.lines != nil {
			defer func() { b.s.record = b.lines.linesBegun() }()
		}
		_, err := b.batch.MapBatch(payload, b.out)
		return err
	}
	for line := range Lines(payload) {
		b.s.record++
		if err := b.mapper.Map(Record{Value: line}, b.out); err != nil {
			return err
		}
	}
	return nil
}

func (b *mapBody) records(payload []byte) error {
	for len(payload) > 0 {
		key, value, rest, err := wire.CutRecord(payload)
		if err != nil {
			return err
		}
		payload = rest
		b.s.record++
		b.s.done.In++
		if err := b.mapper.Map(Record{key, value}, b.out); err != nil {
			return err
		}
	}
	return nil
}

func (b *mapBody) flush() error {
	if err := flush(b.mapper, b.out); err != nil {
		return err
	}
	return b.flushCache()
}

func (b *mapBody) end() error {
	if err := finish(b.mapper, b.out); err != nil {
		return err
	}
	return b.flushCache()
}

func (b *mapBody) flushCache() error {
	if b.cache == nil {
		return nil
	}
	return b.cache.flush()
}

func (b *mapBody) close() error { return closeFunction(b.mapper) }

// cachedEmitter folds int64 records in a cache.
type cachedEmitter struct{ cache *foldCache[int64] }

func (e cachedEmitter) EmitInt64(key []byte, value int64) error { return e.cache.add(key, value) }

func (e cachedEmitter) Emit(key, value []byte) error {
	v, err := DecodeInt64(value)
	if err != nil {
		return err
	}
	return e.cache.add(key, v)
}

// groupBody runs a reducer or combiner, and is the Values of each of its keys.
type groupBody struct {
	s       *server
	reducer Reducer
	key     []byte // reused
	rest    []byte // of the frame of groups that is being read
	value   []byte
	err     error // of Next
}

func (s *server) newGroupBody(r Reducer) (body, error) {
	b := &groupBody{s: s, reducer: r}
	return b, s.accept(r)
}

func (b *groupBody) take(t wire.Type, payload []byte) error {
	if t != wire.Groups {
		return unexpected(t)
	}
	for b.rest = payload; len(b.rest) > 0; {
		isKey, data, rest, err := wire.CutGroup(b.rest)
		if err != nil {
			return err
		}
		b.rest = rest
		if !isKey { // a value that the reducer did not ask for
			if b.s.record == 0 {
				return errs.Errorf("functions.Main", errs.Corrupt, nil, "a value before the first key")
			}
			b.s.done.In++
			continue
		}
		b.key = append(b.key[:0], data...) // the frame may be gone before the values are at their end
		b.s.record++
		b.s.key = b.key
		if err := b.reducer.Reduce(b.key, b, b.s); err != nil {
			return err
		}
		if b.err != nil {
			return b.err
		}
	}
	return nil
}

func (b *groupBody) Next() bool {
	for len(b.rest) == 0 && b.err == nil {
		t, payload, err := b.s.read()
		switch {
		case err != nil:
			b.err = err
		case t != wire.Groups:
			b.s.unread = t
			return false
		default:
			b.rest, b.err = payload, b.s.report()
		}
	}
	if b.err != nil || b.rest[0] == 0 {
		return false
	}
	_, b.value, b.rest, b.err = wire.CutGroup(b.rest)
	if b.err != nil {
		return false
	}
	b.s.done.In++
	return true
}

func (b *groupBody) Value() []byte { return b.value }

func (b *groupBody) flush() error { return flush(b.reducer, b.s) }
func (b *groupBody) end() error   { return finish(b.reducer, b.s) }
func (b *groupBody) close() error { return closeFunction(b.reducer) }
