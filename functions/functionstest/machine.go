package functionstest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/seed3322913c/runner/functions"
)

// machine runs the parts of one function, each in an instance of its own.
type machine struct {
	t        testing.TB
	raw      functions.Raw
	params   functions.Params
	files    map[string]string // paths by name
	counters Counters
	outputs  map[string]string
}

func newMachine(t testing.TB, raw functions.Raw, params functions.Params, texts map[string]string) *machine {
	t.Helper()
	all, err := params.Complete(raw.Params)
	if err != nil {
		t.Fatal(err)
	}
	paths, dir := map[string]string{}, writeFiles(t, texts)
	for name := range texts {
		paths[name] = filepath.Join(dir, name)
	}
	return &machine{t, raw, all, paths, Counters{}, map[string]string{}}
}

// writeFiles writes files, and returns the folder that they are in.
func writeFiles(t testing.TB, texts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Param, Count, Status, Logf and Attempt make the machine the Env of the function.
func (m *machine) Param(name string) (string, bool) {
	value, ok := m.params[name]
	return value, ok
}

func (m *machine) Count(group, name string, delta int64) {
	if m.counters[group] == nil {
		m.counters[group] = map[string]int64{}
	}
	m.counters[group][name] += delta
}

// File implements functions.Files.
func (m *machine) File(name string) (string, bool) { path, ok := m.files[name]; return path, ok }

// EmitTo implements functions.Outputs.
func (m *machine) EmitTo(name string, key, value []byte) error {
	line := string(key)
	if key != nil && value != nil {
		line += "\t"
	}
	m.outputs[name] += line + string(value) + "\n"
	return nil
}

func (m *machine) Status(line string)              { m.t.Logf("status: %s", line) }
func (m *machine) Logf(format string, args ...any) { m.t.Logf(format, args...) }
func (m *machine) Attempt() string                 { return "test-0.0" }

// live takes an instance through its life, with use in the middle.
func (m *machine) live(instance any, out functions.Emitter, use func() error) error {
	err := functions.Protect(func() error {
		if f, ok := instance.(functions.Setup); ok {
			if err := f.Setup(m); err != nil {
				return err
			}
		}
		if err := use(); err != nil {
			return err
		}
		if f, ok := instance.(functions.Cleanup); ok {
			return f.Cleanup(out)
		}
		return nil
	})
	if c, ok := instance.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	return err
}

// mapAll runs the mapper over records, one by one or all lines in one batch.
func (m *machine) mapAll(in []functions.Record, batch bool) (*output, error) {
	mapper := m.raw.Mapper()
	out := &output{kind: functions.ValueKindOf(mapper)}
	return out, m.live(mapper, out, func() error {
		if b, ok := mapper.(functions.BatchMapper); ok && batch {
			var text []byte
			for _, r := range in {
				text = append(append(text, r.Value...), '\n')
			}
			text = withSpare(text)
			n, err := b.MapBatch(text, out)
			if err == nil && n != int64(len(in)) {
				err = fmt.Errorf("MapBatch saw %d lines, want %d", n, len(in))
			}
			scribble(text)
			return err
		}
		for _, r := range in {
			r = functions.Record{Key: withSpare(r.Key), Value: withSpare(r.Value)}
			if err := mapper.Map(r, out); err != nil {
				return err
			}
			scribble(r.Key)
			scribble(r.Value)
		}
		return nil
	})
}

// reduceAll runs a reducer or combiner over groups.
func (m *machine) reduceAll(make func() functions.Reducer, groups []group, ints bool) (*output, error) {
	reducer := make()
	out := &output{kind: functions.ValueKindOf(reducer)}
	return out, m.live(reducer, out, func() error {
		for _, g := range groups {
			key := withSpare(g.key)
			v := &values{rest: g.values}
			var all functions.Values = v
			if ints {
				all = int64Values{v}
			}
			if err := reducer.Reduce(key, all, out); err != nil {
				return err
			}
			scribble(key)
		}
		return nil
	})
}

// combining groups records for the combiner: it returns runs of them, in each of which keys are combined.
type combining func(lines [][]record) [][]record

func byLine(lines [][]record) [][]record { return lines }
func byKey(lines [][]record) [][]record  { return [][]record{slices.Concat(lines...)} }

// job runs everything and returns the output as text.
func (m *machine) job(in []functions.Record, rounds []combining) (string, error) {
	var runs [][]record
	ints := false
	for i := range in { // a task for each line
		out, err := m.mapAll(in[i:i+1], i%2 == 0)
		if err != nil {
			return "", err
		}
		if ints = out.kind == functions.ValueInt64; m.raw.Reducer == nil {
			runs = append(runs, []record{{value: []byte(out.text(m.t))}})
			continue
		}
		runs = append(runs, out.records)
	}
	if m.raw.Reducer == nil {
		var text []byte
		for _, r := range byKey(runs)[0] {
			text = append(text, r.value...)
		}
		return string(text), nil
	}
	for _, round := range rounds {
		var err error
		if runs, err = m.combine(round(runs), ints); err != nil {
			return "", err
		}
	}
	out, err := m.reduceAll(m.raw.Reducer, grouped(byKey(runs)[0]), ints)
	if err != nil {
		return "", err
	}
	return out.text(m.t), nil
}

func (m *machine) combine(runs [][]record, ints bool) ([][]record, error) {
	var after [][]record
	for _, run := range runs {
		out, err := m.reduceAll(m.raw.Combiner, grouped(run), ints)
		if err != nil {
			return nil, fmt.Errorf("combine: %w", err)
		}
		after = append(after, out.records)
	}
	return after, nil
}

// record is an emitted record. An int64 value is a varint.
type record struct{ key, value []byte }

type group struct {
	key    []byte
	values [][]byte
}

// grouped sorts by key; the values of a key keep their order. What is absent arrives as empty.
func grouped(records []record) []group {
	records = slices.Clone(records)
	slices.SortStableFunc(records, func(a, b record) int { return bytes.Compare(a.key, b.key) })
	var groups []group
	for _, r := range records {
		if n := len(groups); n == 0 || !bytes.Equal(groups[n-1].key, r.key) {
			groups = append(groups, group{key: append([]byte{}, r.key...)})
		}
		g := &groups[len(groups)-1]
		g.values = append(g.values, append([]byte{}, r.value...))
	}
	return groups
}

// output is an Emitter that keeps everything.
type output struct {
	kind    functions.ValueKind
	records []record
}

func (o *output) Emit(key, value []byte) error {
	o.records = append(o.records, record{bytes.Clone(key), bytes.Clone(value)})
	return nil
}

func (o *output) EmitInt64(key []byte, value int64) error {
	if o.kind != functions.ValueInt64 {
		return fmt.Errorf("an int64 value is emitted by a function whose ValueKind is %v", o.kind)
	}
	return o.Emit(key, binary.AppendVarint(nil, value))
}

// text is the output as a file has it.
func (o *output) text(t testing.TB) string {
	t.Helper()
	var text []byte
	for _, r := range o.records {
		value := r.value
		if o.kind == functions.ValueInt64 {
			v, err := functions.DecodeInt64(value)
			if err != nil {
				t.Error(err)
			}
			value = strconv.AppendInt(nil, v, 10)
		}
		text = append(text, r.key...)
		if r.key != nil && value != nil {
			text = append(text, '\t')
		}
		text = append(append(text, value...), '\n')
	}
	return string(text)
}

// values are Values whose bytes do not outlive the next call.
type values struct {
	rest [][]byte
	now  []byte
}

func (v *values) Next() bool {
	scribble(v.now)
	if len(v.rest) == 0 {
		return false
	}
	v.now, v.rest = withSpare(v.rest[0]), v.rest[1:]
	return true
}

func (v *values) Value() []byte { return v.now }

// int64Values are the values of a job whose values are int64.
type int64Values struct{ *values }

func (v int64Values) Int64() int64 {
	n, err := functions.DecodeInt64(v.now)
	if err != nil {
		panic(err) // what was encoded here
	}
	return n
}

// lines are the records of a text.
func lines(text string) []functions.Record {
	var all []functions.Record
	for line := range functions.Lines([]byte(text)) {
		all = append(all, functions.Record{Value: line})
	}
	return all
}

// withSpare copies b, with 8 bytes of capacity behind it that are no part of anything. Absent remains absent.
func withSpare(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append(bytes.Clone(b), "\xde\xad\xbe\xef\xde\xad\xbe\xef"...)[:len(b)]
}

// scribble overwrites bytes that are no longer valid.
func scribble(b []byte) {
	for i := range b {
		b[i] = '#'
	}
}

// appendText appends an emitted record as a line of text.
func appendText[K, V any](t testing.TB, dst []byte, r record) []byte {
	t.Helper()
	keys, values := functions.KeyCodec[K](), functions.ValueCodec[V]()
	dst, keyErr := keys.Text(dst, decode(t, keys, r.key))
	dst, valueErr := values.Text(append(dst, '\t'), decode(t, values, r.value))
	if err := errors.Join(keyErr, valueErr); err != nil {
		t.Error(err)
	}
	return append(dst, '\n')
}

func decode[T any](t testing.TB, codec functions.Codec[T], b []byte) T {
	t.Helper()
	v, err := codec.Decode(b)
	if err != nil {
		t.Errorf("%q: %v", b, err)
	}
	return v
}

func encoded[K, V any](t testing.TB, g Group[K, V]) group {
	t.Helper()
	key, err := functions.KeyCodec[K]().Append([]byte{}, g.Key)
	if err != nil {
		t.Fatal(err)
	}
	e := group{key: key}
	for _, v := range g.Values {
		value, err := functions.ValueCodec[V]().Append([]byte{}, v)
		if err != nil {
			t.Fatal(err)
		}
		e.values = append(e.values, value)
	}
	return e
}
