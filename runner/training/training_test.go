package training

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/scheduler"
)

func resolve(_ context.Context, uri string) (store.Store, store.Name, error) {
	st, err := file.New("/", file.Options{KeepDirs: true})
	return st, store.Name(strings.TrimPrefix(uri, "file:///")), err
}

func newJob(t *testing.T, id, output string) scheduler.Job {
	t.Helper()
	o, err := json.Marshal(engine.Options{Master: functions.Ref{Builtin: "sum"}})
	if err != nil {
		t.Fatal(err)
	}
	return scheduler.Job{ID: scheduler.JobID(id), Kind: engine.Kind, Output: "file://" + output, Engine: o}
}

func output(texts map[string]string) engine.Output {
	o := engine.Output{Splits: 2, SplitsRead: 2, Bytes: 10, BytesRead: 10}
	for name, text := range texts {
		o.Files = append(o.Files, engine.File{Name: name, Size: int64(len(text)),
			Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }})
	}
	return o
}

// TestPublish: everything or nothing, the second time for the same job nothing new, over another's only if told so.
func TestPublish(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	first := newJob(t, "aaaa-first", out)
	with, err := Surroundings(t.Context(), first, resolve)
	if err != nil {
		t.Fatal(err)
	}
	p := with.Publisher
	unread := output(map[string]string{"model.json": "{}"})
	unread.SplitsRead = 1
	if _, err := p.Publish(t.Context(), unread); !errors.Is(err, errs.Corrupt) {
		t.Errorf("published what was not read: %v", err)
	}
	files := map[string]string{"model.json": "{}\n", "metrics.jsonl": "x"}
	for _, now := range []map[string]string{files, nil} { // the second time nothing is left to publish
		got, err := p.Publish(t.Context(), output(now))
		if err != nil || !slices.Equal(got.Files, []string{"metrics.jsonl", "model.json"}) || got.Bytes != 4 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if m, err := proof.Verify(t.Context(), resolve, first.Output); err != nil || m.Kind != engine.Kind {
		t.Errorf("%+v, %v", m, err)
	}
	second := newJob(t, "bbbb-second", out)
	if err := (publisher{second, resolve}).Check(t.Context()); !errors.Is(err, errs.Exist) {
		t.Error(err)
	}
	second.Overwrite = true
	if err := (publisher{second, resolve}).Check(t.Context()); err != nil {
		t.Error(err)
	}
	got, err := publisher{second, resolve}.Publish(t.Context(), output(map[string]string{"said.csv": "1"}))
	if err != nil || !slices.Equal(got.Files, []string{"said.csv"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := p.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	names, err := os.ReadDir(filepath.Dir(out))
	if err != nil || len(names) != 1 {
		t.Errorf("%v is left, %v", names, err)
	}
	if err := os.WriteFile(filepath.Join(out, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	third := newJob(t, "cccc-third", out)
	third.Overwrite = true
	if err := (publisher{third, resolve}).Check(t.Context()); !errors.Is(err, errs.Exist) {
		t.Errorf("would overwrite what no job wrote: %v", err)
	}
}

func TestPackage(t *testing.T) {
	job := newJob(t, "aaaa-own", "/out")
	job.Engine = []byte(`{"master": {"go": "mine"}}`)
	if _, err := Surroundings(t.Context(), job, resolve); !errors.Is(err, errs.Invalid) ||
		!strings.Contains(err.Error(), "say package: ./BINARY") {
		t.Error(err)
	}
	job.Package = "/bin/true"
	if _, err := Surroundings(t.Context(), job, resolve); !errors.Is(err, errs.Invalid) {
		t.Error(err)
	}
}

func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadMetrics(t.Context(), resolve, "file://"+dir); !errors.Is(err, errs.NotFound) {
		t.Error(err)
	}
	for text, want := range map[string]string{
		"": "",
		`{"iteration":1,"loss":0.69314718,"seconds":1}` + "\n" + `{"iteration":2,"loss":0.5,"missing":[1],"wait":0}` + "\n" +
			`{"iteration":2,"final":true,"loss":0.25,"accuracy":0.9}`: "2 iterations   loss 0.6931 ▇▄▁ 0.25   accuracy 0.9",
		`{"iteration":1,"sum":15345,"compute":1}` + "\n": "1 iteration   sum 15,345",
		`{"iteration":1,"loss":"NaN"}` + "\n":            "1 iteration",
	} {
		if err := os.WriteFile(filepath.Join(dir, MetricsFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := ReadMetrics(t.Context(), resolve, "file://"+dir+"/"); err != nil || m.String() != want {
			t.Errorf("%q: %q, %v; want %q", text, m, err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, MetricsFile), []byte("{\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMetrics(t.Context(), resolve, "file://"+dir); !errors.Is(err, errs.Corrupt) {
		t.Error(err)
	}
}
