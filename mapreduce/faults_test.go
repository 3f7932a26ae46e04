package mapreduce

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

// wordJob is a word count of several splits.
func wordJob(t *testing.T) (job scheduler.Job, want map[string]int) {
	t.Helper()
	content := strings.Repeat("to be or not to be that is the question\n", 500)
	o := builtins("wordcount", "sum", "sum")
	o.SplitSize, o.Reducers = 4000, ExactReducers(2)
	return newJob(t, o, t.TempDir()+"/out", fill(t, map[string]string{"a": content})), wordCounts(content)
}

// nothing fails the test if the job left anything where its output belongs.
func nothing(t *testing.T, job scheduler.Job) {
	t.Helper()
	if _, err := os.Stat(strings.TrimPrefix(job.Output, "file://")); !os.IsNotExist(err) {
		t.Errorf("there is an output: %v", err)
	}
}

// TestSegmentLost: a map whose output is damaged or gone runs again, whichever way the reducer gets it.
func TestSegmentLost(t *testing.T) {
	flip := func(name string) func(dir string) error {
		return func(dir string) error {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err == nil {
				b[len(b)/2] ^= 1
				err = os.WriteFile(filepath.Join(dir, name), b, 0o666)
			}
			return err
		}
	}
	for name, spoil := range map[string]func(dir string) error{
		"a byte of the data":  flip(segment.DataName),
		"a byte of the index": flip(segment.IndexName),
		"everything":          os.RemoveAll,
		"the end": func(dir string) error {
			return os.Truncate(filepath.Join(dir, segment.DataName), 20)
		},
	} {
		for _, combiner := range []string{"sum", ""} {
			for _, way := range []string{"disk", "network", "store"} {
				job, want := wordJob(t)
				o := builtins("wordcount", combiner, "sum")
				o.SplitSize, o.Reducers = 4000, ExactReducers(2)
				if way == "store" {
					o.Shuffle = StoreShuffle
				}
				job.Engine, _ = json.Marshal(o)
				c := newCluster(t, BodyOptions{NoLocal: way != "disk"})
				c.after = func(a scheduler.Attempt, data []byte) []byte {
					if a.ID.String() == "map-2.0" {
						if err := spoil(a.Dir); err != nil {
							t.Fatal(err)
						}
						if way == "store" {
							c.replaceKept(a)
						}
					}
					return data
				}
				if d := gocmp.Diff(want, merged(t, c.mustRun(job))); d != "" {
					t.Errorf("%s: %s", name, d)
				}
				if len(c.lost) != 1 || c.lost[0].Attempt.String() != "map-2.0" || !c.lost[0].Sure {
					t.Errorf("%s, by %s, combiner %q: lost %v", name, way, combiner, c.lost)
				}
				if _, left := c.keptIn(job.ID); left > 0 {
					t.Errorf("%d objects are left of the shuffle", left)
				}
			}
		}
	}
}

// keptIn returns the folder of a job's map output in the store, and how many objects it has.
func (c *cluster) keptIn(job scheduler.JobID) (folder store.Name, objects int) {
	c.t.Helper()
	folder = store.Name("jobs").Join(string(job)).Join("shuffle")
	for _, err := range c.store.List(c.t.Context(), string(folder)+"/") {
		if err != nil {
			c.t.Fatal(err)
		}
		objects++
	}
	return folder, objects
}

// replaceKept makes an attempt's output in the store what it is in its directory.
func (c *cluster) replaceKept(a scheduler.Attempt) {
	c.t.Helper()
	folder, _ := c.keptIn(a.Job.ID)
	for _, name := range []string{segment.DataName, segment.IndexName} {
		object := folder.Join(a.ID.String()).Join(name)
		data, err := os.ReadFile(filepath.Join(a.Dir, name))
		if os.IsNotExist(err) {
			err = c.store.Delete(c.t.Context(), object)
		} else if err == nil {
			err = store.Put(c.t.Context(), c.store, object, data)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// hooked is a store that calls opened after each Open.
type hooked struct {
	store.Store
	opened func(store.Name)
}

func (h hooked) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	body, err := h.Store.Open(ctx, name, r)
	h.opened(name)
	return body, err
}

// TestInputChanges changes a file while a map has it open.
func TestInputChanges(t *testing.T) {
	for name, change := range map[string]func(file string) error{
		"truncated": func(file string) error { return os.Truncate(file, 5000) },
		"emptied":   func(file string) error { return os.Truncate(file, 0) },
		"appended": func(file string) error {
			f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("more\n")
				err = cmp.Or(err, f.Close())
			}
			return err
		},
		"overwritten": func(file string) error {
			return os.WriteFile(file, bytes.Repeat([]byte("x"), 20_000), 0o666)
		},
		"replaced": func(file string) error {
			if err := os.WriteFile(file+".new", bytes.Repeat([]byte("x"), 20_000), 0o666); err != nil {
				return err
			}
			return os.Rename(file+".new", file)
		},
		"removed": os.Remove,
	} {
		job, _ := wordJob(t)
		c := newCluster(t, BodyOptions{})
		plain, opens := c.resolve, 0
		c.body.resolve = func(ctx context.Context, uri string) (store.Store, store.Name, error) {
			st, n, err := plain(ctx, uri)
			return hooked{st, func(n store.Name) {
				if opens++; opens == 2 {
					if err := change("/" + string(n)); err != nil {
						t.Fatal(err)
					}
				}
			}}, n, err
		}
		_, err := c.run(job)
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), job.Input[0]+"/a was") {
			t.Errorf("%s: %v", name, err)
		}
		nothing(t, job)
	}
}

// TestStalePlanner: a second application master goes by the plan of the first, though the input has changed since.
func TestStalePlanner(t *testing.T) {
	job, _ := wordJob(t)
	c := newCluster(t, BodyOptions{})
	first, err := c.engine(job).Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	file := strings.TrimPrefix(job.Input[0], "file://") + "/a"
	if err := os.WriteFile(file, []byte("short"), 0o666); err != nil {
		t.Fatal(err)
	}
	second, err := c.engine(job).Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(first, second); d != "" {
		t.Error(d)
	}
	if _, err := c.run(job); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a job over changed input: %v", err)
	}
}

// TestProof: a job whose results do not add up fails before it publishes anything.
func TestProof(t *testing.T) {
	for name, change := range map[string]func(m map[string]any){
		"a map read less":           func(m map[string]any) { add(m, "bytes", -1) },
		"a map emitted one more":    func(m map[string]any) { add(m, "emitted", 1) },
		"a map lost a record":       func(m map[string]any) { add(m, "left", -1) },
		"a reduce missed a segment": func(m map[string]any) { add(m, "segments", -1) },
		"a reduce read one twice":   func(m map[string]any) { add(m, "groups", 0); add(m, "records", 1) },
	} {
		job, _ := wordJob(t)
		c := newCluster(t, BodyOptions{})
		changed := false
		c.after = func(a scheduler.Attempt, data []byte) []byte {
			if changed || strings.HasPrefix(name, "a map") != (a.ID.Task.Stage == mapStage) {
				return data
			}
			changed = true
			var m map[string]any
			if err := json.Unmarshal(data, &m); err != nil {
				t.Fatal(err)
			}
			change(m)
			data, _ = json.Marshal(m)
			return data
		}
		if _, err := c.run(job); errs.KindOf(err) != errs.Corrupt || !changed {
			t.Errorf("%s: %v", name, err)
		}
		nothing(t, job)
		if err := c.engine(job).Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(filepath.Dir(strings.TrimPrefix(job.Output, "file://")) + "/.*"); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

func add(m map[string]any, field string, n float64) {
	v, ok := m[field].(float64)
	if !ok {
		panic("there is no number called " + field)
	}
	m[field] = v + n
}

// TestBadRecord: the error names the file, where in it the record is, and which part of it the task reads.
func TestBadRecord(t *testing.T) {
	lines := strings.Repeat("key\t1\n", 3000)
	at := len(lines)
	dir := fill(t, map[string]string{"a": strings.Repeat("key\t2\n", 10), "b": lines + "no number here\n" + lines})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, mapper := range []functions.Ref{{Builtin: "aggregate"}, {Go: "picky"}, {Go: "panics"}} {
		o := Options{Mapper: mapper, SplitSize: 5000}
		job := newJob(t, o, t.TempDir()+"/out", dir)
		job.Package = self
		c := newCluster(t, BodyOptions{})
		_, err := c.run(job)
		want := fmt.Sprintf("file://%s/b, record at byte %d", dir, at)
		if errs.KindOf(err) != errs.Failed || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v\nwant %q", mapper, err, want)
		}
		var from, to int
		_, text, _ := strings.Cut(fmt.Sprint(err), want)
		if _, err := fmt.Sscanf(text, " (split %d to %d):", &from, &to); err != nil || from > at || to <= at ||
			to-from > 6000 {
			t.Errorf("%v: split %d to %d of %q, %v", mapper, from, to, text, err)
		}
		nothing(t, job)
	}
}

// TestBadGroup: the error of a reducer is the user's, and names the attempt.
func TestBadGroup(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	job, _ := wordJob(t)
	f := functions.Ref{Go: "refuses"}
	job.Engine, _ = json.Marshal(Options{Mapper: f, Reducer: f, Reducers: ExactReducers(1)})
	job.Package = self
	c := newCluster(t, BodyOptions{})
	_, err = c.run(job)
	if errs.KindOf(err) != errs.Failed || !strings.Contains(err.Error(), "no questions") ||
		!strings.Contains(err.Error(), "reduce-0.0") {
		t.Errorf("%v", err)
	}
	nothing(t, job)
}

// testFunctions are the functions of the test binary, when it is a job's package.
func testFunctions() []functions.Function {
	number := func(line []byte) error {
		if bytes.HasPrefix(line, []byte("no ")) {
			return fmt.Errorf("no number in %q", line)
		}
		return nil
	}
	return []functions.Function{
		sorts(), brittle(), lengths(),
		functions.MapReduce[string, int64]{
			Name: "words",
			Setup: func(functions.Env) error {
				fmt.Println("ready")
				for _, v := range os.Environ() {
					if strings.HasPrefix(v, "RUNNER_") {
						fmt.Println("variable", v)
					}
				}
				return nil
			},
			Map: func(line []byte, emit func(string, int64)) error {
				for _, w := range bytes.Fields(line) {
					emit(string(w), 1)
				}
				return nil
			},
			Combine: functions.Sum[int64](),
		},
		functions.MapReduce[string, int64]{
			Name: "refuses",
			Map: func(line []byte, emit func(string, int64)) error {
				for _, w := range bytes.Fields(line) {
					emit(string(w), 1)
				}
				return nil
			},
			Reduce: functions.Reduce(func(key string, _ iter.Seq[int64], _ func(string, int64)) error {
				if key == "question" {
					return errors.New("no questions")
				}
				return nil
			}),
		},
		functions.MapReduce[string, string]{
			Name: "picky",
			Map:  func(line []byte, _ func(string, string)) error { return number(line) },
		},
		functions.MapReduce[string, string]{
			Name: "panics",
			Map: func(line []byte, _ func(string, string)) error {
				if err := number(line); err != nil {
					panic(err)
				}
				return nil
			},
		},
	}
}

// TestPackage runs functions in child processes, all of them or some.
func TestPackage(t *testing.T) {
	t.Setenv("RUNNER_SECRET", "not for children")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	words, sum := functions.Ref{Go: "words"}, functions.Ref{Builtin: "sum"}
	for _, o := range []Options{
		{Mapper: words, Combiner: sum, Reducer: sum},
		{Mapper: words, Combiner: words, Reducer: words},
		{Mapper: words, Reducer: words},
		{Mapper: functions.Ref{Builtin: "wordcount"}, Combiner: words, Reducer: sum},
	} {
		job, want := wordJob(t)
		o.SplitSize = 4000
		job.Engine, _ = json.Marshal(o)
		job.Package = self
		c := newCluster(t, BodyOptions{})
		if d := gocmp.Diff(want, merged(t, c.mustRun(job))); d != "" {
			t.Errorf("%+v: %s", o, d)
		}
		for _, line := range c.log.lines {
			if strings.HasPrefix(line, "variable") && !strings.HasPrefix(line, "variable RUNNER_CHILD=") {
				t.Errorf("a child has %s", line)
			}
		}
		if o.Mapper == words && len(c.log.lines) == 0 {
			t.Error("what children print is not in the log")
		}
	}
}

// smallDisk tells the test binary to be a map attempt that may write no large file.
const smallDisk = "MAPREDUCE_TEST_SMALL_DISK"
