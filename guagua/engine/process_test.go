package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// These tests run every attempt as a process of its own, over files and TCP, and kill with SIGKILL.

const attemptVariable = "GUAGUA_TEST_ATTEMPT"

// toldProcess is what a process is told.
type toldProcess struct {
	Site    site
	Job     scheduler.Job
	ID      scheduler.AttemptID
	Told    []byte
	Scratch string
}

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(attemptVariable); ok {
		os.Exit(process(text))
	}
	os.Exit(m.Run())
}

// process is an attempt's process. Its exit code is 0 if it went well and 3 if it failed, and then its standard error
// says why.
func process(text string) int {
	var p toldProcess
	err := json.Unmarshal([]byte(text), &p)
	var out []byte
	if err == nil {
		var b *Body
		if b, err = p.Site.body(); err == nil {
			out, err = b.Run(context.Background(), p.Site.attempt(p.Job, p.ID, p.Told, p.Scratch), newDiary())
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	os.Stdout.Write(out) //nolint:errcheck // the parent sees what is missing
	return 0
}

// crew runs a job's attempts as processes, each again with the next number when it was killed, as an application
// master would.
type crew struct {
	t       *testing.T
	site    site
	job     scheduler.Job
	engine  *Engine
	shelf   *shelf
	plan    scheduler.Plan
	work    sync.WaitGroup
	mu      sync.Mutex
	running map[scheduler.TaskID]*exec.Cmd
	next    map[scheduler.TaskID]int
	outputs scheduler.Outputs
	errs    []string
	stopped bool // killed attempts are not run again
}

func newCrew(t *testing.T, s site, job scheduler.Job, files map[string]string) *crew {
	t.Helper()
	st, err := s.store()
	if err != nil {
		t.Fatal(err)
	}
	c := &crew{
		t: t, site: s, job: job, shelf: &shelf{}, running: map[scheduler.TaskID]*exec.Cmd{}, next: map[scheduler.TaskID]int{},
		outputs: scheduler.Outputs{},
	}
	with := Surroundings{Programs: algo.Builtins(), Resolve: resolve, List: inputs(files), Publisher: c.shelf}
	c.engine = New(job, st, with, 0)
	if c.plan, err = c.engine.Plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, stage := range c.plan.Stages {
		c.outputs[stage.Name] = make([]scheduler.Output, len(stage.Tasks))
	}
	return c
}

// start runs all tasks that are not finished.
func (c *crew) start() {
	c.stopped = false
	for _, stage := range c.plan.Stages {
		for i := range stage.Tasks {
			if c.outputs[stage.Name][i].Attempt.Task.Stage == "" {
				c.work.Go(func() { c.task(scheduler.TaskID{Stage: stage.Name, Index: i}) })
			}
		}
	}
}

func (c *crew) task(id scheduler.TaskID) {
	for {
		c.mu.Lock()
		if c.stopped || len(c.errs) > 0 {
			c.mu.Unlock()
			return
		}
		attempt := scheduler.AttemptID{Task: id, N: c.next[id]}
		c.next[id]++
		cmd, out, why := c.command(attempt)
		err := cmd.Start()
		c.running[id] = cmd
		c.mu.Unlock()
		if err == nil {
			err = cmd.Wait()
		}
		c.mu.Lock()
		c.running[id] = nil
		var exit *exec.ExitError
		switch {
		case err == nil:
			c.outputs[id.Stage][id.Index] = scheduler.Output{Attempt: attempt, Data: out.Bytes()}
		case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled():
			err = nil // LOST: again
			c.mu.Unlock()
			continue
		default:
			c.errs = append(c.errs, fmt.Sprintf("%v: %v: %s", attempt, err, why))
		}
		c.mu.Unlock()
		return
	}
}

func (c *crew) command(id scheduler.AttemptID) (cmd *exec.Cmd, out, why *bytes.Buffer) {
	told, err := c.engine.Payload(c.t.Context(), id.Task, nil)
	if err != nil {
		c.t.Error(err)
	}
	text, err := json.Marshal(toldProcess{c.site, c.job, id, told, c.site.Dir})
	if err != nil {
		c.t.Error(err)
	}
	out, why = new(bytes.Buffer), new(bytes.Buffer)
	cmd = exec.CommandContext(c.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), attemptVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = out, why
	return cmd, out, why
}

// kill kills the process of a task, if it runs.
func (c *crew) kill(id scheduler.TaskID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cmd := c.running[id]; cmd != nil {
		cmd.Process.Kill() //nolint:errcheck // it may have ended just now
	}
}

// killAll kills everything and lets nothing run again.
func (c *crew) killAll() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	for _, stage := range c.plan.Stages {
		for i := range stage.Tasks {
			c.kill(scheduler.TaskID{Stage: stage.Name, Index: i})
		}
	}
	c.work.Wait()
}

// finish waits for all tasks and publishes the output.
func (c *crew) finish() map[string][]byte {
	c.t.Helper()
	c.work.Wait()
	if len(c.errs) > 0 {
		c.t.Fatal(strings.Join(c.errs, "\n"))
	}
	if _, err := c.engine.Commit(c.t.Context(), c.outputs, nil); err != nil {
		c.t.Fatal(err)
	}
	return c.shelf.files
}

// losses returns the losses in metrics.jsonl, in order.
func losses(t *testing.T, files map[string][]byte) (out []float64) {
	t.Helper()
	for line := range bytes.Lines(files["metrics.jsonl"]) {
		var l struct{ Loss float64 }
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		out = append(out, l.Loss)
	}
	return out
}

func trainingJob(t *testing.T, s site, set guagua.Params) (scheduler.Job, map[string]string) {
	r := rand.New(rand.NewPCG(1, 2))
	var csv strings.Builder
	for range 12_000 {
		a, b := r.NormFloat64(), r.NormFloat64()
		y := 0
		if a+b/2+r.NormFloat64()/2 > 0 {
			y = 1
		}
		fmt.Fprintf(&csv, "%d,%.4f,%.4f,%.4f\n", y, a, b, r.NormFloat64())
	}
	return newJob(t, "lr", builtin(model.Logistic, 3, 400, set)), s.write(t, map[string]string{"a.csv": csv.String()})
}

// TestKilledProcesses kills masters and workers at random moments, and once everything: the model is the same to the
// bit, and so is every loss on the way.
func TestKilledProcesses(t *testing.T) {
	calm := site{t.TempDir()}
	job, files := trainingJob(t, calm, guagua.Params{"optimizer": "momentum"})
	c := newCrew(t, calm, job, files)
	begun := time.Now()
	c.start()
	want := c.finish()
	took := time.Since(begun)
	t.Logf("undisturbed it takes %v", took)
	sets := []guagua.Params{
		{}, {"checkpoint": "every"}, {}, {}, {"checkpoint": "every"}, {"coordinator": "consul-async"},
	}
	if testing.Short() {
		sets = sets[:1]
	}
	for seed, set := range sets {
		t.Run(fmt.Sprintf("seed=%d %v", seed, set), func(t *testing.T) {
			s := site{t.TempDir()}
			set["optimizer"] = "momentum"
			job, files := trainingJob(t, s, set)
			c := newCrew(t, s, job, files)
			c.start()
			r := rand.New(rand.NewPCG(uint64(seed), 9))
			for range 8 {
				pause(t, time.Duration(r.Int64N(int64(took)/3)))
				switch n := r.IntN(8); {
				case n < 3:
					c.kill(scheduler.TaskID{Stage: MasterStage})
				case n < 7:
					c.kill(scheduler.TaskID{Stage: WorkerStage, Index: r.IntN(3)})
				default:
					c.killAll()
					c.start() // as runner resume does
				}
			}
			got := c.finish()
			if !bytes.Equal(got[model.FileName], want[model.FileName]) {
				t.Errorf("the model differs:\n%s%s", got[model.FileName], want[model.FileName])
			}
			a, b := losses(t, got), losses(t, want)
			if len(a) != len(b) {
				t.Fatalf("%d lines of metrics, want %d", len(a), len(b))
			}
			for i := range a {
				if a[i] != b[i] {
					t.Fatalf("line %d: loss %v, want %v", i, a[i], b[i])
				}
			}
			t.Logf("attempts: %v", c.next)
		})
	}
}

// pause lets the processes work for a while.
func pause(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// TestWorkerWithoutRecordsFailsByName: the master does not wait for ever for a worker that can't begin.
func TestWorkerWithoutRecordsFailsByName(t *testing.T) {
	s := site{t.TempDir()}
	files := s.write(t, map[string]string{"a.csv": "\n\n\n\n\n\n\n\n", "b.csv": "1,2\n0,3\n"})
	job := newJob(t, "lr", builtin(model.Logistic, 2, 5, nil))
	c := newCrew(t, s, job, files)
	told, err := c.engine.Payload(t.Context(), scheduler.TaskID{Stage: WorkerStage}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.body()
	if err != nil {
		t.Fatal(err)
	}
	id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: WorkerStage}}
	_, err = b.Run(t.Context(), s.attempt(job, id, told, t.TempDir()), newDiary())
	if !errors.Is(err, errs.Invalid) || !strings.Contains(err.Error(), "worker 0") ||
		!strings.Contains(err.Error(), "has no records: "+splitOf(t, told).String()) {
		t.Error(err)
	}
}

func splitOf(t *testing.T, told []byte) guagua.Split {
	t.Helper()
	var p payload
	if err := json.Unmarshal(told, &p); err != nil {
		t.Fatal(err)
	}
	return *p.Split
}
