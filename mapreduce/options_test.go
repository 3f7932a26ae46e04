package mapreduce

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
)

func TestOptionsRoundTrip(t *testing.T) {
	sum := functions.Ref{Builtin: "sum"}
	for _, o := range []Options{
		{},
		{Mapper: functions.Ref{Builtin: "wordcount"}, Combiner: sum, Reducer: sum},
		{Mapper: functions.Ref{Exec: "python3 map.py"}, Reducers: ExactReducers(0), Set: functions.Params{"a": "b"}},
		{Mapper: sum, Reducer: sum, Reducers: ExactReducers(7), Partitioner: TotalOrderPartitioner, SplitSize: 1 << 20},
	} {
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var back Options
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if d := cmp.Diff(o, back, cmp.AllowUnexported(Reducers{})); d != "" {
			t.Errorf("%s: %s", b, d)
		}
	}
}

func TestReducers(t *testing.T) {
	for text, want := range map[string]Reducers{`"auto"`: {}, `0`: ExactReducers(0), `"12"`: ExactReducers(12)} {
		var r Reducers
		if err := json.Unmarshal([]byte(text), &r); err != nil || r != want {
			t.Errorf("%s: %v, %v; want %v", text, r, err, want)
		}
	}
	for _, text := range []string{`-1`, `1.5`, `"many"`, `100001`, `true`, `""`} {
		var r Reducers
		if err := json.Unmarshal([]byte(text), &r); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v, want an error of kind Invalid", text, err)
		}
	}
}

func TestOptionsValidate(t *testing.T) {
	m, r := functions.Ref{Builtin: "m"}, functions.Ref{Builtin: "r"}
	for _, c := range []struct {
		o    Options
		want string // part of the error, "" for none
	}{
		{Options{Mapper: m}, ""},
		{Options{Mapper: m, Reducer: r, Reducers: ExactReducers(MaxReducers)}, ""},
		{Options{Mapper: m, Reducer: r, Reducers: ExactReducers(0)}, ""},
		{Options{}, "no mapper"},
		{Options{Mapper: m, Reducer: r, Reducers: ExactReducers(-1)}, "from 0 to"},
		{Options{Mapper: m, Reducers: ExactReducers(2)}, "no reducer"},
		{Options{Mapper: m, Reducer: r, Partitioner: "modulo"}, `no partitioner "modulo"`},
		{Options{Mapper: m, SplitSize: -1}, "splitSize is -1"},
		{Options{Mapper: m, Shuffle: StoreShuffle, ShuffleCompress: "none", MaxFailedPercent: 100}, ""},
		{Options{Mapper: m, Shuffle: "air"}, `no shuffle "air"`},
		{Options{Mapper: m, ShuffleCompress: "gzip"}, `no shuffleCompress "gzip"`},
		{Options{Mapper: m, MaxFailedPercent: 101}, "maxFailedPercent is 101"},
		{Options{Mapper: functions.Ref{Builtin: "a", Exec: "b"}}, "named more than once"},
	} {
		err := c.o.Validate()
		if c.want == "" && err != nil {
			t.Errorf("%+v: %v", c.o, err)
		}
		if c.want != "" && (errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q of kind Invalid", c.o, err, c.want)
		}
	}
}
