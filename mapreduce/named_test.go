package mapreduce

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/mapreduce/codec"
	"github.com/seed3322913c/runner/mapreduce/format"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/scheduler"
)

// sorts counts words, puts out numbers to "numbers" while it maps, and words that are not alone to "often" while it
// reduces.
func sorts() functions.Function {
	var numbers func(string, int64) error
	var often func(string, string) error
	return functions.MapReduce[string, int64]{
		Name: "sorts",
		Setup: func(env functions.Env) error {
			numbers, often = functions.To[string, int64](env, "numbers"), functions.To[string, string](env, "often")
			return nil
		},
		Map: func(line []byte, emit func(string, int64)) error {
			for _, w := range bytes.Fields(line) {
				if w[0] >= '0' && w[0] <= '9' {
					if err := numbers(string(w), int64(len(w))); err != nil {
						return err
					}
					continue
				}
				emit(string(w), 1)
			}
			return nil
		},
		Reduce: functions.Reduce(func(key string, ones iter.Seq[int64], emit func(string, int64)) error {
			n := 0
			for range ones {
				n++
			}
			if n > 1 {
				return often(key, strings.Repeat("+", n))
			}
			emit(key, 1)
			return nil
		}),
	}
}

// sortsJob is a job of sorts, over two files that make a map each.
func sortsJob(t *testing.T, output string) scheduler.Job {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in := fill(t, map[string]string{"a": "to be 17 or not 4\n", "b": "to be\n", "c": "12 be\n"})
	f := functions.Ref{Go: "sorts"}
	o := Options{
		Mapper: f, Reducer: f, Reducers: ExactReducers(2), SplitSize: 1, Outputs: map[string]NamedOutput{
			"numbers": {Format: format.JSONLines, Compress: codec.Gzip}, "often": {},
		},
	}
	job := newJob(t, o, output, in)
	job.Package = self
	return job
}

// outputs returns the content of all parts, by the names before their dash.
func outputs(t *testing.T, c *cluster, uri string) map[string]string {
	t.Helper()
	m, err := proof.Verify(t.Context(), c.resolve, uri)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, p := range m.Parts {
		st, name, err := c.resolve(t.Context(), uri+"/"+p.Name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := store.Get(t.Context(), st, name, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(p.Name, ".gz") {
			z, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if b, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		base, _, _ := strings.Cut(p.Name, "-")
		all[base] += string(b)
	}
	return all
}

// TestNamedOutputs writes to several outputs from maps and reduces, on a disk and in a store of objects.
func TestNamedOutputs(t *testing.T) {
	objects := mem.New()
	for _, uri := range []string{"file://" + filepath.Join(t.TempDir(), "out"), "mem://bucket/out"} {
		c := newCluster(t, BodyOptions{})
		files := c.resolve
		c.resolve = func(ctx context.Context, uri string) (store.Store, store.Name, error) {
			if name, ok := strings.CutPrefix(uri, "mem://bucket/"); ok {
				return objects, store.Name(name), nil
			}
			return files(ctx, uri)
		}
		c.body.resolve = c.resolve
		job := sortsJob(t, "")
		job.Output = uri
		for range 2 { // the second time it replaces the first
			sum, err := c.run(job)
			if err != nil {
				t.Fatal(err)
			}
			got := outputs(t, c, uri)
			if p := got["part"]; p != "or\t1\nnot\t1\n" && p != "not\t1\nor\t1\n" {
				t.Errorf("%s: parts %q", uri, p)
			}
			if o := got["often"]; o != "be\t+++\nto\t++\n" && o != "to\t++\nbe\t+++\n" {
				t.Errorf("%s: often %q", uri, o)
			}
			want := `{"key":"17","value":2}` + "\n" + `{"key":"4","value":1}` + "\n" + `{"key":"12","value":2}` + "\n"
			if diff := cmp.Diff(want, got["numbers"]); diff != "" {
				t.Errorf("%s: %s", uri, diff)
			}
			if sum.Totals.NamedRecords != 5 || sum.Totals.OutputRecords != 7 ||
				c.counters.Get(namedCounters, "numbers") != 3 {
				t.Errorf("%s: %+v, %v", uri, sum.Totals, c.counters)
			}
			job.ID, job.Overwrite = "aaaa-next", true
		}
	}
}

// TestNamedOutputsOfMaps balance when there are no reducers.
func TestNamedOutputsOfMaps(t *testing.T) {
	job := sortsJob(t, filepath.Join(t.TempDir(), "out"))
	var o Options
	if err := json.Unmarshal(job.Engine, &o); err != nil {
		t.Fatal(err)
	}
	o.Reducer, o.Reducers = functions.Ref{}, Reducers{}
	engine, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	job.Engine = engine
	c := newCluster(t, BodyOptions{})
	sum, err := c.run(job)
	if err != nil || sum.Totals.NamedRecords != 3 || sum.Totals.OutputRecords != 10 {
		t.Errorf("%v, %+v", err, sum.Totals)
	}
	if len(outputs(t, c, job.Output)) != 2 {
		t.Error("an output that nobody wrote to has a file")
	}
}

// TestUnnamedOutput names what the job does not know.
func TestUnnamedOutput(t *testing.T) {
	job := sortsJob(t, filepath.Join(t.TempDir(), "out"))
	job.Engine = bytes.Replace(job.Engine, []byte(`"numbers":`), []byte(`"number":`), 1)
	_, err := newCluster(t, BodyOptions{}).run(job)
	if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), `no output "numbers"; did you mean "number"?`) {
		t.Error(err)
	}
	nothing(t, job)
	for name, n := range map[string]NamedOutput{
		"part": {}, "a-b": {}, "": {}, "a": {Format: format.CSV, Compress: "zip"}, "b": {Format: format.NLine},
		"c": {Format: format.Parquet, Set: functions.Params{format.ParquetSchema: "x"}},
	} {
		o := programs("cat", "", "")
		o.Outputs = map[string]NamedOutput{name: n}
		if err := o.Validate(); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestNamedOutputsOfPrograms: mappers and reducers that are programs write to files that their environment names, also
// while keys are sampled; combiners have none.
func TestNamedOutputsOfPrograms(t *testing.T) {
	in := fill(t, map[string]string{"a": "to be 17\n", "b": "to be\n"})
	o := programs(
		`tr ' ' '\n' | awk '/[0-9]/ {print $1 "\t" 1 > ENVIRON["mapreduce_multipleoutputs_numbers"]; next} {print $1 "\t" 1}'`,
		`test -z "$mapreduce_multipleoutputs_often" && cat`,
		sumProgram+` | tee "$mapreduce_multipleoutputs_often"`)
	o.Reducers, o.Partitioner, o.SplitSize = ExactReducers(1), TotalOrderPartitioner, 1
	o.Outputs = map[string]NamedOutput{"numbers": {Format: format.JSONLines}, "often": {}}
	job := newJob(t, o, filepath.Join(t.TempDir(), "out"), in)
	c := newCluster(t, BodyOptions{})
	sum, err := c.run(job)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"part": "be\t2\nto\t2\n", "often": "be\t2\nto\t2\n", "numbers": `{"key":"17","value":1}` + "\n",
	}
	if diff := cmp.Diff(want, outputs(t, c, job.Output)); diff != "" || sum.Totals.NamedRecords != 3 {
		t.Errorf("%s, %+v", diff, sum.Totals)
	}
}
