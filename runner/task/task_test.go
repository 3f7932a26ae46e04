package task

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/scheduler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site runs jobs in this process, one attempt after the other. What is known of a job is thrown away between steps.
type site struct {
	t       *testing.T
	store   *mem.Store // the system's own, and what mem:// names
	dir     string
	attempt int // number of the next attempt at every task

	mu    sync.Mutex
	lines []string      // of all logs
	heard chan struct{} // holds one when there was a line
}

func newSite(t *testing.T) *site {
	return &site{t: t, store: mem.New(), dir: t.TempDir(), heard: make(chan struct{}, 1)}
}

func (s *site) resolve(_ context.Context, uri string) (store.Store, store.Name, error) {
	scheme, name, _ := strings.Cut(uri, "://")
	if scheme == "mem" {
		return s.store, store.Name(name), nil
	}
	local, err := file.New("/", file.Options{KeepDirs: true})
	return local, store.Name(strings.TrimPrefix(name, "/")), err
}

func (s *site) put(name, text string) {
	s.t.Helper()
	if err := store.Put(s.t.Context(), s.store, store.Name(name), []byte(text)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) job(o Options, output string, input ...string) scheduler.Job {
	s.t.Helper()
	options, err := json.Marshal(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return scheduler.Job{ID: "7k2f-job", Kind: Kind, Name: "job", Input: input, Output: output, Engine: options}
}

func (s *site) engine(job scheduler.Job) *Engine { return NewEngine(job, s.store, s.resolve) }

// task runs an attempt at one task.
func (s *site) task(ctx context.Context, job scheduler.Job, index int) ([]byte, error) {
	s.t.Helper()
	id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: Stage, Index: index}, N: s.attempt}
	told, err := s.engine(job).Payload(ctx, id.Task, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	a := scheduler.Attempt{
		Job: job, ID: id, Payload: told,
		Dir: filepath.Join(s.dir, id.String()), Scratch: filepath.Join(s.dir, "scratch", id.String()),
	}
	if err := os.MkdirAll(a.Scratch, 0o755); err != nil {
		s.t.Fatal(err)
	}
	return NewBody(s.store, s.resolve).Run(ctx, a, s)
}

// run runs a job to its end, which may come twice.
func (s *site) run(job scheduler.Job) Summary {
	s.t.Helper()
	ctx := s.t.Context()
	if err := Check(ctx, job, s.resolve, func(string) bool { return false }); err != nil {
		s.t.Fatal(err)
	}
	plan, err := s.engine(job).Plan(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	in := scheduler.Outputs{Stage: make([]scheduler.Output, len(plan.Stages[0].Tasks))}
	for i := range in[Stage] {
		data, err := s.task(ctx, job, i)
		if err != nil {
			s.t.Fatal(err)
		}
		id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: Stage, Index: i}, N: s.attempt}
		in[Stage][i] = scheduler.Output{Attempt: id, Data: data}
	}
	var summary Summary
	for range 2 {
		data, err := s.engine(job).Commit(ctx, in, nil)
		if err == nil {
			err = json.Unmarshal(data, &summary)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return summary
}

// output is what is published, by name.
func (s *site) output(uri string) map[string]string {
	s.t.Helper()
	m, err := proof.Verify(s.t.Context(), s.resolve, uri)
	if err != nil {
		s.t.Fatal(err)
	}
	st, name, err := s.resolve(s.t.Context(), uri)
	if err != nil {
		s.t.Fatal(err)
	}
	all := map[string]string{}
	for info, err := range st.List(s.t.Context(), string(name)+"/") {
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := store.Get(s.t.Context(), st, info.Name, 1<<20)
		if err != nil {
			s.t.Fatal(err)
		}
		all[strings.TrimPrefix(string(info.Name), string(name)+"/")] = string(text)
	}
	delete(all, proof.Success)
	if len(all) != len(m.Parts) {
		s.t.Errorf("%d files, and %d in the manifest", len(all), len(m.Parts))
	}
	return all
}

func (s *site) Progress(int64)              {}
func (s *site) Count(string, string, int64) {}
func (s *site) Status(string)               {}
func (s *site) Logf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
	select {
	case s.heard <- struct{}{}:
	default:
	}
}

// TestJob: every task finds who it is, the job's files and its package, and what it leaves is published.
func TestJob(t *testing.T) {
	t.Setenv("RUNNER_SECRET", "not for programs")
	for _, scheme := range []string{"file", "mem"} {
		s := newSite(t)
		output := "mem://bucket/out"
		if scheme == "file" {
			output = "file://" + filepath.Join(s.dir, "out")
		}
		pkg := t.TempDir()
		if err := os.WriteFile(filepath.Join(pkg, "tool.sh"), []byte("echo tool $1"), 0o600); err != nil {
			t.Fatal(err)
		}
		job := s.job(Options{
			Command: `sh tool.sh $GREETING > $RUNNER_OUTPUT/said; mkdir -p $RUNNER_OUTPUT/deep/er
				env | grep ^RUNNER_ | grep -v OUTPUT= | sort > $RUNNER_OUTPUT/deep/er/env; echo out; echo err >&2; printf last`,
			Tasks: 2, Env: map[string]string{"GREETING": "hello"},
		}, output)
		job.Package = pkg
		sum := s.run(job)
		want := map[string]string{}
		for i := range 2 {
			want[fmt.Sprintf("task-%d/said", i)] = "tool hello\n"
			want[fmt.Sprintf("task-%d/deep/er/env", i)] = fmt.Sprintf(
				"RUNNER_ATTEMPT=task-%d.0\nRUNNER_JOB=7k2f-job\nRUNNER_TASKS=2\nRUNNER_TASK_INDEX=%[1]d\n", i)
		}
		if diff := cmp.Diff(want, s.output(output)); diff != "" {
			t.Error(scheme, diff)
		}
		if sum.Tasks != 2 || sum.Files != 4 || sum.Output != output {
			t.Errorf("%+v", sum)
		}
		for _, line := range []string{"out", "err", "last"} {
			if n := strings.Count(strings.Join(s.lines, "\n")+"\n", line+"\n"); n != 2 {
				t.Errorf("%q was logged %d times: %q", line, n, s.lines)
			}
		}
	}
}

// TestInput: a task for each file, which it finds on its machine; the plan stays when the input changes.
func TestInput(t *testing.T) {
	s := newSite(t)
	s.put("b/in/b.txt", "bee")
	s.put("b/in/a.txt", "ay")
	job := s.job(Options{Command: `cat $RUNNER_INPUT > $RUNNER_OUTPUT/copy; echo $RUNNER_INPUT_URI > $RUNNER_OUTPUT/uri`},
		"mem://b/out", "mem://b/in")
	if _, err := s.engine(job).Plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.put("b/in/0.txt", "came late")
	s.run(job)
	want := map[string]string{
		"task-0/copy": "ay", "task-0/uri": "mem://b/in/a.txt\n", "task-1/copy": "bee", "task-1/uri": "mem://b/in/b.txt\n",
	}
	if diff := cmp.Diff(want, s.output("mem://b/out")); diff != "" {
		t.Error(diff)
	}
	s.put("b/in/a.txt", "another length")
	if _, err := s.task(t.Context(), job, 0); errs.KindOf(err) != errs.Invalid {
		t.Errorf("an input that has changed: %v", err)
	}
}

// TestNoOutput: a job may be there for its effects.
func TestNoOutput(t *testing.T) {
	s := newSite(t)
	ran := filepath.Join(s.dir, "ran")
	sum := s.run(s.job(Options{Command: `echo "$RUNNER_OUTPUT$RUNNER_INPUT$RUNNER_TASK_INDEX" >> ` + ran, Tasks: 3}, ""))
	text, err := os.ReadFile(ran)
	if err != nil || string(text) != "0\n1\n2\n" || sum.Files != 0 || sum.Tasks != 3 {
		t.Errorf("%q, %v, %+v", text, err, sum)
	}
}

// TestFailures: what is wrong with a command is the user's to mend, and nothing of the attempt is published.
func TestFailures(t *testing.T) {
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{Command: "echo what a pity >&2; exit 3"}, "exited with status 3, after it said:\n    what a pity"},
		{Options{Command: "kill -KILL $$"}, "was killed by signal killed"},
		{Options{Command: "no-such-program"}, "exited with status 127"},
		{Options{Command: "sleep 60", Timeout: 50 * time.Millisecond}, "it took longer than 50ms, and was killed"},
		{Options{Command: "ln -s /etc/passwd $RUNNER_OUTPUT/x"}, "x in $RUNNER_OUTPUT is no regular file"},
		{Options{Command: `i=0; while [ $i -le 1000 ]; do : > $RUNNER_OUTPUT/$i; i=$((i+1)); done`},
			"more than 1000 files in $RUNNER_OUTPUT"},
		{Options{Command: `: > "$RUNNER_OUTPUT/$(printf '\377')"`}, "is not one that every store takes"},
	} {
		s := newSite(t)
		c.options.Tasks = 1
		job := s.job(c.options, "file://"+filepath.Join(s.dir, "out"))
		_, err := s.task(t.Context(), job, 0)
		if errs.KindOf(err) != errs.Failed || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v", c.options.Command, err)
		}
		if err := s.engine(job).Abort(t.Context()); err != nil {
			t.Error(err)
		}
		if left, err := filepath.Glob(filepath.Join(s.dir, "*out*")); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind %q, %v", c.options.Command, left, err)
		}
	}
}

// TestEnded: an attempt that is told to end takes its command along, and what that has started.
func TestEnded(t *testing.T) {
	s := newSite(t)
	job := s.job(Options{Command: "sleep 61 & echo started; wait", Tasks: 1}, "")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the job was killed")
	told := make(chan error, 1)
	go func() {
		_, err := s.task(ctx, job, 0)
		told <- err
	}()
	<-s.heard
	cancel(why)
	if err := <-told; errs.KindOf(err) != errs.Canceled || !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range processes {
		if line, err := os.ReadFile(name); err == nil && bytes.Equal(line, []byte("sleep\x0061\x00")) {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		options Options
		input   bool
		want    string
	}{
		{Options{Command: "x", Tasks: 1}, false, ""},
		{Options{Command: "x"}, true, ""},
		{Options{Tasks: 1}, false, "no command"},
		{Options{Command: "x"}, false, "how many tasks?"},
		{Options{Command: "x", Tasks: MaxTasks + 1}, false, "100001 tasks"},
		{Options{Command: "x", Tasks: 1}, true, "a task for each of its files"},
		{Options{Command: "x", Tasks: 1, Env: map[string]string{"RUNNER_JOB": "y"}}, false, "are the system's"},
		{Options{Command: "x", Tasks: 1, Env: map[string]string{"A=B": "y"}}, false, "cannot be the name"},
		{Options{Command: "x\x00", Tasks: 1}, false, "zero byte"},
	} {
		err := c.options.Validate(c.input)
		if c.want == "" && err != nil || c.want != "" && (errs.KindOf(err) != errs.Invalid ||
			!strings.Contains(fmt.Sprint(err), c.want)) {
			t.Errorf("%+v: %v, want %q", c.options, err, c.want)
		}
	}
}

// TestCheck: mistakes are told before anything runs.
func TestCheck(t *testing.T) {
	s := newSite(t)
	s.put("b/in/a", "x")
	one := Options{Command: "x", Tasks: 1}
	withPackage := s.job(one, "")
	withPackage.Package = filepath.Join(s.dir, "none")
	for _, c := range []struct {
		job  scheduler.Job
		kind errs.Kind
		want string
	}{
		{withPackage, errs.NotFound, "cannot be used"},
		{s.job(Options{Command: "x"}, "", "mem://none"), errs.NotFound, "there is no input mem://none"},
		{s.job(Options{Command: "x"}, "mem://b/in", "mem://b/in"), errs.Invalid, "lies inside the output"},
		{s.job(one, "mem://b/in"), errs.Exist, "exists already"},
	} {
		err := Check(t.Context(), c.job, s.resolve, func(string) bool { return false })
		if errs.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%+v: %v", c.job, err)
		}
	}
	later := s.job(Options{Command: "x"}, "", "mem://none")
	if err := Check(t.Context(), later, s.resolve, func(string) bool { return true }); err != nil {
		t.Error(err)
	}
}

// TestLostResult: a job of which a task is not finished is not published.
func TestLostResult(t *testing.T) {
	s := newSite(t)
	job := s.job(Options{Command: "x", Tasks: 1}, "mem://b/out")
	_, err := s.engine(job).Commit(t.Context(), scheduler.Outputs{Stage: make([]scheduler.Output, 1)}, nil)
	if errs.KindOf(err) != errs.Corrupt {
		t.Errorf("%v", err)
	}
}
