package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	coordmem "github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bodyFunc is a body of one function.
type bodyFunc func(ctx context.Context, a scheduler.Attempt, r scheduler.Reporter) ([]byte, error)

func (f bodyFunc) Run(ctx context.Context, a scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
	return f(ctx, a, r)
}

// plain is a body that has no use for its arguments.
func plain(f func() error) bodyFunc {
	return func(context.Context, scheduler.Attempt, scheduler.Reporter) ([]byte, error) { return nil, f() }
}

func testConfig(t *testing.T, body bodyFunc) Config {
	root := t.TempDir()
	return Config{
		Job:       scheduler.Job{ID: "abcd-x", Resources: scheduler.Resources{CPU: 2, Memory: 800 << 20}},
		Container: "executor-0.0", Coord: coordmem.New(), Secret: "s", Body: body,
		Dirs: Dirs{
			Node: filepath.Join(root, "node"), Scratch: filepath.Join(root, "scratch"),
			Logs: filepath.Join(root, "logs"),
		},
	}
}

var attemptID = scheduler.AttemptID{Task: scheduler.TaskID{Stage: "map", Index: 3}, N: 1}

// runOne runs one attempt and returns it with its report.
func runOne(t *testing.T, cfg Config) (*executor, *attempt) {
	t.Helper()
	e, err := newExecutor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, changed := e.finished()
	e.start(attemptID, []byte("payload"))
	<-changed
	list, _ := e.finished()
	e.running.Wait()
	return e, list[0]
}

func TestAttemptHasItsPlaces(t *testing.T) {
	var a scheduler.Attempt
	cfg := testConfig(t, func(_ context.Context, got scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
		a = got
		for _, dir := range []string{a.Dir, a.Scratch} {
			if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o644); err != nil {
				return nil, err
			}
		}
		r.Logf("hello %d", 1)
		r.Count("g", "b", 2)
		r.Count("g", "a", 1)
		r.Progress(7)
		return []byte("result"), nil
	})
	e, got := runOne(t, cfg)
	r := got.result
	if r.State != "SUCCEEDED" || string(r.Data) != "result" || r.Done != 7 ||
		len(r.Counters) != 2 || r.Counters[0].Name != "a" {
		t.Errorf("reported %v", r)
	}
	if string(a.Payload) != "payload" || a.Secret != "s" || a.Memory != 300<<20 || a.ID != attemptID {
		t.Errorf("attempt %+v", a)
	}
	if a.Dir != filepath.Join(cfg.Dirs.Node, "map-3.1") {
		t.Errorf("dir %s", a.Dir)
	}
	if _, err := os.Stat(a.Scratch); !os.IsNotExist(err) {
		t.Errorf("scratch is still there: %v", err)
	}
	log, err := os.ReadFile(filepath.Join(cfg.Dirs.Logs, "map-3.1.log"))
	if err != nil || !strings.HasSuffix(string(log), " hello 1\n") {
		t.Errorf("log %q, %v", log, err)
	}
	e.acknowledged(got, true)
	if _, err := os.Stat(filepath.Join(a.Dir, "x")); err != nil {
		t.Errorf("the files of a result that was taken: %v", err)
	}
	e.acknowledged(got, false)
	if _, err := os.Stat(a.Dir); !os.IsNotExist(err) {
		t.Errorf("the files of a result that was not taken: %v", err)
	}
}

func TestOutcomes(t *testing.T) {
	lost := func(n int, sure bool) error {
		id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: "map"}, N: n}
		return &scheduler.InputLost{Attempt: id, Sure: sure, Err: errors.New("gone")}
	}
	two := errors.Join(lost(1, false), fmt.Errorf("and %w", lost(2, true)))
	for name, c := range map[string]struct {
		err   error
		state string
		kind  errs.Kind
		lost  string
	}{
		"the user's fault": {errs.Errorf("f", errs.Failed, nil, "no"), "FAILED", errs.Failed, ""},
		"passing trouble":  {errs.Errorf("f", errs.Unavailable, nil, "no"), "FAILED", errs.Unavailable, ""},
		"a full disk":      {&os.PathError{Op: "write", Path: "x", Err: errs.Exhausted}, "FAILED", errs.Exhausted, ""},
		"an input":         {fmt.Errorf("reduce: %w", lost(1, true)), "LOST", errs.Other, "map-0.1 true"},
		"inputs":           {two, "LOST", errs.Other, "map-0.1 false map-0.2 true"},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := runOne(t, testConfig(t, plain(func() error { return c.err })))
			var inputs []string
			for _, in := range got.result.Inputs {
				inputs = append(inputs, in.Attempt, fmt.Sprint(in.Sure))
			}
			r := got.result
			if r.State != c.state || r.Failure.Kind != c.kind.String() || strings.Join(inputs, " ") != c.lost {
				t.Errorf("got %v", r)
			}
			if r.Failure.Text != c.err.Error() {
				t.Errorf("text %q", r.Failure.Text)
			}
		})
	}
}

func TestPanicSaysWhere(t *testing.T) {
	for name, body := range map[string]func(){
		"a value":              func() { panic("oh") },
		"a runtime error":      func() { var list []int; _ = list[len(os.Args)] },
		"a nil pointer":        func() { var e *executor; _ = e.cfg },
		"the end of goroutine": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			_, got := runOne(t, testConfig(t, plain(func() error {
				body()
				return nil
			})))
			want := "executor_test.go:"
			if name == "the end of goroutine" {
				want = "ended its goroutine"
			}
			f := got.result.GetFailure()
			if got.result.State != "FAILED" || f.GetKind() != "failed" || !strings.Contains(f.GetText(), want) {
				t.Errorf("got %v", got.result)
			}
		})
	}
}

func TestKilledAttempt(t *testing.T) {
	running := make(chan struct{})
	cfg := testConfig(t, func(ctx context.Context, _ scheduler.Attempt, _ scheduler.Reporter) ([]byte, error) {
		close(running)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	e, err := newExecutor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, changed := e.finished()
	e.start(attemptID, nil)
	e.start(attemptID, nil) // an order that came twice
	<-running
	if got := e.holds(); !cmp.Equal(got, []string{"map-3.1"}) {
		t.Errorf("holds %v", got)
	}
	e.kill(attemptID)
	<-changed
	list, _ := e.finished()
	if got := list[0].result; got.State != "KILLED" {
		t.Errorf("got %v", got)
	}
	e.running.Wait()
	if _, err := os.Stat(filepath.Join(cfg.Dirs.Node, "map-3.1")); !os.IsNotExist(err) {
		t.Errorf("its files are still there: %v", err)
	}
}

// TestStalledAttempt: what says nothing for the job's timeout is killed and has failed; what says something is not.
func TestStalledAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t, func(ctx context.Context, _ scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
			r.Status("file a")
			for range 10 {
				time.Sleep(50 * time.Second)
				r.Logf("still there")
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		cfg.Job.Retry.Timeout = time.Minute
		began := time.Now()
		e, got := runOne(t, cfg)
		r := got.result
		const want = "failed: it gave no news for 1m0s at file a, and was killed (the job's task-timeout)"
		if r.State != "FAILED" || r.Failure.Text != want || r.Failure.Kind != errs.Failed.String() {
			t.Errorf("reported %v", r)
		}
		if took := time.Since(began); took < 560*time.Second || took > 570*time.Second {
			t.Errorf("after %v", took)
		}
		e.acknowledged(got, false)
		select {
		case err := <-e.failed:
			t.Errorf("the executor ends: %v", err)
		default:
		}
	})
}

// TestDeafAttempt: an attempt that goes on though it was killed is reported, and takes its executor with it.
func TestDeafAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		cfg := testConfig(t, plain(func() error { <-end; return nil }))
		cfg.Job.Retry.Timeout = time.Minute
		e, got := runOne(t, cfg)
		if r := got.result; r.State != "FAILED" || !strings.Contains(r.Failure.Text, "no news for 1m0s, and") {
			t.Errorf("reported %v", r)
		}
		e.acknowledged(got, false)
		if err := <-e.failed; errs.KindOf(err) != errs.Failed || !strings.Contains(err.Error(), "takes no notice") {
			t.Errorf("the executor ends with %v", err)
		}
		close(end)
	})
}

func TestAtMostOneAttemptPerCore(t *testing.T) {
	const attempts = 6
	entered, leave := make(chan struct{}, attempts), make(chan struct{})
	e, err := newExecutor(testConfig(t, plain(func() error {
		entered <- struct{}{}
		<-leave
		return nil
	})))
	if err != nil {
		t.Fatal(err)
	}
	for i := range attempts {
		e.start(scheduler.AttemptID{Task: attemptID.Task, N: i}, nil)
	}
	for range attempts / 2 {
		<-entered
		<-entered
		if n := len(entered); n != 0 {
			t.Errorf("%d run on 2 cores", n+2)
		}
		leave <- struct{}{}
		leave <- struct{}{}
	}
	e.running.Wait()
}

func TestHeartbeatTellsWhatChanged(t *testing.T) {
	entered, leave := make(chan scheduler.Reporter), make(chan struct{})
	body := func(_ context.Context, _ scheduler.Attempt, r scheduler.Reporter) ([]byte, error) {
		entered <- r
		<-leave
		return nil, nil
	}
	e, err := newExecutor(testConfig(t, body))
	if err != nil {
		t.Fatal(err)
	}
	e.start(attemptID, nil)
	r := <-entered
	told := func() string {
		var b strings.Builder
		request, sent := e.progress()
		for _, c := range request.Running[0].Counters {
			fmt.Fprintf(&b, "%s.%s=%d ", c.Group, c.Name, c.Value)
		}
		sent()
		return b.String() + request.Running[0].Status
	}
	r.Count("g", "a", 1)
	r.Count("g", "b", 5)
	r.Status("first")
	steps := []struct {
		do   func()
		want string
	}{
		{func() {}, "g.a=1 g.b=5 first"},
		{func() { r.Status(strings.Repeat("x", 300)) }, strings.Repeat("x", maxStatus)},
		{func() { r.Count("g", "b", 1); r.Status("") }, "g.b=6 "},
		{e.forgetSent, "g.a=1 g.b=6 "}, // another application master
	}
	for i, s := range steps {
		s.do()
		if got := told(); got != s.want {
			t.Errorf("step %d: %q, want %q", i, got, s.want)
		}
	}
	close(leave)
	e.running.Wait()
}

func TestLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "a.log")
	l := attemptLog{path: path, max: 100 << 10}
	for i := range 20_000 {
		l.printf("line %d", i)
	}
	l.close()
	l.printf("too late")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 101<<10 || len(data) < 99<<10 {
		t.Errorf("%d bytes", len(data))
	}
	for _, part := range []string{" line 0\n", " bytes left out ...]\n", " line 19999\n"} {
		if !strings.Contains(string(data), part) {
			t.Errorf("lacks %q", part)
		}
	}
	if strings.Contains(string(data), "too late") {
		t.Error("written after its end")
	}
}

func TestLogThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l := attemptLog{path: filepath.Join(file, "a.log"), max: 100} // below a file
	l.printf("nobody hears")
	l.close()
}

func TestEarlierScratchIsRemoved(t *testing.T) {
	cfg := testConfig(t, nil)
	for _, name := range []string{"executor-3.0/map-1.0", "executor-3.1/x", "executor-33.0/x", "executor-30.0/x"} {
		if err := os.MkdirAll(filepath.Join(cfg.Dirs.Scratch, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Container, cfg.Body = "executor-3.2", bodyFunc(nil)
	e, err := newExecutor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.removeEarlierScratch(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(cfg.Dirs.Scratch)
	if err != nil || len(left) != 2 || left[0].Name() != "executor-30.0" || left[1].Name() != "executor-33.0" {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestBadConfigs(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no container": func(c *Config) { c.Container = "" },
		"no secret":    func(c *Config) { c.Secret = "" },
		"no body":      func(c *Config) { c.Body = nil },
		"no dir":       func(c *Config) { c.Dirs.Scratch = "" },
	} {
		cfg := testConfig(t, plain(func() error { return nil }))
		change(&cfg)
		if err := Run(t.Context(), cfg); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestShorten(t *testing.T) {
	long := strings.Repeat("ä", maxFailure)
	got := shorten("begin" + long + "end")
	if len(got) > maxFailure+10 || !strings.HasPrefix(got, "beginä") || !strings.HasSuffix(got, "äend") {
		t.Errorf("%d bytes, %.20q", len(got), got)
	}
	if strings.ToValidUTF8(got, "?") != got {
		t.Error("not UTF-8")
	}
}
