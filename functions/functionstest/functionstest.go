// Package functionstest is the kit for testing functions: what goes in, what should come out.
//
//	func TestMap(t *testing.T) {
//		functionstest.MapDriver[string, int64]{
//			Function: wordCount,
//			Input:    "to be or\nnot to be\n",
//			Want:     "to\t1\nbe\t1\nor\t1\nnot\t1\nto\t1\nbe\t1\n",
//		}.Run(t)
//	}
//
//	func TestAll(t *testing.T) {
//		functionstest.MapReduceDriver{
//			Function: wordCount,
//			Input:    "to be or\nnot to be\n",
//			Want:     "be\t2\nnot\t1\nor\t1\nto\t2\n",
//		}.Run(t)
//	}
//
// There is a driver for the mapper, one for the reducer and one for both, and CheckCombiner for the promise that a
// combiner makes. They take typed and raw functions alike, and are as unkind as an engine: bytes are overwritten as
// soon as they may be, records come singly and in batches, the combiner runs never, sometimes and often, and a panic
// is an error with its place. JobDriver runs a whole job on the real engine while things go wrong.
package functionstest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
)

// Counters are what a function counts, by group and name.
type Counters map[string]map[string]int64

// Outputs are what a function puts out to named outputs (functions.EmitTo): lines, by the names of the outputs.
type Outputs map[string]string

// MapDriver tests a mapper. K and V are the types that it emits: for a raw function that emits int64 values V is
// int64, for others K and V are string.
type MapDriver[K, V any] struct {
	Function functions.Function
	Params   functions.Params
	Files    map[string]string // what functions.File finds: texts by name

	Input   string             // lines
	Records []functions.Record // instead of Input, for raw functions over other things than lines

	Want         string   // what is emitted, in that order, as lines: key, TAB, value
	WantCounters Counters // compared if not nil
	WantOutputs  Outputs  // likewise
	WantError    string   // a part of the error; if not empty, Want is not looked at
}

// Run runs the mapper over the input and reports what is not as it should be: on single lines, and, if it is a
// functions.BatchMapper, on all of them at once.
func (d MapDriver[K, V]) Run(t testing.TB) {
	t.Helper()
	raw := d.Function.Raw()
	if raw.Mapper == nil {
		t.Fatal("the function has nothing that maps")
	}
	_, isBatch := raw.Mapper().(functions.BatchMapper)
	for _, batch := range []bool{false, true} {
		if batch && (!isBatch || d.Records != nil) {
			continue
		}
		m := newMachine(t, raw, d.Params, d.Files)
		out, err := m.mapAll(d.input(), batch)
		how := "map by line"
		if batch {
			how = "map by batch"
		}
		if !m.checkError(how, err, d.WantError) {
			continue
		}
		var got []byte
		for _, r := range out.records {
			got = appendText[K, V](t, got, r)
		}
		compareLines(t, how, d.Want, string(got))
		m.check(how, d.WantCounters, d.WantOutputs)
	}
}

func (d MapDriver[K, V]) input() []functions.Record {
	if d.Records != nil {
		return d.Records
	}
	return lines(d.Input)
}

// Group is a key with its values, with the types of its function.
type Group[K, V any] struct {
	Key    K
	Values []V
}

// ReduceDriver tests a reducer.
type ReduceDriver[K, V any] struct {
	Function functions.Function
	Params   functions.Params
	Files    map[string]string // what functions.File finds: texts by name

	Input []Group[K, V]

	Want         string   // lines of the output: key, TAB, value
	WantCounters Counters // compared if not nil
	WantOutputs  Outputs  // likewise
	WantError    string   // a part of the error; if not empty, Want is not looked at
}

// Run runs the reducer over the groups, in their order, and reports what is not as it should be.
func (d ReduceDriver[K, V]) Run(t testing.TB) {
	t.Helper()
	raw := d.Function.Raw()
	if raw.Reducer == nil {
		t.Fatal("the function has nothing that reduces")
	}
	var groups []group
	for _, g := range d.Input {
		groups = append(groups, encoded(t, g))
	}
	m := newMachine(t, raw, d.Params, d.Files)
	out, err := m.reduceAll(raw.Reducer, groups, functions.ValueCodec[V]().Kind == functions.ValueInt64)
	if m.checkError("reduce", err, d.WantError) {
		compareLines(t, "reduce", d.Want, out.text(t))
		m.check("reduce", d.WantCounters, d.WantOutputs)
	}
}

// MapReduceDriver tests a whole function.
type MapReduceDriver struct {
	Function functions.Function
	Params   functions.Params
	Files    map[string]string // what functions.File finds: texts by name

	Input string // lines

	Want         string   // lines of the output: key, TAB, value; keys in the order of their bytes between map and reduce
	WantCounters Counters // compared if not nil
	WantOutputs  Outputs  // likewise
	WantError    string   // a part of the error; if not empty, Want is not looked at
}

// Run runs mapper, combiner and reducer as a job does and reports what is not as it should be. The output must be the
// same whether the combiner runs never, on the values of each line, or on all values and once more on the result.
func (d MapReduceDriver) Run(t testing.TB) {
	t.Helper()
	raw := d.Function.Raw()
	if raw.Mapper == nil {
		t.Fatal("the function has nothing that maps")
	}
	for _, how := range []struct {
		name    string
		combine []combining
	}{
		{"without combining", nil},
		{"combining the values of each line", []combining{byLine}},
		{"combining all values, twice", []combining{byKey, byKey}},
	} {
		if how.combine != nil && raw.Combiner == nil {
			continue
		}
		m := newMachine(t, raw, d.Params, d.Files)
		text, err := m.job(lines(d.Input), how.combine)
		if m.checkError(how.name, err, d.WantError) {
			compareLines(t, how.name, d.Want, text)
			m.check(how.name, d.WantCounters, d.WantOutputs)
		}
	}
}

// checkError reports whether the outcome of a run is worth looking at.
func (m *machine) checkError(how string, err error, want string) bool {
	m.t.Helper()
	switch {
	case want == "" && err == nil:
		return true
	case want == "":
		m.t.Errorf("%s: %v", how, err)
	case err == nil:
		m.t.Errorf("%s: no error, want one that says %q", how, want)
	case !strings.Contains(err.Error(), want):
		m.t.Errorf("%s: error %q does not say %q", how, err, want)
	}
	return false
}

// check compares what a function did beside its records.
func (m *machine) check(how string, counters Counters, outputs Outputs) {
	m.t.Helper()
	if diff := cmp.Diff(counters, m.counters); counters != nil && diff != "" {
		m.t.Errorf("%s, counters (-want +got):\n%s", how, diff)
	}
	if diff := cmp.Diff(map[string]string(outputs), m.outputs); outputs != nil && diff != "" {
		m.t.Errorf("%s, named outputs (-want +got):\n%s", how, diff)
	}
}

func compareLines(t testing.TB, how, want, got string) {
	t.Helper()
	if diff := cmp.Diff(strings.SplitAfter(want, "\n"), strings.SplitAfter(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", how, diff)
	}
}
