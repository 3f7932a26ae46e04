package functionstest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/child"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// Main runs the tests of a package whose functions JobDriver is to run: user functions run in child processes, and here
// the children are the test binary itself. It is called from TestMain with the functions that main has, and does not
// return.
//
//	func TestMain(m *testing.M) { functionstest.Main(m, wordCount) }
func Main(m *testing.M, fns ...functions.Function) {
	if os.Getenv(wire.EnvVar) != "" {
		functions.Main(fns...)
	}
	os.Exit(m.Run())
}

// JobDriver runs a whole job on the real engine: application master, two executors, shuffle and commit, all in this
// process but for the functions, which run in child processes as in earnest (see Main). Faults say what goes wrong
// meanwhile; the answer must be the same.
type JobDriver struct {
	Function string // the name of one of the functions given to Main; may be empty if there is only one
	Params   functions.Params
	Files    map[string]string  // what functions.File finds: texts by name
	Key      functions.KeyOrder // how keys are sorted and grouped, if not as the function says

	Input    map[string]string // files, by their names
	Reducers int               // parts of the output; 0: one
	Maps     int               // about so many maps share a large file; 0: one map per file
	Faults   []Fault

	// Want is the output as lines: key, TAB, value. With one reducer their order counts.
	Want      string
	WantError string // a part of the job's message; if not empty, the job must fail, and leave no output
}

// limit is how long a job may take before it counts as hanging.
const limit = 2 * time.Minute

// Run runs the job and reports what is not as it should be: also a fault that never came about.
func (d JobDriver) Run(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	s := newSite(t, d.job(t, ctx), d.Faults)
	report := s.run(ctx)
	for i, f := range d.Faults {
		if !s.happened(i) {
			t.Errorf("%s: this never came about", f)
		}
	}
	got, published := readOutput(t, s.output)
	switch {
	case d.WantError != "" && report.State != scheduler.JobFailed:
		t.Errorf("the job %s, want it to fail with %q", report.State, d.WantError)
	case d.WantError != "" && !strings.Contains(report.Message, d.WantError):
		t.Errorf("the job failed with %q, which does not say %q", report.Message, d.WantError)
	case d.WantError != "" && published:
		t.Errorf("the job failed and left an output:\n%s", got)
	case d.WantError != "":
	case report.State != scheduler.JobSucceeded:
		t.Errorf("the job %s: %s", report.State, report.Message)
	case d.Reducers > 1:
		compareLines(t, "job", sorted(d.Want), sorted(got))
	default:
		compareLines(t, "job", d.Want, got)
	}
}

// job writes the input and returns what `runner run` would submit.
func (d JobDriver) job(t testing.TB, ctx context.Context) scheduler.Job {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pkg, err := child.Describe(ctx, child.Command{Argv: []string{program}})
	if err != nil {
		t.Fatalf("call functionstest.Main from TestMain: %v", err)
	}
	f, err := pkg.Find(d.Function)
	if err != nil {
		t.Fatal(err)
	}
	dir, size := writeFiles(t, d.Input), 0
	for _, text := range d.Input {
		size += len(text)
	}
	options := mapreduce.Options{
		Mapper: f.Mapper, Combiner: f.Combiner, Reducer: f.Reducer, Set: d.Params, Key: cmp.Or(d.Key, f.Key),
		Reducers: mapreduce.ExactReducers(max(1, d.Reducers)), SplitSize: int64(size/max(1, d.Maps) + 1),
	}
	if f.Partitions {
		options.Partitioner = mapreduce.FunctionPartitioner
	}
	engine, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	var found []scheduler.File
	beside := writeFiles(t, d.Files)
	for name := range d.Files {
		found = append(found, scheduler.File{Name: name, URI: "file://" + filepath.Join(beside, name)})
	}
	return scheduler.Job{
		Files: found, ID: "test-job", Kind: mapreduce.Kind, Name: "job", Input: []string{"file://" + dir},
		Output: "file://" + filepath.Join(t.TempDir(), "out"), Package: program, Engine: engine,
		Resources: scheduler.Resources{Executors: 2, CPU: 1, Memory: 256 << 20}, Retry: scheduler.Retry{Task: 4, Job: 2},
	}
}

// readOutput returns the lines of all parts, in the order of their numbers.
func readOutput(t testing.TB, dir string) (text string, published bool) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "_SUCCESS")); err != nil {
		return "", false
	}
	names, err := filepath.Glob(filepath.Join(dir, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String(), true
}

func sorted(lines string) string {
	all := strings.SplitAfter(lines, "\n")
	slices.Sort(all)
	return strings.Join(all, "")
}

// files resolves file:// URIs of this machine.
func files(t testing.TB) store.Resolve {
	t.Helper()
	local, err := file.New("/", file.Options{KeepDirs: true})
	if err != nil {
		t.Fatal(err)
	}
	return func(_ context.Context, uri string) (store.Store, store.Name, error) {
		return local, store.Name(strings.TrimPrefix(uri, "file:///")), nil
	}
}

// finished returns the report of the job, which is over.
func (s *site) finished(ctx context.Context) am.Report {
	r, err := am.Load(ctx, s.store, s.job)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}
