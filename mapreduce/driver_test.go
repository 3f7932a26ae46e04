package mapreduce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/mapreduce/shuffle"
	"github.com/seed3322913c/runner/scheduler"
)

// TestMain also is what child processes run: the test binary is the package of jobs with functions in Go.
func TestMain(m *testing.M) {
	if os.Getenv(wire.EnvVar) != "" {
		functions.Main(testFunctions()...)
		return
	}
	if os.Getenv(smallDisk) != "" {
		onSmallDisk()
		return
	}
	goleak.VerifyTestMain(m)
}

// cluster runs jobs in this process, one attempt after the other, on two nodes with a shuffle server each. What the
// application master knows is thrown away between steps.
type cluster struct {
	t        testing.TB
	store    store.Store // the system's own
	resolve  store.Resolve
	body     *Body
	nodes    [2]node
	slots    int
	memory   int64 // of each attempt
	ran      map[scheduler.TaskID]int
	lost     []scheduler.InputLost
	counters scheduler.Counters
	before   func(*scheduler.Attempt)               // called before each attempt; nil: not
	after    func(scheduler.Attempt, []byte) []byte // called with each result, returns what counts; nil: not
	log      log
}

// log is what all attempts have logged.
type log struct {
	sync.Mutex
	lines []string
}

type node struct{ dir, addr string }

const testSecret = "only for tests"

func newCluster(t testing.TB, o BodyOptions) *cluster {
	t.Helper()
	c := &cluster{t: t, store: mem.New(), resolve: machine(t), slots: 2, memory: 64 << 20}
	if o.Shuffle.Patience == 0 {
		o.Shuffle.Patience = time.Minute // so that a busy machine loses nothing
	}
	o.Store = c.store
	c.body = NewBody(c.resolve, o)
	t.Cleanup(c.body.Close)
	for i := range c.nodes {
		dir := t.TempDir()
		s := httptest.NewServer(shuffle.NewServer(dir, func(scheduler.JobID) (string, bool) { return testSecret, true }))
		t.Cleanup(s.Close)
		c.nodes[i] = node{dir, strings.TrimPrefix(s.URL, "http://")}
	}
	return c
}

// machine resolves file:// URIs.
func machine(t testing.TB) store.Resolve {
	t.Helper()
	local, err := file.New("/", file.Options{KeepDirs: true})
	if err != nil {
		t.Fatal(err)
	}
	return resolveIn(local)
}

func resolveIn(local store.Store) store.Resolve {
	return func(_ context.Context, uri string) (store.Store, store.Name, error) {
		return local, store.Name(strings.TrimPrefix(uri, "file:///")), nil
	}
}

// newJob returns a job over input; its id is new in the test.
func newJob(t testing.TB, o Options, output string, input ...string) scheduler.Job {
	t.Helper()
	engine, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	job := scheduler.Job{
		ID: "aaaa-test", Kind: Kind, Name: "test", Output: "file://" + output, Engine: engine,
		Resources: scheduler.Resources{CPU: 1, Memory: 256 << 20},
	}
	for _, in := range input {
		job.Input = append(job.Input, "file://"+in)
	}
	return job
}

func (c *cluster) engine(job scheduler.Job) *Engine {
	epoch := func() time.Time { return time.Unix(0, 0) }
	return NewEngine(job, c.store, c.resolve, EngineOptions{Slots: c.slots, Now: epoch})
}

// run runs a job to its end.
func (c *cluster) run(job scheduler.Job) (Summary, error) {
	c.t.Helper()
	ctx := c.t.Context()
	c.counters, c.ran = scheduler.Counters{}, map[scheduler.TaskID]int{}
	plan, err := c.engine(job).Plan(ctx)
	if err != nil {
		return Summary{}, err
	}
	in := scheduler.Outputs{}
	for _, s := range plan.Stages {
		tasks := s.Tasks
		if s.Needs != nil {
			if tasks, err = c.engine(job).Cut(ctx, s.Name, in); err != nil {
				return Summary{}, err
			}
		}
		in[s.Name] = make([]scheduler.Output, len(tasks))
		for i := range tasks {
			in[s.Name][i], err = c.task(job, scheduler.TaskID{Stage: s.Name, Index: i}, in)
			if err != nil && s.MayFail > 0 {
				s.MayFail--
				err = nil
			}
			if err != nil {
				return Summary{}, err
			}
		}
	}
	var sum Summary
	for range 2 { // a successor may commit again
		b, err := c.engine(job).Commit(ctx, in, c.counters)
		if err != nil {
			return Summary{}, err
		}
		if err := json.Unmarshal(b, &sum); err != nil {
			c.t.Fatal(err)
		}
	}
	return sum, nil
}

// task runs a task, and again what it has lost of its input.
func (c *cluster) task(job scheduler.Job, task scheduler.TaskID, in scheduler.Outputs) (scheduler.Output, error) {
	c.t.Helper()
	for {
		out, err := c.attempt(job, task, in)
		var lost *scheduler.InputLost
		if !errors.As(err, &lost) {
			return out, err
		}
		c.lost = append(c.lost, *lost)
		at := lost.Attempt.Task
		if in[at.Stage][at.Index].Attempt != lost.Attempt || len(c.lost) > 5 {
			c.t.Fatalf("lost again, or not what was there: %v", lost)
		}
		if in[at.Stage][at.Index], err = c.attempt(job, at, in); err != nil {
			return out, err
		}
	}
}

// attempt runs one attempt at a task.
func (c *cluster) attempt(job scheduler.Job, task scheduler.TaskID, in scheduler.Outputs) (scheduler.Output, error) {
	c.t.Helper()
	payload, err := c.engine(job).Payload(c.t.Context(), task, in)
	if err != nil {
		return scheduler.Output{}, err
	}
	id := scheduler.AttemptID{Task: task, N: c.ran[task]}
	c.ran[task]++
	n := c.nodes[(task.Index+id.N)%len(c.nodes)]
	a := scheduler.Attempt{
		Job: job, ID: id, Payload: payload, Dir: filepath.Join(n.dir, string(job.ID), id.String()), Scratch: c.t.TempDir(),
		Memory: c.memory, Secret: testSecret,
	}
	if err := os.MkdirAll(a.Dir, 0o777); err != nil {
		c.t.Fatal(err)
	}
	if c.before != nil {
		c.before(&a)
	}
	r := &reporter{log: &c.log, counted: scheduler.Counters{}}
	data, err := c.body.Run(c.t.Context(), a, r)
	if err != nil {
		return scheduler.Output{}, err
	}
	if len(data) > 24<<10 && task.Stage == mapStage || len(data) > scheduler.MaxOutput {
		c.t.Errorf("%v has a result of %d bytes", id, len(data))
	}
	c.counters.Merge(r.counted)
	if c.after != nil {
		data = c.after(a, data)
	}
	return scheduler.Output{Attempt: id, Node: n.addr, Data: data}, nil
}

// reporter takes the news of one attempt.
type reporter struct {
	silent
	log *log
	sync.Mutex
	counted scheduler.Counters
}

func (r *reporter) Count(group, name string, delta int64) {
	r.Lock()
	defer r.Unlock()
	r.counted.Add(group, name, delta)
}

func (r *reporter) Logf(format string, args ...any) {
	r.log.Lock()
	defer r.log.Unlock()
	r.log.lines = append(r.log.lines, fmt.Sprintf(format, args...))
}

// parts returns the content of the part files of an output, in order, and proves it against its manifest.
func (c *cluster) parts(output string) []string {
	c.t.Helper()
	m, err := proof.Verify(c.t.Context(), c.resolve, "file://"+output)
	if err != nil {
		c.t.Fatal(err)
	}
	var all []string
	for _, p := range m.Parts {
		b, err := os.ReadFile(filepath.Join(output, p.Name))
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return all
}

// mustRun runs a job that has to succeed, and returns its parts.
func (c *cluster) mustRun(job scheduler.Job) []string {
	c.t.Helper()
	if _, err := c.run(job); err != nil {
		c.t.Fatal(err)
	}
	return c.parts(strings.TrimPrefix(job.Output, "file://"))
}

func builtins(mapper, combiner, reducer string) Options {
	ref := func(name string) functions.Ref { return functions.Ref{Builtin: name} }
	return Options{Mapper: ref(mapper), Combiner: ref(combiner), Reducer: ref(reducer)}
}

// fill makes files below a new folder and returns it.
func fill(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// merged returns the lines of all parts, each of which must be sorted.
func merged(t testing.TB, parts []string) map[string]int {
	t.Helper()
	all := map[string]int{}
	for i, p := range parts {
		if p == "" {
			continue
		}
		last := ""
		for line := range strings.Lines(p) {
			line = strings.TrimSuffix(line, "\n")
			key, _, _ := strings.Cut(line, "\t")
			if key < last {
				t.Errorf("part %d: %.60q after %.60q", i, key, last)
			}
			last = key
			all[line]++
		}
	}
	return all
}

// wordCounts is what a word count of the files has to say.
func wordCounts(contents ...string) map[string]int {
	counts := map[string]int{}
	for _, c := range contents {
		for _, w := range strings.FieldsFunc(c, func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) }) {
			counts[w]++
		}
	}
	lines := map[string]int{}
	for w, n := range counts {
		lines[fmt.Sprintf("%s\t%d", w, n)] = 1
	}
	return lines
}
