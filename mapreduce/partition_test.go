package mapreduce

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
)

// lengths counts words, and gives those of one length to one reducer. Longer ones than there are reducers are an error.
func lengths() functions.Function {
	return functions.MapReduce[string, int64]{
		Name: "lengths",
		Map: func(line []byte, emit func(string, int64)) error {
			for _, w := range bytes.Fields(line) {
				emit(string(w), 1)
			}
			return nil
		},
		Combine:   functions.Sum[int64](),
		Partition: func(key string, _ int) int { return len(key) - 1 },
	}
}

// TestFunctionPartitioner lets functions and programs say which reducer gets a key, with and without a combiner.
func TestFunctionPartitioner(t *testing.T) {
	files := map[string]string{"a": "a bb ccc bb\n" + strings.Repeat("a bb\n", 500), "b": "ccc a\n"}
	want := []string{"a\t502\n", "bb\t502\n", "ccc\t2\n", ""}
	f, sum := functions.Ref{Go: "lengths"}, functions.Ref{Builtin: "sum"}
	awk := functions.Ref{Exec: `awk '{for (i = 1; i <= NF; i++) print length($i) - 1 "\t" $i "\t1"}'`}
	add := functions.Ref{Exec: `awk -F'\t' '{n[$1] += $2} END {for (k in n) print k "\t" n[k]}'`}
	for _, o := range []Options{
		{Mapper: f, Combiner: sum, Reducer: sum}, {Mapper: f, Combiner: f, Reducer: sum}, {Mapper: f, Reducer: sum},
		{Mapper: awk, Reducer: sum}, {Mapper: awk, Combiner: sum, Reducer: sum}, {Mapper: awk, Combiner: add, Reducer: add},
	} {
		if testing.Short() && o.Combiner.IsZero() { // each map starts a process
			continue
		}
		o.Partitioner, o.Reducers, o.SplitSize = FunctionPartitioner, ExactReducers(4), 1000
		job := brittleJob(t, o, files)
		if o.Mapper == awk {
			job.Package = ""
		}
		if diff := cmp.Diff(want, newCluster(t, BodyOptions{}).mustRun(job)); diff != "" {
			t.Errorf("%+v: %s", o, diff)
		}
	}
}

func TestFunctionPartitionerMistakes(t *testing.T) {
	files := map[string]string{"a": "a bb ccc\n"}
	sum := functions.Ref{Builtin: "sum"}
	for want, o := range map[string]Options{
		`gives "ccc" to reducer 2 of 2`: {Mapper: functions.Ref{Go: "lengths"}, Reducers: ExactReducers(2)},
		"words has no Partition":        {Mapper: functions.Ref{Go: "words"}, Reducers: ExactReducers(2)},
		"say reducers: N":               {Mapper: functions.Ref{Go: "lengths"}},
		"the built-in wordcount":        {Mapper: functions.Ref{Builtin: "wordcount"}, Reducers: ExactReducers(2)},
		"begin with the number":         {Mapper: functions.Ref{Exec: "cat"}, Reducers: ExactReducers(2)},
		"partition 5":                   {Mapper: functions.Ref{Exec: `sed 's/^/5\t/'`}, Reducers: ExactReducers(2)},
	} {
		o.Partitioner, o.Reducer = FunctionPartitioner, sum
		job := brittleJob(t, o, files)
		if o.Mapper.Exec != "" {
			job.Package = ""
		}
		_, err := newCluster(t, BodyOptions{}).run(job)
		if k := errs.KindOf(err); k != errs.Failed && k != errs.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		nothing(t, job)
	}
	o := Options{Mapper: functions.Ref{Go: "lengths"}, Partitioner: FunctionPartitioner}
	if err := o.Validate(); err != nil {
		t.Error("maps alone divide nothing:", err)
	}
}
