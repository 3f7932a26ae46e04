package mapreduce

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/format"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/scheduler"
)

// brittle counts lines, and fails at some: "error" in them is an error, "panic" a panic, "exit" the end of its process.
// It reduces likewise. It counts what it sees in the group "seen".
func brittle() functions.Function {
	var env functions.Env
	fail := func(text []byte) error {
		switch {
		case bytes.Contains(text, []byte("error")):
			return fmt.Errorf("no: %s", text)
		case bytes.Contains(text, []byte("panic")):
			panic("no")
		case bytes.Contains(text, []byte("exit")):
			os.Exit(7)
		}
		return nil
	}
	return functions.MapReduce[string, int64]{
		Name:  "brittle",
		Setup: func(e functions.Env) error { env = e; return nil },
		Map: func(line []byte, emit func(string, int64)) error {
			if !bytes.HasPrefix(line, []byte("reduce")) {
				if err := fail(line); err != nil {
					return err
				}
			}
			env.Count("seen", "lines", 1)
			emit(string(line), 1)
			return nil
		},
		Reduce: functions.Reduce(func(key string, ones iter.Seq[int64], emit func(string, int64)) error {
			if err := fail([]byte(key)); err != nil {
				return err
			}
			var n int64
			for one := range ones {
				n += one
			}
			emit(key, n)
			return nil
		}),
	}
}

// badOf returns what was left out, by task and number, of an output that is proved.
func badOf(t *testing.T, c *cluster, job scheduler.Job) map[string]badLine {
	t.Helper()
	m, err := proof.Verify(t.Context(), c.resolve, job.Output)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]badLine{}
	for _, p := range m.Parts {
		if !strings.HasPrefix(p.Name, proof.Bad+"/") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(strings.TrimPrefix(job.Output, "file://"), p.Name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			var l badLine
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatal(err)
			}
			all[fmt.Sprint(l.Task, " ", l.Number)] = l
		}
	}
	if int64(len(all)) != m.Totals.BadRecords {
		t.Errorf("%d lines, %d bad records", len(all), m.Totals.BadRecords)
	}
	return all
}

type badLine struct {
	Task   string
	File   string
	Offset int64
	Number int64
	Error  string
	Key    string
	Value  any
	Values []any
}

func brittleJob(t *testing.T, o Options, files map[string]string) scheduler.Job {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if o.Mapper.IsZero() {
		o.Mapper = functions.Ref{Go: "brittle"}
	}
	job := newJob(t, o, filepath.Join(t.TempDir(), "out"), fill(t, files))
	job.Package = self
	return job
}

// TestSkipBad leaves out the records that a mapper fails at in every way, and the groups that a reducer fails at.
func TestSkipBad(t *testing.T) {
	var lines []string
	for i := range 9000 {
		lines = append(lines, fmt.Sprintf("line %d", i))
	}
	lines[17], lines[18], lines[5000], lines[8999] = "an error", "a panic", "an exit", "error \xff"
	lines[3], lines[4], lines[4000] = "reduce error", "reduce exit", "reduce panic"
	text := strings.Join(lines, "\n")
	o := Options{Reducer: functions.Ref{Go: "brittle"}, Reducers: ExactReducers(1), SkipBad: 7}
	job := brittleJob(t, o, map[string]string{"a": text})
	c := newCluster(t, BodyOptions{})
	c.mustRun(job)
	got := merged(t, []string{outputs(t, c, job.Output)["part"]})
	if len(got) != 9000-7 || got["line 16\t1"] != 1 {
		t.Errorf("%d lines", len(got))
	}
	if c.counters.Get("seen", "lines") != 9000-4 || c.counters.Get(taskCounters, "MAP_SKIPPED_RECORDS") != 4 ||
		c.counters.Get(taskCounters, "REDUCE_SKIPPED_GROUPS") != 3 ||
		c.counters.Get(taskCounters, "MAP_INPUT_RECORDS") != 9000 {
		t.Errorf("%v", c.counters)
	}
	bad := badOf(t, c, job)
	for name, want := range map[string]string{
		"map-0 18": "no: an error", "map-0 19": "panic: no (bad_test.go:", "map-0 5001": "exited with status 7",
		"map-0 9000":    "no: error",
		"reduce-0 8994": "no: reduce error", "reduce-0 8995": "exited with status 7",
		"reduce-0 8996": `key "reduce panic": panic: no (bad_test.go:`,
	} {
		l, ok := bad[name]
		if !ok || !strings.Contains(l.Error, want) {
			t.Errorf("%s: %+v", name, l)
		}
		if strings.HasPrefix(name, "map") && (!strings.HasSuffix(l.File, "/a") ||
			!strings.HasPrefix(text[l.Offset:], lines[l.Number-1])) {
			t.Errorf("%s is not at byte %d of %s", name, l.Offset, l.File)
		}
	}
	if len(bad) != 7 {
		t.Errorf("%v", bad)
	}
	if v := bad["map-0 9000"].Value; !cmp.Equal(v, map[string]any{"base64": "ZXJyb3Ig/w=="}) {
		t.Errorf("%v", v)
	}
	if l := bad["reduce-0 8994"]; l.Key != "reduce error" || len(l.Values) != 1 {
		t.Errorf("%+v", l)
	}
}

// TestSkipBadCap fails a job whose attempts leave out too much, alone or together.
func TestSkipBadCap(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		o     Options
		want  string
	}{
		"one map": {map[string]string{"a": "error 1\nerror 2\nx\n"}, Options{SkipBad: 1},
			"a, record at byte 8 (split 0 to 18): "},
		"all maps": {
			map[string]string{"a": "error\n", "b": "error\n"}, Options{SkipBad: 1, SplitSize: 1}, "failed at 2 records",
		},
		"all maps, with reducers": {
			map[string]string{"a": "error\n", "b": "error\n"},
			Options{SkipBad: 1, SplitSize: 1, Reducer: functions.Ref{Go: "brittle"}}, "failed at 2 records",
		},
		"not allowed": {map[string]string{"a": "error\n"}, Options{}, "a, record at byte 0 (split 0 to 6): "},
	} {
		if testing.Short() && c.o.Reducer.IsZero() {
			continue
		}
		job := brittleJob(t, c.o, c.files)
		_, err := newCluster(t, BodyOptions{}).run(job)
		if errs.KindOf(err) != errs.Failed || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		nothing(t, job)
	}
}

// TestSkipBadFormats leaves out records that are no lines, and lines that are no records.
func TestSkipBadFormats(t *testing.T) {
	for f, c := range map[format.Format]struct{ in, want, bad string }{
		format.JSONLines:   {"1\n\n\n\"error\"\n{\n2\n", "1\t1\n2\t1\n", "map-0 4 map-0 5"},
		format.KeyValue:    {"a\tb\nc\terror\nd\te\n", "b\t1\ne\t1\n", "map-0 2"},
		format.CSV:         {"a,b\nc,error\nd,e\n", "a\tb\t1\nd\te\t1\n", "map-0 2"},
		format.FixedLength: {"abcdeerrorfghij", "abcde\t1\nfghij\t1\n", "map-0 2"},
	} {
		if testing.Short() && f != format.JSONLines { // each try starts a process
			continue
		}
		o := Options{Format: f, SkipBad: 5}
		if f == format.FixedLength {
			o.Set = functions.Params{format.RecordLength: "5"}
		}
		job := brittleJob(t, o, map[string]string{"a": c.in})
		cl := newCluster(t, BodyOptions{})
		got := cl.mustRun(job)[0]
		bad := badOf(t, cl, job)
		var names []string
		for name := range bad {
			names = append(names, name)
		}
		slices.Sort(names)
		if got != c.want || strings.Join(names, " ") != c.bad {
			t.Errorf("%s: %q, left out %v", f, got, names)
		}
	}
}

// TestSkipBadPrograms finds the line that a program ends at. What counts is a run over all other lines at once.
func TestSkipBadPrograms(t *testing.T) {
	var in strings.Builder
	for i := range 10_000 {
		if i == 6543 {
			fmt.Fprintln(&in, "bad")
		}
		fmt.Fprintln(&in, i)
	}
	o := Options{Mapper: functions.Ref{Exec: `awk '/bad/ {exit 3} {n++} END {print n}'`}, SkipBad: 1}
	job := brittleJob(t, o, map[string]string{"a": in.String()})
	job.Package = ""
	c := newCluster(t, BodyOptions{})
	// An awk that exits runs its END, too, but its status fails it.
	if got := c.mustRun(job)[0]; got != "10000\n" {
		t.Errorf("%q", got)
	}
	if bad := badOf(t, c, job); bad["map-0 6544"].Value != "bad" || len(bad) != 1 {
		t.Errorf("%v", bad)
	}
}

// TestSkipBadBlamesNobodyElse fails as before where no record is to blame, and says why nothing was left out.
func TestSkipBadBlamesNobodyElse(t *testing.T) {
	cat := functions.Ref{Exec: "cat"}
	for name, c := range map[string]struct {
		o    Options
		file string
		kind errs.Kind
		want string
	}{
		"at the end": {Options{Mapper: functions.Ref{Exec: "cat; exit 3"}}, "a", errs.Failed, "status 3"},
		"combiner": {
			Options{Mapper: cat, Combiner: functions.Ref{Exec: "exit 3"}, Reducer: cat}, "a", errs.Failed,
			"not what a combiner does",
		},
		"damage": {Options{Mapper: cat}, "a.gz", errs.Corrupt, "not what cannot be read"},
	} {
		c.o.SkipBad = 100
		job := brittleJob(t, c.o, map[string]string{c.file: "a\nb\nc\n"})
		job.Package = ""
		_, err := newCluster(t, BodyOptions{}).run(job)
		if errs.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		nothing(t, job)
	}
}

// TestNarrowing finds all bad numbers of a function that tells where it fails, or not, whatever they are.
func TestNarrowing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(1, 20_000).Draw(t, "total")
		bad := rapid.SliceOfNDistinct(rapid.Int64Range(0, total-1), 0, 5, rapid.ID).Draw(t, "bad")
		tells := rapid.Bool().Draw(t, "tells")
		most := rapid.IntRange(1, 5).Draw(t, "most")
		n := &narrowing{most: most, why: map[int64]string{}, last: -1}
		worked := false
		for range 6 * (most + 1) {
			n.blame = nil
			err := tryNarrowed(n, total, bad, tells)
			if worked = err == nil && !n.careful(); worked || !n.learn(err) {
				break
			}
		}
		slices.Sort(bad)
		if worked != (len(bad) <= most) || worked && !slices.Equal(n.skip, bad) {
			t.Fatalf("worked: %v, left out %v of %v", worked, n.skip, bad)
		}
	})
}

// tryNarrowed is a try of a function in the background, which fails at bad numbers when it is waited for.
func tryNarrowed(n *narrowing, total int64, bad []int64, tells bool) error {
	failed := errs.Errorf("", errs.Failed, nil, "bad")
	var pending []int64 // bad ones that were handed over
	sure := int64(0)
	for at := int64(0); at < total; {
		k := n.next(at)
		if k == 0 {
			at++
			continue
		}
		if k == math.MaxInt64 {
			k = total - at
		}
		for _, b := range bad {
			if b >= at && b < at+k {
				pending = append(pending, b)
			}
		}
		if at = min(at+k, total); at < total && !n.waits(at) {
			continue
		}
		if len(pending) > 0 {
			if first := slices.Min(pending); tells {
				n.suspect(first, first+1, failed)
			} else {
				n.suspect(sure, at, failed)
			}
			return failed
		}
		sure = at
	}
	return nil
}
