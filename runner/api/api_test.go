package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// board is a Jobs in memory.
type board struct {
	mu     sync.Mutex
	jobs   []scheduler.Job
	status map[scheduler.JobID]embedded.Status
	asked  int // how often for a status
	broken error
	files  fstest.MapFS
}

func newBoard(states ...scheduler.JobState) *board {
	b := &board{status: map[scheduler.JobID]embedded.Status{}, files: fstest.MapFS{}}
	at := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	for i, state := range states {
		job := scheduler.Job{
			ID: scheduler.JobID(fmt.Sprintf("7k2%c-words", 'a'+i)), Kind: "mapreduce", Name: "words", Submitted: at,
			Resources: scheduler.Resources{CPU: 1, Memory: 1 << 30}, Output: "file:///out",
			Engine: json.RawMessage(`{"mapper":{"builtin":"wordcount"}}`),
		}
		s := embedded.Status{Output: job.Output, Report: am.Report{
			Job: job.ID, Name: job.Name, Kind: job.Kind, State: state, Submitted: at, Started: at, Masters: 1,
			Stages:    []am.StageReport{{Name: "map", Tasks: 3, Done: 1, Running: 1, Failed: 1, Weight: 30, Worked: 15}},
			Counters:  scheduler.Counters{"mine": {"rows": 7}},
			Executors: []am.ExecutorReport{{ID: "executor-0.0", Cores: 2, Running: 1}},
			Result:    json.RawMessage(`{"parts":1}`),
		}}
		for n, how := range []scheduler.AttemptState{
			scheduler.AttemptSucceeded, scheduler.AttemptFailed, scheduler.AttemptRunning,
		} {
			id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: "map", Index: n}}
			s.Attempts = append(s.Attempts, am.AttemptReport{ID: id, State: how, Executor: "executor-0.0", Start: at})
		}
		b.jobs, b.status[job.ID] = append(b.jobs, job), s
	}
	return b
}

func (b *board) All(context.Context) ([]scheduler.Job, error) { return b.jobs, b.broken }

func (b *board) Find(_ context.Context, prefix string) (scheduler.Job, error) {
	for _, job := range b.jobs {
		if strings.HasPrefix(string(job.ID), prefix) {
			return job, nil
		}
	}
	return scheduler.Job{}, errs.Errorf("", errs.NotFound, nil, "there is no job %q", prefix)
}

func (b *board) Status(_ context.Context, job scheduler.Job) (embedded.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	return b.status[job.ID], b.broken
}

func (b *board) set(id scheduler.JobID, state scheduler.JobState, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.status[id]
	s.State, s.Message = state, message
	b.status[id] = s
}

func (b *board) Kill(ctx context.Context, job scheduler.Job, reason string) (embedded.Status, error) {
	b.set(job.ID, scheduler.JobKilled, reason)
	return b.Status(ctx, job)
}

func (b *board) Resize(_ context.Context, job scheduler.Job, executors int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.status[job.ID]
	s.Executors = make([]am.ExecutorReport, executors)
	b.status[job.ID] = s
	return nil
}

func (b *board) Used(_ context.Context, r am.Report) client.Usage {
	return client.Usage{
		CoreSeconds: float64(len(r.Attempts)), USD: 0.5, Price: &client.Price{Machines: 0.5}, PricesOf: "2026-11-01",
	}
}

func (b *board) Logs(scheduler.JobID) fs.FS { return b.files }

// outputs is where the jobs of boards have written.
func outputs(ctx context.Context, uri string) (store.Store, store.Name, error) {
	st := mem.New()
	for name, text := range map[store.Name]string{
		"out/part-r-00000": "a\t1\n", "out/deep/x": strings.Repeat("x", maxPiece+1), "outer/secret": "secret",
	} {
		if err := store.Put(ctx, st, name, []byte(text)); err != nil {
			return nil, "", err
		}
	}
	return st, store.Name(strings.TrimPrefix(uri, "file:///")), nil
}

// asker asks an API and checks every answer against the document that describes it.
type asker struct {
	t     *testing.T
	http  *httptest.Server
	types *jsonschema.Compiler
	doc   *reader // nil until the document was read
}

func newAsker(t *testing.T, jobs Jobs) *asker { return newClientOf(t, JobsPart(jobs, outputs)) }

func newClientOf(t *testing.T, parts ...Part) *asker {
	handler, err := New(Options{}, parts...)
	if err != nil {
		t.Fatal(err)
	}
	c := &asker{t: t, http: httptest.NewServer(handler), types: jsonschema.NewCompiler()}
	t.Cleanup(c.http.Close)
	text := c.ask("GET", "/v1/openapi.json", "", 200, "")
	c.doc = newReader(t, text)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = c.types.AddResource("openapi.json", doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends a request and returns the body of the answer, which must be of a type that openapi.json names.
func (c *asker) ask(method, path, body string, status int, schema string) []byte {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.http.URL+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		c.t.Fatalf("%s %s: %v %s %s, want %d", method, path, err, resp.Status, text, status)
	}
	if c.doc != nil {
		c.doc.check(req, body, resp, text)
	}
	if schema != "" {
		c.check(method+" "+path, text, schema)
	}
	return text
}

// check fails the test unless a text is of a type that openapi.json names.
func (c *asker) check(what string, text []byte, schema string) {
	c.t.Helper()
	want, err := c.types.Compile("openapi.json#/components/schemas/" + schema)
	if err != nil {
		c.t.Fatal(err)
	}
	got, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = want.Validate(got)
	}
	if err != nil {
		c.t.Errorf("%s: %v", what, err)
	}
}

func parse[T any](t *testing.T, text []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func TestListIsReadInPages(t *testing.T) {
	c := newAsker(t, newBoard("RUNNING", "FAILED", "SUCCEEDED"))
	first := parse[client.JobList](t, c.ask("GET", "/v1/jobs?limit=2", "", 200, "JobList"))
	if len(first.Jobs) != 2 || first.Jobs[0].Job != "7k2a-words" || first.Next != "7k2b-words" {
		t.Errorf("%d jobs, next %q", len(first.Jobs), first.Next)
	}
	second := parse[client.JobList](t, c.ask("GET", "/v1/jobs?limit=2&after="+first.Next, "", 200, "JobList"))
	if len(second.Jobs) != 1 || second.Jobs[0].Job != "7k2c-words" || second.Next != "" {
		t.Errorf("%d jobs, next %q", len(second.Jobs), second.Next)
	}
	c.ask("GET", "/v1/jobs?after=nobody", "", 400, "Problem")
	c.ask("GET", "/v1/jobs?limit=many", "", 400, "Problem")
	if none := c.ask("GET", "/v1/jobs?limit=0", "", 200, "JobList"); !bytes.Contains(none, []byte(`"jobs":[]`)) {
		t.Errorf("no job at all is told as %s", none)
	}
}

func TestJob(t *testing.T) {
	b := newBoard("RUNNING", "SUCCEEDED")
	c := newAsker(t, b)
	job := parse[embedded.Status](t, c.ask("GET", "/v1/jobs/7k2a", "", 200, "Job"))
	if len(job.Attempts) != 2 || job.Attempts[0].State != "FAILED" || job.Attempts[1].State != "RUNNING" {
		t.Errorf("of its attempts it has %v", job.Attempts)
	}
	all := parse[client.AttemptList](t, c.ask("GET", "/v1/jobs/7k2a/attempts?after=1&limit=1", "", 200, "AttemptList"))
	if all.Total != 3 || len(all.Attempts) != 1 || all.Attempts[0].State != "FAILED" {
		t.Errorf("a page is %+v", all)
	}
	if past := parse[client.AttemptList](t, c.ask("GET", "/v1/jobs/7k2a/attempts?after=9", "", 200,
		"AttemptList")); len(past.Attempts) > 0 {
		t.Errorf("behind the end are %v", past)
	}
	if text := string(c.ask("GET", "/v1/jobs/7k2a/spec.yaml", "", 200, "")); !strings.HasPrefix(text,
		"kind: mapreduce\n") {
		t.Errorf("to run it again: %s", text)
	}
	if spec := parse[scheduler.Job](t, c.ask("GET", "/v1/jobs/7k2a/spec", "", 200,
		"Spec")); spec.Resources.Memory != 1<<30 {
		t.Errorf("the job is %+v", spec)
	}
	lost := parse[problem](t, c.ask("GET", "/v1/jobs/9999", "", 404, "Problem"))
	if lost.Detail != `there is no job "9999"` || lost.Kind != "not found" {
		t.Errorf("%+v", lost)
	}
	c.ask("GET", "/v1/job", "", 404, "Problem")
	c.ask("DELETE", "/v1/jobs/7k2a", "", 405, "Problem")
}

// TestUsage: what a job has used is counted over all attempts, also those that went well.
func TestUsage(t *testing.T) {
	c := newAsker(t, newBoard("SUCCEEDED"))
	c.ask("GET", "/v1/jobs/7k2a", "", 200, "Job") // which is kept without them
	used := parse[client.Usage](t, c.ask("GET", "/v1/jobs/7k2a/usage", "", 200, "Usage"))
	if used.CoreSeconds != 3 || used.USD != 0.5 || used.Price.Machines != 0.5 {
		t.Errorf("it has used %+v", used)
	}
	c.ask("GET", "/v1/jobs/9999/usage", "", 404, "Problem")
	aloof := struct{ Jobs }{newBoard("SUCCEEDED")}
	newAsker(t, aloof).ask("GET", "/v1/jobs/7k2a/usage", "", 400, "Problem")
}

// TestTheLastWordIsKept: what never changes again is not computed again.
func TestTheLastWordIsKept(t *testing.T) {
	b := newBoard("SUCCEEDED", "RUNNING")
	c := newAsker(t, b)
	for range 3 {
		c.ask("GET", "/v1/jobs", "", 200, "JobList")
	}
	if b.asked != 1+3 {
		t.Errorf("the jobs were looked at %d times", b.asked)
	}
}

func TestKill(t *testing.T) {
	b := newBoard("RUNNING")
	c := newAsker(t, b)
	c.ask("POST", "/v1/jobs/7k2a/kill", "{", 400, "Problem")
	c.ask("POST", "/v1/jobs/7k2a/kill", strings.Repeat("x", maxBody+1), 413, "Problem")
	job := parse[embedded.Status](t, c.ask("POST", "/v1/jobs/7k2a/kill", `{"reason":"too slow"}`, 200, "Job"))
	if job.State != "KILLED" || job.Message != "too slow" {
		t.Errorf("%s: %s", job.State, job.Message)
	}
}

func TestLogs(t *testing.T) {
	b := newBoard("RUNNING")
	c := newAsker(t, b)
	if none := c.ask("GET", "/v1/jobs/7k2a/logs", "", 200, "LogList"); !bytes.Contains(none, []byte(`"logs":[]`)) {
		t.Errorf("no log at all is told as %s", none)
	}
	long := strings.Repeat("0123456789abcde\n", maxPiece/16) + "the end\n"
	b.files["am-0.log"] = &fstest.MapFile{Data: []byte(long)}
	b.files["secret.txt"] = &fstest.MapFile{Data: []byte("secret")}
	all := parse[client.LogList](t, c.ask("GET", "/v1/jobs/7k2a/logs", "", 200, "LogList"))
	if len(all.Logs) != 1 || all.Logs[0] != (client.LogFile{Name: "am-0", Bytes: int64(len(long))}) {
		t.Errorf("the logs are %+v", all)
	}
	head := c.ask("GET", "/v1/jobs/7k2a/logs/am-0", "", 200, "")
	rest := c.ask("GET", fmt.Sprintf("/v1/jobs/7k2a/logs/am-0?offset=%d", len(head)), "", 200, "")
	if string(head)+string(rest) != long || string(rest) != "the end\n" {
		t.Errorf("it came in %d and %d bytes", len(head), len(rest))
	}
	for _, name := range []string{"executor-0", "secret.txt", "..%2Fam-0", "%2Fetc%2Fpasswd", "am-0%00"} {
		c.ask("GET", "/v1/jobs/7k2a/logs/"+name, "", 404, "Problem")
	}
}

func TestOutput(t *testing.T) {
	c := newAsker(t, newBoard("SUCCEEDED"))
	all := parse[outputList](t, c.ask("GET", "/v1/jobs/7k2a/output", "", 200, "OutputList"))
	if len(all.Files) != 2 || all.Files[0] != (outputFile{"deep/x", maxPiece + 1}) || all.Files[1].Name != "part-r-00000" {
		t.Errorf("the output is %+v", all)
	}
	if text := c.ask("GET", "/v1/jobs/7k2a/output/part-r-00000?offset=1", "", 200, ""); string(text) != "\t1\n" {
		t.Errorf("a part is %q", text)
	}
	if text := c.ask("GET", "/v1/jobs/7k2a/output/part-r-00000?offset=99", "", 200, ""); len(text) > 0 {
		t.Errorf("behind its end is %q", text)
	}
	if text := c.ask("GET", "/v1/jobs/7k2a/output/deep/x", "", 200, ""); len(text) != maxPiece {
		t.Errorf("%d bytes come at once", len(text))
	}
	for _, name := range []string{"no", "..%2Fouter%2Fsecret", "deep", "%2Fetc%2Fpasswd"} {
		c.ask("GET", "/v1/jobs/7k2a/output/"+name, "", 404, "Problem")
	}
}

func TestEvents(t *testing.T) {
	b := newBoard("RUNNING")
	c := newAsker(t, b)
	resp, err := http.Get(c.http.URL + "/v1/jobs/7k2a/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got []string
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || text == "{}" {
			continue
		}
		job := parse[embedded.Status](t, []byte(text))
		got = append(got, string(job.State)+job.Message)
		if len(got) == 1 { // the next event is that it is over
			b.set("7k2a-words", scheduler.JobFailed, "!")
		}
	}
	if len(got) != 2 || got[0] != "RUNNING" || got[1] != "FAILED!" {
		t.Errorf("the events are %q", got)
	}
	c.ask("GET", "/v1/jobs/nobody/events", "", 404, "Problem")
}

func TestTrouble(t *testing.T) {
	b := newBoard("RUNNING")
	b.broken = errs.Errorf("store.Get", errs.Unavailable, "jobs", "the disk is away")
	c := newAsker(t, b)
	for _, path := range []string{"", "/7k2a", "/7k2a/attempts", "/7k2a/usage", "/7k2a/events"} {
		c.ask("GET", "/v1/jobs"+path, "", 503, "Problem")
	}
}

// TestParts: what is not described is not served, nor the other way round.
func TestParts(t *testing.T) {
	answer := func(http.ResponseWriter, *http.Request) error { return nil }
	jobs := JobsPart(newBoard(), outputs)
	for name, part := range map[string]Part{
		"route alone": {Routes: []Route{{"GET /v1/more", access.Read, answer}}, Doc: []byte(`{}`)},
		"words alone": {Doc: []byte(`{"paths": {"/v1/more": {"get": {}}}}`)},
		"twice":       jobs,
		"no JSON":     {Doc: []byte(`more`)},
	} {
		if _, err := New(Options{}, jobs, part); errs.KindOf(err) != errs.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDocument: the parts' descriptions become one document.
func TestDocument(t *testing.T) {
	c := newAsker(t, newBoard())
	doc := parse[document](t, c.ask("GET", "/v1/openapi.json", "", 200, ""))
	if doc.Paths["/v1/jobs"]["get"] == nil || doc.Paths["/v1/openapi.json"]["get"] == nil {
		t.Errorf("the paths are %v", doc.Paths)
	}
	if doc.Components.Schemas["Problem"] == nil || doc.Components.Schemas["Job"] == nil {
		t.Errorf("the types are %v", doc.Components.Schemas)
	}
}
