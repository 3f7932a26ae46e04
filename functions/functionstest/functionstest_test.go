package functionstest_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/functionstest"
)

// recorder is a testing.TB that remembers what is reported instead of failing.
type recorder struct {
	testing.TB
	said []string
}

func (r *recorder) Helper()             {}
func (r *recorder) Logf(string, ...any) {}
func (r *recorder) Error(args ...any)   { r.said = append(r.said, fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// reports returns what a driver reports.
func reports(t *testing.T, run func(testing.TB)) string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(r)
	}()
	<-done
	return strings.Join(r.said, "\n")
}

func wordCount(fold functions.Fold[int64]) functions.Function {
	var env functions.Env
	return functions.MapReduce[string, int64]{
		Params: []functions.Param{{Name: "skip", Doc: "a word to skip"}},
		Setup:  func(e functions.Env) error { env = e; return nil },
		Map: func(line []byte, emit func(string, int64)) error {
			skip, _ := env.Param("skip")
			for _, w := range bytes.Fields(line) {
				switch string(w) {
				case skip:
					env.Count("words", "skipped", 1)
				case "error":
					return errors.New("bad word")
				case "panic":
					panic("worse word")
				default:
					emit(string(w), 1)
				}
			}
			return nil
		},
		Combine: fold,
	}
}

func TestMapDriver(t *testing.T) {
	d := functionstest.MapDriver[string, int64]{
		Function:     wordCount(functions.Sum[int64]()),
		Params:       functions.Params{"skip": "the"},
		Input:        "a the b\r\n\na",
		Want:         "a\t1\nb\t1\na\t1\n",
		WantCounters: functionstest.Counters{"words": {"skipped": 1}},
	}
	d.Run(t)
	bad := functionstest.MapDriver[string, int64]{Function: d.Function, Input: "error", WantError: "bad word"}
	bad.Run(t)
	bad.Input, bad.WantError = "a\npanic", "functionstest_test.go:"
	bad.Run(t)

	d.Want = "a\t1\n"
	d.WantCounters = functionstest.Counters{}
	said := reports(t, func(t testing.TB) { d.Run(t) })
	for _, want := range []string{"map by line (-want +got)", "map by batch (-want +got)", "map by line, counters"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not report %q:\n%s", want, said)
		}
	}
}

func TestMapDriverRaw(t *testing.T) {
	f := functions.Raw{Mapper: func() functions.Mapper { return mapper(keep) }}
	functionstest.MapDriver[string, string]{
		Function: f,
		Records:  []functions.Record{{Key: []byte("k"), Value: []byte("v")}, {Value: []byte("w")}},
		Want:     "k\tv\n\tw\n",
	}.Run(t)
}

type mapper func(in functions.Record, out functions.Emitter) error

func (f mapper) Map(in functions.Record, out functions.Emitter) error { return f(in, out) }

func keep(in functions.Record, out functions.Emitter) error { return out.Emit(in.Key, in.Value) }

func TestRawThatLiesAboutItsValuesIsNoticed(t *testing.T) {
	f := functions.Raw{Mapper: func() functions.Mapper {
		return mapper(func(in functions.Record, out functions.Emitter) error { return functions.EmitInt64(out, in.Value, 1) })
	}}
	said := reports(t, func(t testing.TB) { functionstest.MapDriver[string, int64]{Function: f, Input: "a"}.Run(t) })
	if !strings.Contains(said, "ValueKind is bytes") {
		t.Errorf("it reports %q", said)
	}
}

// spread reduces to the difference between the greatest and the smallest value, which cannot be combined.
func spread(combine functions.Fold[int]) functions.Function {
	return functions.MapReduce[string, int]{
		Map: func(line []byte, emit func(string, int)) error {
			emit(string(line[:1]), len(line))
			return nil
		},
		Combine: combine,
		Reduce: functions.Reduce(func(key string, values iter.Seq[int], emit func(string, int)) error {
			all := slices.Collect(values)
			emit(key, slices.Max(all)-slices.Min(all))
			return nil
		}),
	}
}

func TestReduceDriver(t *testing.T) {
	d := functionstest.ReduceDriver[string, int]{
		Function: spread(functions.Fold[int]{}),
		Input:    []functionstest.Group[string, int]{{Key: "a", Values: []int{3, 1, 9}}, {Key: "b", Values: []int{5}}},
		Want:     "a\t8\nb\t0\n",
	}
	d.Run(t)
	d.Want = "a\t8\n"
	if said := reports(t, func(t testing.TB) { d.Run(t) }); !strings.Contains(said, "b\\t0") {
		t.Errorf("it reports %q", said)
	}
}

func TestMapReduceDriver(t *testing.T) {
	functionstest.MapReduceDriver{
		Function:     wordCount(functions.Sum[int64]()),
		Params:       functions.Params{"skip": "the"},
		Input:        "to be or\nnot to be\nthe end\n",
		Want:         "be\t2\nend\t1\nnot\t1\nor\t1\nto\t2\n",
		WantCounters: functionstest.Counters{"words": {"skipped": 1}},
	}.Run(t)
	mapOnly := wordCount(functions.Fold[int64]{})
	functionstest.MapReduceDriver{Function: mapOnly, Input: "b\na\n", Want: "b\t1\na\t1\n"}.Run(t)
	functionstest.MapReduceDriver{Function: mapOnly, Input: "a\nerror\n", WantError: "bad word"}.Run(t)
}

func TestCombinerThatChangesTheResultIsNoticed(t *testing.T) {
	d := functionstest.MapReduceDriver{Function: spread(functions.Sum[int]()), Input: "aaa\na\naa\n", Want: "a\t2\n"}
	said := reports(t, func(t testing.TB) { d.Run(t) })
	if !strings.Contains(said, "combining all values, twice (-want +got)") || strings.Contains(said, "without combining") {
		t.Errorf("it reports %q", said)
	}
}

func TestCheckCombiner(t *testing.T) {
	functionstest.CheckCombiner(t, wordCount(functions.Sum[int64]()), 1, -2, 30)
	functionstest.CheckCombiner(t, floats(functions.Sum[float64]()), 0.1, 0.2, 1e9)
	for _, c := range []struct {
		fold functions.Fold[int64]
		want string
	}{
		{functions.FoldFunc(func(a, b int64) int64 { return a - b }),
			"not commutative: of 1 and 2 it makes -1, of 2 and 1 1"},
		{functions.FoldFunc(func(a, b int64) int64 { return (a + b) / 2 }), "not associative on 1, 1, 4"},
	} {
		said := reports(t, func(t testing.TB) { functionstest.CheckCombiner[int64](t, wordCount(c.fold), 1, 2, 4) })
		if !strings.Contains(said, c.want) {
			t.Errorf("it does not report %q:\n%s", c.want, said)
		}
	}
}

func floats(fold functions.Fold[float64]) functions.Function {
	return functions.MapReduce[string, float64]{
		Map:     func(line []byte, emit func(string, float64)) error { return nil },
		Combine: fold,
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	empty := functions.Raw{Mapper: func() functions.Mapper { return mapper(keep) }}
	for want, run := range map[string]func(t testing.TB){
		"nothing that maps":    func(t testing.TB) { functionstest.MapReduceDriver{Function: functions.Raw{}}.Run(t) },
		"nothing that reduces": func(t testing.TB) { functionstest.ReduceDriver[string, string]{Function: empty}.Run(t) },
		"has no combiner":      func(t testing.TB) { functionstest.CheckCombiner[string](t, empty) },
		`"x" is missing`: func(t testing.TB) {
			functionstest.MapReduceDriver{Function: functions.Raw{
				Params: []functions.Param{{Name: "x", Required: true}}, Mapper: empty.Mapper,
			}}.Run(t)
		},
	} {
		if said := reports(t, run); !strings.Contains(said, want) {
			t.Errorf("it reports %q, want %q", said, want)
		}
	}
}

// TestNamedOutputs shows what goes beside the records.
func TestNamedOutputs(t *testing.T) {
	var bad func(string, int64) error
	f := functions.MapReduce[string, string]{
		Setup: func(env functions.Env) error { bad = functions.To[string, int64](env, "bad"); return nil },
		Map: func(line []byte, emit func(string, string)) error {
			if len(line) > 3 {
				return bad(string(line), int64(len(line)))
			}
			emit(string(line), "ok")
			return nil
		},
	}
	d := functionstest.MapDriver[string, string]{
		Function: f, Input: "a\ntoo long\n", Want: "a\tok\n", WantOutputs: functionstest.Outputs{"bad": "too long\t8\n"},
	}
	d.Run(t)
	d.WantOutputs = functionstest.Outputs{}
	if said := reports(t, func(t testing.TB) { d.Run(t) }); !strings.Contains(said, "named outputs") {
		t.Error(said)
	}
}
