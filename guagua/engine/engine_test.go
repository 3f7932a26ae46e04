package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/algo/sum"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler"
)

var sumFiles = map[string]string{"a": "1\n2\n3\n", "b": "2\n3\n4\n"}

func builtin(name string, workers, iterations int, set guagua.Params) Options {
	ref := functions.Ref{Builtin: name}
	return Options{Master: ref, Worker: ref, Workers: workers, Iterations: iterations, Set: set}
}

// run takes a job from its plan to its output, all attempts in this process.
func run(t *testing.T, s site, job scheduler.Job, files map[string]string) (*shelf, Summary, *diary) {
	t.Helper()
	st, err := s.store()
	if err != nil {
		t.Fatal(err)
	}
	out := &shelf{}
	e := New(job, st, Surroundings{Programs: algo.Builtins(), Resolve: resolve, List: inputs(files), Publisher: out}, 0)
	p, err := e.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	body, err := s.body()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	outputs, book := scheduler.Outputs{}, newDiary()
	for _, stage := range p.Stages {
		outputs[stage.Name] = make([]scheduler.Output, len(stage.Tasks))
		for i := range stage.Tasks {
			id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: stage.Name, Index: i}}
			told, err := e.Payload(t.Context(), id.Task, nil)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				reporter := scheduler.Reporter(newDiary())
				if id.Task.Stage == MasterStage {
					reporter = book
				}
				data, err := body.Run(t.Context(), s.attempt(job, id, told, t.TempDir()), reporter)
				if err != nil {
					t.Errorf("%v: %v", id, err)
				}
				outputs[id.Task.Stage][id.Task.Index] = scheduler.Output{Attempt: id, Data: data}
			})
		}
	}
	wg.Wait()
	var summary Summary
	for range 2 { // a successor's Commit answers as the first
		data, err := e.Commit(t.Context(), outputs, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &summary); err != nil {
			t.Fatal(err)
		}
	}
	return out, summary, book
}

// TestOracle is the same job over all coordinators.
func TestOracle(t *testing.T) {
	for _, coordinator := range []string{Stream, ConsulSync, ConsulAsync} {
		t.Run(coordinator, func(t *testing.T) { oracle(t, guagua.Params{"coordinator": coordinator}) })
	}
}

func oracle(t *testing.T, set guagua.Params) {
	s := site{t.TempDir()}
	out, summary, book := run(t, s, newJob(t, "sum", builtin("sum", 2, 10, set)), s.write(t, sumFiles))
	if got := string(out.files[sum.FileName]); got != "15345\n" {
		t.Errorf("the sum is %q", got)
	}
	if got := strings.Count(string(out.files["metrics.jsonl"]), "\n"); got != 10 || len(out.files) != 2 {
		t.Errorf("%d lines, %d files", got, len(out.files))
	}
	if p := out.proof; p.Splits != 2 || p.SplitsRead != 2 || p.Bytes != 12 || p.BytesRead != 12 {
		t.Errorf("%d of %d splits, %d of %d bytes", p.SplitsRead, p.Splits, p.BytesRead, p.Bytes)
	}
	if !slices.Equal(summary.Files, []string{"metrics.jsonl", sum.FileName}) || summary.Output != "file:///out" {
		t.Errorf("%+v", summary)
	}
	if summary.Iterations != 10 || book.done != 10 || len(book.status) != 10 {
		t.Errorf("%+v, progress %d, %d lines of status", summary, book.done, len(book.status))
	}
	counted := func(name string) int64 { return book.counters.Get("Guagua", name) }
	if counted("MASTER_ITERATIONS") != 10 || counted("MASTER_PEAK_BYTES") < 1 {
		t.Errorf("counters %v", book.counters)
	}
	st, _ := s.store()
	for info, err := range st.List(t.Context(), "jobs/7k2f-sum/guagua/") {
		name := string(info.Name)
		if err != nil || strings.Contains(name, "/out/") || strings.Contains(name, "/checkpoint/0") {
			t.Errorf("%s is left, %v", info.Name, err)
		}
	}
}

func TestTrainAndPredict(t *testing.T) {
	s := site{t.TempDir()}
	var csv strings.Builder
	for i := range 300 {
		fmt.Fprintf(&csv, "%d,%d,%d\n", i%2, i%7+5*(i%2), i%3)
	}
	files := s.write(t, map[string]string{"a.csv": csv.String()})
	set := guagua.Params{"checkpoint": "every", "iterations": "30", "workers": "3", "scale": "10", "trace": "true"}
	trained, _, book := run(t, s, newJob(t, "lr", builtin(model.Logistic, 0, 0, set)), files)
	if !strings.Contains(book.log.String(), "master: iteration 32 of 32 done, halts") {
		t.Errorf("log:\n%s", book.log.String())
	}
	set["group"] = "2"
	grouped, sum, _ := run(t, s, newJob(t, "groups", builtin(model.Logistic, 0, 0, set)), files)
	if !bytes.Equal(grouped.files[model.FileName], trained.files[model.FileName]) || sum.Grouped == 0 {
		t.Errorf("groups were used in %d turns, and the model may differ", sum.Grouped)
	}
	delete(set, "group")
	set["staleness"] = "2"
	if _, sum, _ = run(t, s, newJob(t, "late", builtin(model.Logistic, 0, 0, set)), files); sum.Last > 0.69 {
		t.Errorf("loss %g with workers that are behind", sum.Last)
	}
	extra := s.write(t, map[string]string{"model.json": string(trained.files[model.FileName])})
	for uri := range extra {
		set = guagua.Params{"model": uri}
	}
	out, summary, _ := run(t, s, newJob(t, "predict", builtin("predict", 2, 0, set)), files)
	if len(out.files) != 3 || summary.Last <= 0 || summary.Last > 0.69 {
		t.Errorf("%d files, loss %v", len(out.files), summary.Last)
	}
}

func TestPlanIsData(t *testing.T) {
	s := site{t.TempDir()}
	st, err := s.store()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"file:///a": strings.Repeat("1\n", 2<<20), "file:///b.gz": strings.Repeat("1", 100)}
	job := newJob(t, "plan", builtin("sum", 0, 7, nil))
	with := Surroundings{Programs: algo.Builtins(), List: inputs(files), Publisher: &shelf{}}
	first := New(job, st, with, 4)
	if err := first.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Stat(t.Context(), "jobs/7k2f-plan/guagua/plan"); !errors.Is(err, errs.NotFound) {
		t.Errorf("Check wrote something: %v", err)
	}
	a, err := first.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	with.List = inputs(map[string]string{"file:///c": "changed"}) // the plan stays what it was
	second := New(job, st, with, 2)
	b, err := second.Plan(t.Context())
	if d := cmp.Diff(a, b); d != "" || err != nil {
		t.Error(d, err)
	}
	if len(a.Stages) != 2 || len(a.Stages[0].Tasks) != 1 || len(a.Stages[1].Tasks) != 3 {
		t.Errorf("%+v", a)
	}
	var bytes int64
	for i := range 3 {
		told, err := second.Payload(t.Context(), scheduler.TaskID{Stage: WorkerStage, Index: i}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var p payload
		if err := json.Unmarshal(told, &p); err != nil || p.Split.Index != i {
			t.Fatal(err, p)
		}
		for _, piece := range p.Split.Pieces {
			bytes += piece.Length
		}
	}
	if bytes != 4<<20+100 {
		t.Errorf("%d bytes in all splits", bytes)
	}
}

func TestMistakes(t *testing.T) {
	st := func() store.Store { st, _ := site{t.TempDir()}.store(); return st }()
	ok := builtin("sum", 2, 5, nil)
	for _, c := range []struct {
		name    string
		change  func(*scheduler.Job, *Surroundings)
		options Options
		kind    errs.Kind
		want    string
	}{
		{"no program", nil, Options{}, errs.Invalid, "which program?"},
		{"two programs", nil, Options{Master: functions.Ref{Builtin: "a"}, Worker: functions.Ref{Builtin: "b"}},
			errs.Invalid, "a and b do not go together"},
		{"unknown program", nil, builtin("summ", 1, 1, nil), errs.Invalid, `there is no program "summ"; there are logistic`},
		{"user code", nil, Options{Master: functions.Ref{Exec: "x"}}, errs.Unsupported, "exec:x"},
		{"parameter", nil, builtin("sum", 1, 1, guagua.Params{"hatl-above": "3"}), errs.Invalid, `mean "halt-above"?`},
		{"staleness", nil, builtin("sum", 1, 1, guagua.Params{"staleness": "-1"}), errs.Invalid, "staleness"},
		{"phases", nil, builtin("kmeans", 1, 1, guagua.Params{"staleness": "2", "k": "2"}), errs.Invalid,
			"build on each other"},
		{"group", nil, builtin("sum", 1, 1, guagua.Params{"group": "2"}), errs.Invalid, "does not add vectors"},
		{"width", nil, builtin("kmeans", 1, 1, guagua.Params{"group": "3"}), errs.Invalid, "must be auto, or 2, 4, 8"},
		{"late", nil, builtin("kmeans", 1, 1, guagua.Params{"group": "2", "staleness": "1"}), errs.Invalid, "all results"},
		{"ratio", nil, builtin("sum", 1, 1, guagua.Params{"min-workers-ratio": "2"}), errs.Invalid, "from 0 to 1"},
		{"iterations", nil, builtin("sum", 1, 1, guagua.Params{"iterations": "-1"}), errs.Invalid, "from 0 to 1073741824"},
		{"policy", nil, builtin("sum", 1, 1, guagua.Params{"stragglers": "exclude"}), errs.Invalid, "below 1"},
		{"room", nil, builtin("sum", 9, 1, nil), errs.Invalid, "9 workers and the master need 10 places"},
		{"no model", nil, builtin("predict", 1, 1, guagua.Params{"model": "file:///none/m.json"}), errs.NotFound,
			"model: there is no file /none/m.json"},
		{"no input", func(j *scheduler.Job, _ *Surroundings) { j.Input = nil }, ok, errs.Invalid, "no input"},
		{"no output", func(j *scheduler.Job, _ *Surroundings) { j.Output = "" }, ok, errs.Invalid, "no output"},
		{"empty", func(_ *scheduler.Job, s *Surroundings) { s.List = inputs(nil) }, ok, errs.Invalid, "the input is empty"},
		{"exists", func(_ *scheduler.Job, s *Surroundings) { s.Publisher = &shelf{taken: true} }, ok, errs.Exist, "exists"},
	} {
		job := newJob(t, "bad", c.options)
		with := Surroundings{Programs: algo.Builtins(), Resolve: resolve, List: inputs(sumFiles), Publisher: &shelf{}}
		if c.change != nil {
			c.change(&job, &with)
		}
		_, err := New(job, st, with, 4).Plan(t.Context())
		if errs.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	job := newJob(t, "places", builtin("sum", 6, 1, nil))
	if n, err := Places(job); n != 7 || err != nil {
		t.Errorf("%d places, %v", n, err)
	}
}
