package builtin_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/builtin"
	"github.com/seed3322913c/runner/functions/functionstest"
	"github.com/seed3322913c/runner/infra/errs"
)

// job makes a function of a named job, as an engine puts it together.
func job(t testing.TB, name string, params functions.Params) functions.Function {
	t.Helper()
	j, ok := builtin.Job(name)
	if !ok {
		t.Fatalf("there is no job %q", name)
	}
	raw := functions.Raw{
		Mapper:  func() functions.Mapper { return made(t)(builtin.Mapper(j.Mapper.Builtin, params)) },
		Reducer: func() functions.Reducer { return madeReducer(t)(builtin.Reducer(j.Reducer.Builtin, params)) },
	}
	if !j.Combiner.IsZero() {
		raw.Combiner = func() functions.Reducer { return madeReducer(t)(builtin.Combiner(j.Combiner.Builtin, params)) }
	}
	return raw
}

func made(t testing.TB) func(functions.Mapper, error) functions.Mapper {
	return func(m functions.Mapper, err error) functions.Mapper {
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
}

func madeReducer(t testing.TB) func(functions.Reducer, error) functions.Reducer {
	return func(r functions.Reducer, err error) functions.Reducer {
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

func TestJobs(t *testing.T) {
	const numbers = "b\t1\na\t-5\nb\t 7 \na\t2\r\nb\t1\n"
	const floats = "b\t0.5\na\t-1e3\nb\t2\n"
	for _, c := range []struct {
		name   string
		params functions.Params
		in     string
		want   string
	}{
		{"wordcount", nil, "to be or\nnot to be", "be\t2\nnot\t1\nor\t1\nto\t2\n"},
		{"wordcount", nil, "", ""},
		{"wordcount", nil, "\xff\xfe a\x00b\n\xff\xfe\n", "a\x00b\t1\n\xff\xfe\t2\n"},
		{"sort", nil, "b\na\r\n\nb\nB", "\nB\na\nb\nb\n"},
		{"wordmean", nil, "a bb\nccc é\n", "count\t4\nlength\t7\nmean\t1.75\n"},
		{"wordmean", nil, " \n", ""},
		{"grep", functions.Params{"pattern": "needle"}, "a needle in needles\nno\nneedle\nneedl\ne", "needle\t3\n"},
		{"grep", functions.Params{"pattern": "ne+dle"}, "needle\r\nnedle needle\n", "nedle\t1\nneedle\t2\n"},
		{"grep", functions.Params{"pattern": "^a|b$"}, "ab\r\nba\na b", "a\t2\nb\t2\n"},
		{"grep", functions.Params{"pattern": "user=(\\w+)", "group": "1"}, "user=ann user=bob\nuser=ann\nuser=",
			"ann\t2\nbob\t1\n"},
		{"grep", functions.Params{"pattern": "x(a)?(b)?", "group": "1"}, "xb\nxa\n", "a\t1\n"},
		{"grep", functions.Params{"pattern": "a*"}, "baac\n\n", "aa\t1\n"},
		{"grep", functions.Params{"pattern": "a\\s*b"}, "a\nb\na b\n", "a b\t1\n"},
		{"aggregate", nil, numbers, "a\t-3\nb\t9\n"},
		{"aggregate", functions.Params{"op": "min"}, numbers, "a\t-5\nb\t1\n"},
		{"aggregate", functions.Params{"op": "max"}, numbers, "a\t2\nb\t7\n"},
		{"aggregate", functions.Params{"op": "count"}, numbers, "a\t2\nb\t3\n"},
		{"aggregate", functions.Params{"op": "mean"}, numbers, "a\t-1.5\nb\t3\n"},
		{"aggregate", functions.Params{"type": "float"}, floats, "a\t-1000\nb\t2.5\n"},
		{"aggregate", functions.Params{"type": "float", "op": "min"}, floats, "a\t-1000\nb\t0.5\n"},
		{"aggregate", functions.Params{"type": "float", "op": "max"}, floats, "a\t-1000\nb\t2\n"},
		{"aggregate", functions.Params{"type": "float", "op": "mean"}, floats, "a\t-1000\nb\t1.25\n"},
		{"aggregate", functions.Params{"type": "float", "op": "count"}, floats, "a\t1\nb\t2\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			functionstest.MapReduceDriver{Function: job(t, c.name, c.params), Input: c.in, Want: c.want}.Run(t)
		})
	}
}

func TestGrepAgreesOnLinesAndBatches(t *testing.T) {
	const needle = "needle"
	for pattern, match := range map[string]string{needle: needle, "n.*e": needle, "(?i)NEEDLE": needle, "ne+": "nee"} {
		functionstest.MapDriver[string, int64]{
			Function: job(t, "grep", functions.Params{"pattern": pattern}),
			Input:    "first\nneedle\n\n\nlast needle",
			Want:     match + "\t1\n" + match + "\t1\n",
		}.Run(t)
	}
}

func TestIdentityAndCount(t *testing.T) {
	raw := functions.Raw{
		Mapper:  func() functions.Mapper { return made(t)(builtin.Mapper("identity", nil)) },
		Reducer: func() functions.Reducer { return madeReducer(t)(builtin.Reducer("identity", nil)) },
	}
	functionstest.MapReduceDriver{Function: raw, Input: "b\na\n", Want: "\tb\n\ta\n"}.Run(t)
	functionstest.MapReduceDriver{Function: functions.Raw{Mapper: raw.Mapper}, Input: "b\na\n", Want: "b\na\n"}.Run(t)
	raw.Reducer = func() functions.Reducer { return madeReducer(t)(builtin.Reducer("count", nil)) }
	functionstest.ReduceDriver[string, string]{
		Function: raw, Input: []functionstest.Group[string, string]{{Key: "a", Values: []string{"x", ""}}}, Want: "a\t2\n",
	}.Run(t)
}

func TestBadLinesFailAnAggregation(t *testing.T) {
	for _, c := range []struct {
		params functions.Params
		line   string
		want   string
	}{
		{nil, "no tab", `a line without a TAB: "no tab"`},
		{nil, "a\t1.5", `"1.5" is not an integer of 64 bits; for other numbers set type=float`},
		{nil, "a\t9223372036854775808", "is not an integer of 64 bits"},
		{functions.Params{"type": "float"}, "a\tx", `"x" is not a number`},
	} {
		m := made(t)(builtin.Mapper("aggregate", c.params))
		err := m.Map(functions.Record{Value: []byte(c.line)}, nil)
		if !errors.Is(err, errs.Failed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.line, err, c.want)
		}
	}
}

func TestJobsOfIntegersTakeTheFastPath(t *testing.T) {
	for _, c := range []struct {
		name, op string
		want     functions.FoldKind
	}{
		{"sum", "", functions.FoldSum}, {"min", "", functions.FoldMin}, {"max", "", functions.FoldMax},
		{"aggregate", "sum", functions.FoldSum}, {"aggregate", "max", functions.FoldMax},
		{"aggregate", "count", functions.FoldSum},
	} {
		params := functions.Params{}
		if c.op != "" {
			params["op"] = c.op
		}
		for role, r := range map[string]functions.Reducer{
			"combiner": madeReducer(t)(builtin.Combiner(c.name, params)),
			"reducer":  madeReducer(t)(builtin.Reducer(c.name, params)),
		} {
			if f, ok := r.(functions.Int64FoldKind); !ok || f.Int64Fold() != c.want {
				t.Errorf("%s %s as %s is not recognised", c.name, c.op, role)
			}
		}
	}
}
