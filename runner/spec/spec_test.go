package spec

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

const whole = `kind: mapreduce
name: Word Count
input: [books/*.txt, /abs/x, "s3://logs/2026-*"]
output: out/words
overwrite: true
mapreduce:
  mapper: {builtin: wordcount}
  combiner: {builtin: sum}
  reducer: {builtin: sum}
  reducers: 3
  partitioner: total-order
  set: {a: 1.10, b: "2", c: true, d: 0x10}
  splitSize: 64MiB
package: ./wc
resources: {executors: 4, cpu: 2, memory: 1.5GB}
queue: night
retry: {task: 2, job: 3, node: 5, timeout: 1h30m}
`

// parseOne reads a text that has one job.
func parseOne(t *testing.T, text string) Spec {
	t.Helper()
	all, err := Parse("job.yaml", []byte(text))
	if err != nil || len(all) != 1 {
		t.Fatalf("%d jobs, %v", len(all), err)
	}
	return all[0]
}

func TestParseAndJob(t *testing.T) {
	text := strings.Replace(whole, "Word Count", "Word_Count", 1)
	s := parseOne(t, text)
	job, err := s.Job("/work dir")
	if err != nil {
		t.Fatal(err)
	}
	var options mapreduce.Options
	if err := json.Unmarshal(job.Engine, &options); err != nil {
		t.Fatal(err)
	}
	wantOptions := mapreduce.Options{
		Mapper: functions.Ref{Builtin: "wordcount"}, Combiner: functions.Ref{Builtin: "sum"},
		Reducer: functions.Ref{Builtin: "sum"}, Reducers: mapreduce.ExactReducers(3),
		Partitioner: mapreduce.TotalOrderPartitioner,
		Set:         functions.Params{"a": "1.10", "b": "2", "c": "true", "d": "0x10"}, SplitSize: 64 << 20,
	}
	if diff := cmp.Diff(wantOptions, options, cmp.AllowUnexported(mapreduce.Reducers{})); diff != "" {
		t.Error(diff)
	}
	job.Engine = nil
	want := scheduler.Job{
		Kind: "mapreduce", Name: "word_count", Overwrite: true, Queue: "night", Package: "/work dir/wc",
		Input:  []string{"file:///work dir/books/*.txt", "file:///abs/x", "s3://logs/2026-*"},
		Output: "file:///work dir/out/words", Retry: scheduler.Retry{Task: 2, Job: 3, Node: 5, Timeout: 90 * time.Minute},
		Resources: scheduler.Resources{Executors: 4, CPU: 2, Memory: 1_500_000_000},
	}
	if diff := cmp.Diff(want, job); diff != "" {
		t.Error(diff)
	}
}

func TestDefaults(t *testing.T) {
	s := parseOne(t,
		"kind: mapreduce\ninput: a\noutput: b\nmapreduce: {mapper: {builtin: sort}}\nresources: {executors: auto}\n")
	job, err := s.Job("/d")
	if err != nil {
		t.Fatal(err)
	}
	if job.Name != "job" || job.Queue != "default" || job.Resources != (scheduler.Resources{CPU: 1, Memory: 1 << 30}) ||
		job.Retry != (scheduler.Retry{Task: 4, Job: 2, Timeout: 10 * time.Minute}) ||
		!slices.Equal(job.Input, []string{"file:///d/a"}) {
		t.Errorf("%+v", job)
	}
}

// TestProgramsFindTheirFiles: without a package programs come from where the job was submitted.
func TestProgramsFindTheirFiles(t *testing.T) {
	for text, want := range map[string]string{
		"mapper: {exec: cat}": "/d", "mapper: {builtin: sort}, reducer: {exec: cat}": "/d", "mapper: {builtin: sort}": "",
	} {
		s := parseOne(t, "kind: mapreduce\ninput: a\noutput: b\nmapreduce: {"+text+"}\n")
		if job, err := s.Job("/d"); err != nil || job.Package != want {
			t.Errorf("%s: package %q, %v; want %q", text, job.Package, err, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	const head = "kind: mapreduce\ninput: a\noutput: b\n"
	for _, c := range []struct{ text, want string }{
		{head + "mapreduce:\n  mapper: {builtin: x}\n  # more\n  reducer_count: 3\n",
			`job.yaml line 7: unknown key "reducer_count" in mapreduce; did you mean "reducers"?`},
		{head + "outptu: c\n", `job.yaml line 4: unknown key "outptu"; did you mean "output"?`},
		{head + "mapreduce: {mapper: {builtin: x}}\nretry: {x: 1}\n",
			`job.yaml line 5: unknown key "x" in retry; there is task, job, node, timeout`},
		{head + "retry:\n  timeout: 10\n",
			`job.yaml line 5: timeout is "10" in retry; want a time as in 90s, 10m or 1h30m, or never`},
		{head + "retry: {timeout: 0s}\n",
			`job.yaml line 4: timeout in retry: "0s" is not a timeout; write it as in 90s, 10m or 1h30m, or never`},
		{head + "mapreduce:\n  mapper:\n    builtin: x\n    go: y\n",
			"job.yaml line 5: mapper in mapreduce is not understood; want exactly one of builtin: NAME, " +
				"go: NAME (in the package) and exec: COMMAND LINE"},
		{head + "mapreduce: {mapper: x}\n",
			`job.yaml line 4: mapper is "x" in mapreduce; want exactly one of builtin: NAME, ` +
				"go: NAME (in the package) and exec: COMMAND LINE"},
		{head + "mapreduce: {}\n", `job.yaml line 4: "mapper" is missing in mapreduce; want exactly one of builtin: NAME, ` +
			"go: NAME (in the package) and exec: COMMAND LINE"},
		{head + "mapreduce: {mapper: {builtin: x}, reducers: many}\n",
			`job.yaml line 4: reducers is "many" in mapreduce; want auto, or a number from 0 to 100000`},
		{head + "mapreduce: {mapper: {builtin: x}, reducers: -1}\n",
			`job.yaml line 4: reducers is "-1" in mapreduce; want auto, or a number from 0 to 100000`},
		{head + "resources:\n  memory: lots\n",
			`job.yaml line 5: memory is "lots" in resources; want a size as in 256MiB, 1GiB or 1GB`},
		{head + "resources:\n  memory: 99999999999TB\n",
			`job.yaml line 5: memory in resources: "99999999999TB" is not a size; write it as in 256MiB, 1GiB or 1GB`},
		{"kind: mapreduce\ninput:\n  - a\n  - 3\n", `job.yaml line 4: 1 is "3" in input; want a path`},
		{"kind: task\ntask: {tasks: 3}\n", `job.yaml line 2: "command" is missing in task; want a command line`},
		{"kind: task\nmapreduce: {}\n", `job.yaml line 2: a job of kind task has no "mapreduce"`},
		{"kind: task\ntask: {command: x, timeout: soon}\n",
			`job.yaml line 2: timeout is "soon" in task; want a time as in 90s, 10m or 1h30m, or never`},
		{"# c\nkind: mapred\n", `job.yaml line 2: kind is "mapred"; want mapreduce, guagua or task`},
		{"input: a\n", `job.yaml: "kind" is missing; want mapreduce, guagua or task`},
		{head + "name: a\nname: b\n", `job.yaml line 5: mapping key "name" already defined at [4:1]`},
		{"kind: [mapreduce\noutput: b\n", "job.yaml line 2: ',' or ']' must be specified"},
		{"", `job.yaml is not a job; a job is a mapping that begins with "kind: mapreduce"`},
		{"- a\n", `job.yaml is not a job; a job is a mapping that begins with "kind: mapreduce"`},
		{"\x00", `job.yaml is not a job; a job is a mapping that begins with "kind: mapreduce"`},
	} {
		_, err := Parse("job.yaml", []byte(c.text))
		if err == nil {
			t.Errorf("%q was accepted", c.text)
			continue
		}
		if got := say.Sentence(err); got != c.want {
			t.Errorf("%q\n got %s\nwant %s", c.text, got, c.want)
		}
		if say.ExitCode(err) != say.ExitUsage {
			t.Errorf("%q: exit code %d", c.text, say.ExitCode(err))
		}
	}
}

// TestSchemaKnowsEveryOption fails when an engine's option, or a field of Spec, is missing in the schema, or the other
// way round.
func TestSchemaKnowsEveryOption(t *testing.T) {
	for path, fields := range map[string]reflect.Type{
		"": reflect.TypeFor[Spec](), "mapreduce": reflect.TypeFor[mapreduce.Options](),
		"guagua":    reflect.TypeFor[engine.Options](),
		"retry":     reflect.TypeFor[scheduler.Retry](),
		"resources": reflect.TypeFor[scheduler.Resources](), "mapreduce/mapper": reflect.TypeFor[functions.Ref](),
		"mapreduce/key": reflect.TypeFor[functions.KeyOrder](), "mapreduce/inputs/0": reflect.TypeFor[mapreduce.Input](),
		"mapreduce/outputs/x": reflect.TypeFor[mapreduce.NamedOutput](),
	} {
		var want []string
		for i := range fields.NumField() {
			name, _, _ := strings.Cut(fields.Field(i).Tag.Get("json"), ",")
			want = append(want, name)
		}
		var steps []string
		if path != "" {
			steps = strings.Split(path, "/")
		}
		r := schema.At(steps)
		if got := r.Keys(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: the schema has %q, the code %q", path, got, want)
		}
		for _, key := range r.Keys() {
			if at := schema.At(append(slices.Clone(steps), key)); at.Description == "" || at.Want == "" {
				t.Errorf("%s/%s has no description or does not say what it wants", path, key)
			}
		}
	}
}

func TestReference(t *testing.T) {
	if _, err := Parse("example.yaml", []byte(example+"---\n"+commands)); err != nil {
		t.Error(err)
	}
	text := Reference()
	for _, want := range []string{
		example, "| `input` | `--input` | |", "## mapreduce", "| `mapreduce.reducers` | `--reducers` | auto |",
		"## resources",
		"| `resources.memory` | `--memory` | 1GiB |", "`builtin`",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the reference lacks %q", want)
		}
	}
}

func TestFaultFlags(t *testing.T) {
	s := parseOne(t, strings.Replace(whole, "Word Count", "wc", 1))
	if err := (Flags{TaskTimeout: "never", MaxFailedPercent: 5, Speculative: "false"}).Apply(&s); err != nil {
		t.Fatal(err)
	}
	if s.Retry.Timeout != Never || s.MapReduce.MaxFailedPercent != 5 || *s.MapReduce.Speculative {
		t.Errorf("got %+v", s)
	}
	for _, f := range []Flags{{TaskTimeout: "soon"}, {Speculative: "perhaps"}} {
		if err := f.Apply(&s); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestFlags(t *testing.T) {
	s := parseOne(t, strings.Replace(whole, "Word Count", "wc", 1))
	before := s.Retry
	err := Flags{
		Input: []string{"x", "y"}, Output: "z", Name: "N", Queue: "q", Executors: "auto", CPU: 1, Memory: "256MiB",
		Reducers: "auto",
		Set:      []string{"b=3=4", "e="},
	}.Apply(&s)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Input, []string{"x", "y"}) || s.Output != "z" || s.Name != "N" || s.Queue != "q" || !s.Overwrite ||
		s.Resources != (scheduler.Resources{CPU: 1, Memory: 256 << 20}) || s.MapReduce.Reducers != (mapreduce.Reducers{}) ||
		s.MapReduce.Set["b"] != "3=4" || s.MapReduce.Set["a"] != "1.10" || s.Retry != before {
		t.Errorf("%+v", s)
	}
	if v, ok := s.MapReduce.Set["e"]; !ok || v != "" {
		t.Error("an empty value was lost")
	}
	for _, bad := range []Flags{
		{Executors: "0"}, {Executors: "x"}, {CPU: -1}, {Memory: "much"}, {Memory: "0"}, {Reducers: "-1"},
		{Set: []string{"a"}},
		{Set: []string{"=a"}},
	} {
		if err := bad.Apply(&Spec{}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	var none Spec
	if err := (Flags{}).Apply(&none); err != nil || !reflect.DeepEqual(none, Spec{}) {
		t.Errorf("no flags changed the spec: %+v %v", none, err)
	}
}

func TestJobWithoutInputOrOutput(t *testing.T) {
	for _, s := range []Spec{{Output: "o"}, {Input: []string{"i"}}, {Input: []string{""}, Output: "o"}} {
		s.MapReduce.Mapper.Builtin = "x"
		if _, err := s.Job("/"); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestURI(t *testing.T) {
	for text, want := range map[string]string{
		"a/../b": "file:///d/b", "/x//y/": "file:///x/y", "file:///x/./y": "file:///x/y", "s3://b/k*": "s3://b/k*",
		"hdfs://demo/a": "hdfs://demo/a", "a b%20?": "file:///d/a b%20?", "file://x": "!", "s3://": "!", "": "!",
	} {
		got, err := URI(text, "/d")
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("URI(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestCleanName(t *testing.T) {
	for in, want := range map[string]string{
		"wordcount": "wordcount", "My Job!": "my-job", "--x": "x", "": "job", "..": "job", "ä": "job",
		strings.Repeat("a", 80): strings.Repeat("a", 63),
	} {
		got := CleanName(in)
		if got != want {
			t.Errorf("CleanName(%q) = %q, want %q", in, got, want)
		}
		if _, err := scheduler.ParseJobID("7k2f-" + got); err != nil {
			t.Error(err)
		}
	}
}

// FuzzParse: no text makes Parse panic, and what it accepts the flags and defaults can complete.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("kind: mapreduce\noutput: &o {a: *o}\n"))
	f.Add([]byte("kind: mapreduce\ninput: a\noutput: b\nmapreduce: {mapper: {builtin: x}, set: {a: }}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := Parse("job.yaml", text)
		if err != nil {
			if k := errs.KindOf(err); k != errs.Invalid && k != errs.Unsupported {
				t.Fatalf("%v is of kind %v", err, k)
			}
			return
		}
		for _, s := range all {
			if _, err := s.Job("/"); err != nil && errs.KindOf(err) != errs.Invalid {
				t.Fatal(err)
			}
		}
	})
}
