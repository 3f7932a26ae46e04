package mapreduce

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/format"
	"github.com/seed3322913c/runner/mapreduce/split"
)

// TestInputsOfTheirOwn joins two folders of different formats, each by a mapper of its own, in one job of several
// reducers.
func TestInputsOfTheirOwn(t *testing.T) {
	dir := fill(t, map[string]string{
		"users/a.csv": "1,Ann\n2,Bob\n", "visits/a": "1 home\n2 cart\n", "visits/b": "1 cart\n", "none/a": "",
	})
	o := programs("", "", `awk -F'\t' '{split($3, v, " ")} v[1]=="U"{name=v[2]} v[1]=="V"{print name "\t" v[2]}'`)
	o.Reducers = ExactReducers(3)
	o.Key = functions.KeyOrder{Group: 1}
	o.Set = functions.Params{"stream.num.map.output.key.fields": "2"}
	uri := func(name string) []string { return []string{"file://" + dir + "/" + name} }
	o.Inputs = []Input{
		{Input: uri("none"), Mapper: functions.Ref{Exec: "cat"}},
		{Input: uri("users"), Mapper: functions.Ref{Exec: `awk -F'\t' '{print $1 "\tU\tU " $2}'`}, Format: format.CSV},
		{Input: uri("visits"), Mapper: functions.Ref{Exec: `awk '{print $1 "\tV\tV " $2}'`}},
	}
	c := newCluster(t, BodyOptions{})
	got := merged(t, c.mustRun(newJob(t, o, filepath.Join(t.TempDir(), "out"), dir+"/none", dir+"/users", dir+"/visits")))
	if diff := cmp.Diff(map[string]int{"Ann\thome": 1, "Ann\tcart": 1, "Bob\tcart": 1}, got); diff != "" {
		t.Error(diff)
	}
}

// TestInputsTotalOrder samples every input by its own mapper.
func TestInputsTotalOrder(t *testing.T) {
	var numbers, words strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&numbers, "n%04d\tx\n", i*7%2000)
		fmt.Fprintf(&words, "w%04d\n", i*3%2000)
	}
	dir := fill(t, map[string]string{"numbers": numbers.String(), "words": words.String()})
	o := programs("cat", "", "cat")
	o.Reducers, o.Partitioner = ExactReducers(4), TotalOrderPartitioner
	o.Inputs = []Input{
		{Input: []string{"file://" + dir + "/numbers"}, Format: format.KeyValue},
		{Input: []string{"file://" + dir + "/words"}},
	}
	parts := newCluster(t, BodyOptions{}).mustRun(
		newJob(t, o, filepath.Join(t.TempDir(), "out"), dir+"/numbers", dir+"/words"))
	all := strings.Join(parts, "")
	if len(parts) != 4 || strings.Count(all, "\n") != 4000 || len(merged(t, []string{all})) != 4000 {
		t.Errorf("%d parts, %d lines", len(parts), strings.Count(all, "\n"))
	}
	for i, p := range parts {
		if n := strings.Count(p, "\n"); n < 500 {
			t.Errorf("part %d has %d lines", i, n)
		}
	}
}

// TestInputSet gives each input parameters of its own beside the job's.
func TestInputSet(t *testing.T) {
	dir := fill(t, map[string]string{"a": "1\n2\n3\n", "b": "1\n2\n3\n"})
	o := programs(`echo $who $shared`, "", "")
	o.Format, o.Set = format.NLine, functions.Params{"shared": "s", "who": "nobody"}
	o.Inputs = []Input{
		{Input: []string{"file://" + dir + "/a"}, Set: functions.Params{"who": "a", format.LinesPerMap: "2"}},
		{Input: []string{"file://" + dir + "/b"}, Set: functions.Params{format.LinesPerMap: "3"}},
	}
	parts := newCluster(t, BodyOptions{}).mustRun(newJob(t, o, filepath.Join(t.TempDir(), "out"), dir+"/a", dir+"/b"))
	if diff := cmp.Diff([]string{"a s\n", "a s\n", "nobody s\n"}, parts); diff != "" {
		t.Error(diff)
	}
}

// TestGenerator runs a job without input.
func TestGenerator(t *testing.T) {
	o := programs(`awk '{for (i = 0; i < 3; i++) print "k" i "\t" $1}'`, "", "cat")
	o.Maps, o.Reducers = 4, ExactReducers(2)
	got := merged(t, newCluster(t, BodyOptions{}).mustRun(newJob(t, o, filepath.Join(t.TempDir(), "out"))))
	if len(got) != 12 || got["k2\t3"] != 1 {
		t.Error(got)
	}
	o = programs("false", "", "")
	o.Maps = 2
	_, err := newCluster(t, BodyOptions{}).run(newJob(t, o, filepath.Join(t.TempDir(), "out")))
	if errs.KindOf(err) != errs.Failed || !strings.Contains(err.Error(), "no input, map 0, record 1") {
		t.Error(err)
	}
}

// TestNothingToRead gives an empty output of as many parts as were asked for.
func TestNothingToRead(t *testing.T) {
	for reducers, want := range map[Reducers]int{ExactReducers(3): 3, {}: 1} {
		o := builtins("wordcount", "sum", "sum")
		o.Reducers = reducers
		parts := newCluster(t, BodyOptions{}).mustRun(newJob(t, o, filepath.Join(t.TempDir(), "out"), t.TempDir()))
		if len(parts) != want || strings.Join(parts, "") != "" {
			t.Errorf("%v: %q", reducers, parts)
		}
	}
	parts := newCluster(t, BodyOptions{}).mustRun(newJob(t, programs("cat", "", ""), filepath.Join(t.TempDir(), "out"),
		t.TempDir()))
	if len(parts) != 0 {
		t.Errorf("maps alone: %q", parts)
	}
}

func TestInputMistakes(t *testing.T) {
	dir := fill(t, map[string]string{"a": "x"})
	in := []string{"file://" + dir + "/a"}
	cat, count := functions.Ref{Exec: "cat"}, functions.Ref{Builtin: "wordcount"}
	for want, o := range map[string]Options{
		"has no mapper":          {Inputs: []Input{{Input: in}}},
		"the second has no":      {Inputs: []Input{{Input: in, Mapper: cat}, {Mapper: cat}}},
		"in one place":           {Inputs: []Input{{Input: append(in, in...), Mapper: cat}}},
		"no format \"xml\"":      {Inputs: []Input{{Input: in, Mapper: cat, Format: "xml"}}},
		"cannot share a reducer": {Inputs: []Input{{Input: in, Mapper: cat}, {Input: in, Mapper: count}}, Reducer: cat},
		"without input":          {Mapper: cat, Maps: 1},
	} {
		inputs := []string{dir + "/a"}
		if len(o.Inputs) > 1 && len(o.Inputs[1].Input) > 0 {
			inputs = append(inputs, inputs...)
		}
		err := Check(t.Context(), newJob(t, o, filepath.Join(t.TempDir(), "out"), inputs...), machine(t))
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	job := newJob(t, Options{Mapper: cat}, filepath.Join(t.TempDir(), "out"))
	if err := Check(t.Context(), job, machine(t)); errs.KindOf(err) != errs.Invalid {
		t.Error("neither input nor maps:", err)
	}
}

func TestWayOf(t *testing.T) {
	for index, want := range []int{1, 1, 4, 4} {
		if got := wayOf([]int{0, 2, 2, 2, 4}, index); got != want {
			t.Errorf("map %d reads in way %d, want %d", index, got, want)
		}
	}
}

// TestLineMapsOfCompressedFiles counts them, too.
func TestLineMapsOfCompressedFiles(t *testing.T) {
	r := reading{opts: Options{Format: format.NLine}}
	for range maxLineMaps + 1 {
		r.files = append(r.files, split.File{URI: "file:///a.gz", Size: 10})
	}
	e := newCluster(t, BodyOptions{}).engine(newJob(t, Options{}, "/out"))
	if _, err := e.split(t.Context(), r); errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
}
