package am_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed3322913c/runner/infra/coord"
	coordmem "github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	storemem "github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/amrpc"
	"github.com/seed3322913c/runner/scheduler/executor"
	"github.com/seed3322913c/runner/scheduler/launch"
	launchmem "github.com/seed3322913c/runner/scheduler/launch/mem"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == process {
		os.Exit(beProcess(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// site is everything a job needs, in one process: goroutines for processes, and gRPC over the loopback between them.
type site struct {
	st       store.Store
	co       coord.Coordinator
	launcher *launchmem.Launcher
	job      scheduler.Job
	engine   *toy
	body     toyBody
	options  am.Options
	lease    time.Duration // of executors
	grace    time.Duration
	session  string
	puppets  bool                                  // containers of executors do nothing
	wrap     func(launch.Launcher) launch.Launcher // of the application master; may be nil
	running  sync.WaitGroup                        // processes
	mu       struct {
		sync.Mutex
		calls  []string // of the engine
		ran    []scheduler.AttemptID
		errors []error // of application masters
	}
}

const secret = "open sesame"

// newSite returns a site with the folders of a job.
func newSite(t testing.TB) *site {
	s := &site{st: storemem.New(), co: coordmem.New(), session: "s1"}
	s.job = scheduler.Job{
		ID: "abcd-toy", Name: "toy", Kind: "toy", Resources: scheduler.Resources{Executors: 2, CPU: 1},
		Retry: scheduler.Retry{Task: 4, Job: 3},
	}
	s.engine = &toy{st: s.st, job: s.job.ID, maps: 6, calls: func(what string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mu.calls = append(s.mu.calls, what)
	}}
	s.body = toyBody{node: filepath.Join(t.TempDir(), "node"), rounds: 1}
	// Nobody is dead who has only not been given any of the CPU.
	s.options = am.Options{MaxExecutors: 2, Heartbeat: 20 * time.Millisecond, Dead: time.Minute}
	s.launcher = launchmem.New(s.process)
	t.Cleanup(func() {
		s.launcher.Close()
		s.running.Wait() // also those that crashed, which nobody else waits for
	})
	return s
}

// process is what the containers do.
func (s *site) process(ctx context.Context, g launch.Group, c launch.Container) error {
	s.running.Add(1)
	defer s.running.Done()
	if g.ID.Role == "am" {
		err := am.Run(ctx, s.amConfig())
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mu.errors = append(s.mu.errors, err)
		return err
	}
	if s.puppets {
		<-ctx.Done()
		return nil
	}
	body := s.body
	body.before = func(ctx context.Context, a scheduler.Attempt) error {
		s.mu.Lock()
		s.mu.ran = append(s.mu.ran, a.ID)
		s.mu.Unlock()
		if s.body.before != nil {
			return s.body.before(ctx, a)
		}
		return nil
	}
	root := filepath.Dir(s.body.node)
	return executor.Run(ctx, executor.Config{
		Job: s.job, Container: c.String(), Coord: s.co, Secret: secret, Body: body,
		Dirs: executor.Dirs{
			Node: s.body.node, Scratch: filepath.Join(root, "scratch"), Logs: filepath.Join(root, "logs"),
		},
		Options: executor.Options{Node: "127.0.0.1:7", Lease: s.lease, Grace: s.grace},
	})
}

func (s *site) amConfig() am.Config {
	var l launch.Launcher = s.launcher
	if s.wrap != nil {
		l = s.wrap(l)
	}
	return am.Config{
		Job: s.job, Engine: s.engine, Store: s.st, Coord: s.co, Launcher: l, Secret: secret, Session: s.session,
		Executors: launch.Group{
			Command: []string{"executor"}, Grace: 10 * time.Second,
			Restart: launch.Restart{Attempts: 5, Delay: time.Millisecond},
		},
		Options: s.options,
	}
}

func (s *site) amGroup() launch.Group {
	return launch.Group{
		ID: launch.GroupID{Job: s.job.ID, Role: "am"}, Command: []string{"am"}, Count: 1, Grace: 10 * time.Second,
		Restart: launch.Restart{Attempts: 10, Delay: time.Millisecond},
	}
}

func (s *site) executors() launch.GroupID { return launch.GroupID{Job: s.job.ID, Role: "executor"} }

// start starts the job and returns a client.
func (s *site) start(t testing.TB) (context.Context, *am.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	if err := s.launcher.Start(ctx, s.amGroup()); err != nil {
		t.Fatal(err)
	}
	c, err := am.Dial(ctx, s.co, s.job.ID, secret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return ctx, c
}

// end waits until the application master has ended, and returns what storage says then.
func (s *site) end(t testing.TB, ctx context.Context) am.Report {
	t.Helper()
	for e, err := range s.launcher.Watch(ctx, s.amGroup().ID) {
		if err != nil {
			t.Fatal(err)
		}
		if e.State == launch.Failed {
			t.Fatalf("the application master failed: %v", s.mu.errors)
		}
		if e.State == launch.Done {
			break
		}
	}
	r, err := am.Load(ctx, s.st, s.job)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs the job to its end.
func (s *site) run(t testing.TB) am.Report {
	t.Helper()
	ctx, _ := s.start(t)
	return s.end(t, ctx)
}

// output is what the job has published; "" if nothing.
func (s *site) output(t *testing.T) string {
	t.Helper()
	data, err := store.Get(t.Context(), s.st, toyOutput(s.job.ID), 1<<20)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		t.Fatal(err)
	}
	return string(data)
}

// want is what a job of so many maps publishes.
func want(t *testing.T, maps, rounds int) string {
	t.Helper()
	s := newSite(t)
	s.engine.maps, s.body.rounds = maps, rounds
	if r := s.run(t); r.State != scheduler.JobSucceeded {
		t.Fatalf("undisturbed: %s %s", r.State, r.Message)
	}
	return s.output(t)
}

func TestJob(t *testing.T) {
	s := newSite(t)
	ctx, c := s.start(t)
	var last am.Report
	for r, err := range c.Watch(ctx) {
		if err != nil {
			if errs.KindOf(err) != errs.NotFound {
				t.Fatal(err)
			}
			break // it was over so soon
		}
		last = r
	}
	r := s.end(t, ctx)
	if last.State != "" && last.State != scheduler.JobSucceeded {
		t.Errorf("the last that was watched: %s", last.State)
	}
	if r.State != scheduler.JobSucceeded || r.Masters != 1 || string(r.Result) != `{"files":1}` {
		t.Errorf("got %+v", r)
	}
	if got := r.Counters.Get("toy", "maps"); got != 6 {
		t.Errorf("counted %d maps", got)
	}
	if len(r.Stages) != 2 || r.Stages[0].Done != 6 || r.Stages[0].Worked != 600 || r.Stages[1].Done != toyReducers {
		t.Errorf("stages: %+v", r.Stages)
	}
	if len(r.Attempts) != 8 || r.Attempts[0].State != scheduler.AttemptSucceeded || r.Attempts[0].Executor == "" {
		t.Errorf("attempts: %+v", r.Attempts)
	}
	if !strings.HasSuffix(s.output(t), "maps 6\n") {
		t.Errorf("output: %q", s.output(t))
	}
	if got := strings.Join(s.mu.calls, ", "); got != "plan, cut reduce, commit" {
		t.Errorf("calls of the engine: %s", got)
	}
	checkGone(t, s)
}

// checkGone says that a job that is over left nothing but its outputs and logs.
func checkGone(t *testing.T, s *site) {
	t.Helper()
	scratch, err := filepath.Glob(filepath.Join(filepath.Dir(s.body.node), "scratch", "*"))
	if err != nil || len(scratch) > 0 {
		t.Errorf("scratch: %v, %v", scratch, err)
	}
	if v, err := s.co.Get(t.Context(), amrpc.Key(s.job.ID)); err != nil ||
		!strings.Contains(string(v.Data), `"over":true`) {
		t.Errorf("the word that the job is over: %s, %v", v.Data, err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(s.body.node), "logs", "map-0.0.log")); err != nil {
		t.Error(err)
	}
}

func TestSmallJobIsQuick(t *testing.T) {
	s := newSite(t)
	s.engine.maps = 1
	began := time.Now()
	s.run(t)
	t.Logf("%v", time.Since(began))
}

func ids(list []scheduler.AttemptID) string {
	var texts []string
	for _, id := range list {
		texts = append(texts, id.String())
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}
