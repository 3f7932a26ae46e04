package mapreduce

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
)

// programs is a job whose functions are programs; an empty one is left out.
func programs(mapper, combiner, reducer string) Options {
	return Options{
		Mapper: functions.Ref{Exec: mapper}, Combiner: functions.Ref{Exec: combiner}, Reducer: functions.Ref{Exec: reducer},
	}
}

const (
	wordsProgram = `tr -s ' ' '\n' | awk 'NF {print $1 "\t1"}'`
	sumProgram   = `awk -F'\t' '
		$1 != k {if (NR > 1) print k "\t" n; k = $1; n = 0}
		{n += $2}
		END {if (NR) print k "\t" n}'`
)

// TestStreamingWordCount counts words with every mixture of programs and built-ins.
func TestStreamingWordCount(t *testing.T) {
	texts := map[string]string{
		"a.txt": "to be or not to be\nthat is\n", "b.txt": strings.Repeat("the question is be\n", 3000),
	}
	in := fill(t, texts)
	want := wordCounts(texts["a.txt"], texts["b.txt"])
	sum := functions.Ref{Builtin: "sum"}
	for name, o := range map[string]Options{
		"programs":         programs(wordsProgram, sumProgram, sumProgram),
		"no combiner":      programs(wordsProgram, "", sumProgram),
		"built-in mapper":  {Mapper: functions.Ref{Builtin: "wordcount"}, Reducer: functions.Ref{Exec: sumProgram}},
		"built-in reducer": {Mapper: functions.Ref{Exec: wordsProgram}, Combiner: sum, Reducer: sum},
		"built-in combiner": {
			Mapper: functions.Ref{Exec: wordsProgram}, Combiner: sum, Reducer: functions.Ref{Exec: sumProgram},
		},
		"program combines": {
			Mapper: functions.Ref{Builtin: "wordcount"}, Combiner: functions.Ref{Exec: sumProgram}, Reducer: sum,
		},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			parts := newCluster(t, BodyOptions{}).mustRun(newJob(t, o, out, in))
			if diff := cmp.Diff(want, merged(t, parts)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestStreamingMapOnly passes lines through a program: what comes out is what went in.
func TestStreamingMapOnly(t *testing.T) {
	text := strings.Repeat("a\tb c\n\nno tab\n", 50_000)
	in := fill(t, map[string]string{"a": text})
	out := filepath.Join(t.TempDir(), "out")
	c := newCluster(t, BodyOptions{})
	parts := c.mustRun(newJob(t, programs("cat", "", ""), out, in))
	if got := strings.Join(parts, ""); got != text {
		t.Errorf("%d bytes of %d came through, or others", len(got), len(text))
	}
	if n := c.counters[taskCounters]["MAP_OUTPUT_RECORDS"]; n != 150_000 {
		t.Error(n, "records out of maps")
	}
}

// TestStreamingSurroundings looks at what a program finds: the package's files, where it is, the job's parameters.
func TestStreamingSurroundings(t *testing.T) {
	in := fill(t, map[string]string{"a": "x\n", "b": "y\n"})
	folder := fill(t, map[string]string{
		"map.sh": `while read line; do
			file=$(basename $mapreduce_map_input_file)
			echo "$line $mapreduce_task_attempt_id $mapreduce_task_ismap $my_set $file $(cat data/list)"
			echo reporter:counter:Mine,lines,1 >&2
			echo "log of $line" >&2
		done`,
		"data/list": "found",
	})
	out := filepath.Join(t.TempDir(), "out")
	o := programs("sh map.sh", "", "")
	o.Set = functions.Params{"my.set": "is this"}
	job := newJob(t, o, out, in)
	job.Package = folder
	c := newCluster(t, BodyOptions{})
	got := strings.Join(c.mustRun(job), "")
	want := "x attempt_aaaa-test_m_000000_0 true is this a found\ny attempt_aaaa-test_m_000000_0 true is this b found\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if n := c.counters["Mine"]["lines"]; n != 2 {
		t.Error("counter is", n)
	}
	if !slices.Contains(c.log.lines, "log of y") {
		t.Error("log:", c.log.lines)
	}
}

// TestStreamingFailure tells how a program ended, where, and what it said last.
func TestStreamingFailure(t *testing.T) {
	in := fill(t, map[string]string{"a": "x\n"})
	for o, side := range map[string]Options{
		"mapper":  programs("cat >&2; echo 'KeyError: user_id' >&2; exit 3", "", "cat"),
		"reducer": programs("cat", "", "echo 'KeyError: user_id' >&2; exit 3"),
	} {
		_, err := newCluster(t, BodyOptions{}).run(newJob(t, side, filepath.Join(t.TempDir(), "out"), in))
		if errs.KindOf(err) != errs.Failed {
			t.Errorf("%s: %v is of kind %v", o, err, errs.KindOf(err))
			continue
		}
		wants := []string{"exited with status 3", "KeyError: user_id"}
		if o == "mapper" { // nobody knows which record it was at
			wants = append(wants, "/a, record at or before byte 0 (split 0 to 2): ")
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not say %q", o, err, want)
			}
		}
	}
	job := newJob(t, programs("cat", "", ""), filepath.Join(t.TempDir(), "out"), in)
	job.Package = "/no/such/folder"
	if err := Check(t.Context(), job, machine(t)); errs.KindOf(err) != errs.NotFound {
		t.Error("a package that is not there:", err)
	}
}
