package am_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/amrpc"
	"github.com/seed3322913c/runner/scheduler/executor"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/fault"
	"github.com/seed3322913c/runner/scheduler/rpc"
)

// puppet is an executor whose every call the test makes.
type puppet struct {
	amrpc.ExecutorsClient
	me   *amrpc.Executor
	last uint64 // number of the latest order that it was given
}

// endpoint waits for the application master and returns where it is.
func (s *site) endpoint(t *testing.T, ctx context.Context) amrpc.Endpoint {
	t.Helper()
	for e, err := range amrpc.Follow(ctx, s.co, s.job.ID) {
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	panic("Follow ended without an error")
}

func newPuppet(t *testing.T, address string, p rpc.Peer) *puppet {
	t.Helper()
	conn, err := rpc.Dial(address, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &puppet{
		ExecutorsClient: amrpc.NewExecutorsClient(conn), me: &amrpc.Executor{Container: "executor-7.0", Instance: 7},
	}
}

// puppetSite starts a job whose launcher starts no executors, and returns the only one.
func puppetSite(t *testing.T) (context.Context, *site, *puppet) {
	t.Helper()
	s := newSite(t)
	s.puppets = true
	s.engine.maps = 2
	ctx, _ := s.start(t)
	e := s.endpoint(t, ctx)
	return ctx, s, newPuppet(t, e.Address, rpc.Peer{Secret: secret, Epoch: e.Epoch})
}

func (p *puppet) register(t *testing.T, ctx context.Context, holds ...string) {
	t.Helper()
	_, err := p.Register(ctx, &amrpc.RegisterRequest{Executor: p.me, Node: "127.0.0.1:7", Cores: 1, Holds: holds})
	if err != nil {
		t.Fatal(err)
	}
}

// next returns the orders after a number, as text.
func (p *puppet) next(t *testing.T, ctx context.Context, after uint64) string {
	t.Helper()
	reply, err := p.Next(ctx, &amrpc.NextRequest{Executor: p.me, After: after})
	if err != nil {
		t.Error(err)
	}
	var texts []string
	for _, o := range reply.GetOrders() {
		p.last = o.Number
		switch what := o.What.(type) {
		case *amrpc.Order_Start:
			texts = append(texts, "start "+what.Start.Attempt)
		case *amrpc.Order_Kill:
			texts = append(texts, "kill "+what.Kill)
		case *amrpc.Order_Leave:
			texts = append(texts, "leave")
		}
	}
	return strings.Join(texts, ", ")
}

func (p *puppet) succeed(t *testing.T, ctx context.Context, attempt string) (taken bool) {
	t.Helper()
	reply, err := p.Report(ctx, &amrpc.ReportRequest{
		Executor: p.me, Attempt: attempt, State: "SUCCEEDED", Data: []byte(attempt),
	})
	if err != nil {
		t.Fatal(err)
	}
	return reply.Taken
}

func TestStrangersAreRefused(t *testing.T) {
	ctx, s, _ := puppetSite(t)
	e := s.endpoint(t, ctx)
	for name, c := range map[string]struct {
		peer rpc.Peer
		want errs.Kind
	}{
		"no secret":     {rpc.Peer{Epoch: e.Epoch}, errs.Permission},
		"wrong secret":  {rpc.Peer{Secret: "x", Epoch: e.Epoch}, errs.Permission},
		"earlier epoch": {rpc.Peer{Secret: secret, Epoch: e.Epoch - 1}, errs.Fenced},
		"later epoch":   {rpc.Peer{Secret: secret, Epoch: e.Epoch + 1}, errs.Fenced},
		"no epoch":      {rpc.Peer{Secret: secret}, errs.Fenced},
	} {
		p := newPuppet(t, e.Address, c.peer)
		if _, err := p.Register(ctx, &amrpc.RegisterRequest{Executor: p.me}); errs.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := newPuppet(t, e.Address, rpc.Peer{Secret: secret, Epoch: e.Epoch})
	if _, err := p.Next(ctx, &amrpc.NextRequest{Executor: p.me}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("orders without a registration: %v", err)
	}
	if reply, err := p.Heartbeat(ctx, &amrpc.HeartbeatRequest{Executor: p.me}); err != nil || !reply.Unknown {
		t.Errorf("heartbeat without a registration: %v, %v", reply, err)
	}
	_, err := p.Register(ctx, &amrpc.RegisterRequest{Executor: p.me, Holds: []string{"nonsense"}})
	if errs.KindOf(err) != errs.Invalid {
		t.Errorf("nonsense: %v", err)
	}
}

func TestLostRepliesAreHarmless(t *testing.T) {
	ctx, s, p := puppetSite(t)
	p.register(t, ctx)
	for range 2 { // the first reply was lost
		if got := p.next(t, ctx, 0); got != "start map-0.0" {
			t.Errorf("got %q", got)
		}
	}
	for range 2 {
		if !p.succeed(t, ctx, "map-0.0") {
			t.Error("not taken")
		}
	}
	if got := p.next(t, ctx, 1); got != "start map-1.0" {
		t.Errorf("got %q", got)
	}
	p.register(t, ctx, "map-1.0") // the connection broke
	if !p.succeed(t, ctx, "map-1.0") || p.succeed(t, ctx, "map-9.0") {
		t.Error("taken: the wrong ones")
	}
	for _, after := range []uint64{2, 0} { // one that comes late from the registration before confirms nothing of this one
		if got := p.next(t, ctx, after); got != "start reduce-0.0" {
			t.Errorf("got %q", got)
		}
	}
	p.succeed(t, ctx, "reduce-0.0")
	if got := p.next(t, ctx, 3); got != "start reduce-1.0" {
		t.Errorf("got %q", got)
	}
	p.succeed(t, ctx, "reduce-1.0")
	if r := s.end(t, ctx); r.State != scheduler.JobSucceeded || len(r.Attempts) != 4 {
		t.Errorf("%s, %d attempts", r.State, len(r.Attempts))
	}
}

func TestSilentExecutorLosesItsAttempts(t *testing.T) {
	s := newSite(t)
	s.puppets = true
	s.options.Dead = 50 * time.Millisecond
	began, passed := time.Now(), atomic.Int64{} // time stands still: nobody is silent only because this machine is slow
	s.options.Now = func() time.Time { return began.Add(time.Duration(passed.Load())) }
	ctx, c := s.start(t)
	e := s.endpoint(t, ctx)
	p := newPuppet(t, e.Address, rpc.Peer{Secret: secret, Epoch: e.Epoch})
	p.register(t, ctx)
	if got := p.next(t, ctx, 0); got != "start map-0.0" {
		t.Errorf("got %q", got)
	}
	passed.Store(int64(time.Second))
	for r, err := range c.Watch(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(r.Attempts, func(a am.AttemptReport) bool { return a.State == scheduler.AttemptLost })
		if i < 0 {
			continue
		}
		if got := r.Attempts[i].Error; got != "was not heard of for 50ms" || len(r.Executors) != 0 {
			t.Errorf("got %q, executors %v", got, r.Executors)
		}
		break
	}
	if reply, err := p.Heartbeat(ctx, &amrpc.HeartbeatRequest{Executor: p.me}); err != nil || !reply.Unknown {
		t.Errorf("heartbeat: %v, %v", reply, err)
	}
	p.register(t, ctx, "map-0.0") // it lives after all, but its attempt is lost
	got := p.next(t, ctx, 0)
	if got == "kill map-0.0" { // what it gets instead is recorded first
		got += ", " + p.next(t, ctx, p.last)
	}
	if !strings.HasPrefix(got, "kill map-0.0, start map-") {
		t.Errorf("got %q", got)
	}
	if err := c.Kill(ctx, "enough"); err != nil {
		t.Fatal(err)
	}
	s.end(t, ctx)
}

func TestProgressIsReported(t *testing.T) {
	ctx, s, p := puppetSite(t)
	p.register(t, ctx)
	p.next(t, ctx, 0)
	for _, done := range []int64{10, 30} { // absolute values: sending them again changes nothing
		for range 2 {
			_, err := p.Heartbeat(ctx, &amrpc.HeartbeatRequest{Executor: p.me, Running: []*amrpc.Progress{{
				Attempt: "map-0.0", Done: done, Status: "so far",
				Counters: []*amrpc.Counter{{Group: "g", Name: "n", Value: done}},
			}}})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	c, err := am.Dial(ctx, s.co, s.job.ID, secret)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if st := r.Stages[0]; st.Worked != 30 || st.Weight != 200 || st.Running != 1 || r.Counters.Get("g", "n") != 30 {
		t.Errorf("stage %+v, counted %d", st, r.Counters.Get("g", "n"))
	}
	if len(r.Attempts) != 1 || r.Attempts[0].Status != "so far" || r.Executors[0].Running != 1 {
		t.Errorf("attempts %+v, executors %+v", r.Attempts, r.Executors)
	}
	if !r.Stages[1].Open {
		t.Errorf("stage %+v", r.Stages[1])
	}
}

// lawless is a coordinator whose leases everybody gets.
type lawless struct{ coord.Coordinator }

func (lawless) Acquire(context.Context, coord.Key, time.Duration) (coord.Lease, error) {
	return freeLease(make(chan struct{})), nil
}

type freeLease chan struct{}

func (freeLease) Token() uint64                 { return 1 }
func (l freeLease) Done() <-chan struct{}       { return l }
func (freeLease) Release(context.Context) error { return nil }

// TestSecondMasterFencesTheFirst: two application masters at once, since a lease is only a hint.
func TestSecondMasterFencesTheFirst(t *testing.T) {
	s := newSite(t)
	s.co = lawless{s.co}
	var second error
	ended := make(chan struct{})
	first := once()
	s.body.before = func(_ context.Context, a scheduler.Attempt) error {
		if isTask(a, "map-3") && first() {
			go func() {
				defer close(ended)
				second = am.Run(context.Background(), s.amConfig())
			}()
			// The first one learns of it when it writes again, which may be when this attempt ends.
			for e, err := range amrpc.Follow(context.Background(), s.co, s.job.ID) {
				if err != nil || e.Epoch > 1 {
					return err
				}
			}
		}
		return nil
	}
	ctx, _ := s.start(t)
	r := s.end(t, ctx)
	<-ended
	s.mustMatch(t, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	// The launcher starts the first one again, which may fence the second in its turn.
	fenced := func(err error) bool { return errs.KindOf(err) == errs.Fenced }
	if !slices.ContainsFunc(s.mu.errors, fenced) || second != nil && !fenced(second) {
		t.Errorf("the first ended with %v, the second with %v", s.mu.errors, second)
	}
}

// TestAnotherOneHasItsPlace lets an executor come whose container has ended, the launcher says. It must not end as if
// its work were done: no launcher would start another one.
func TestAnotherOneHasItsPlace(t *testing.T) {
	ctx, s, _ := puppetSite(t)
	for e, err := range s.launcher.Watch(ctx, s.executors()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Container.Index == 0 && e.State == launch.Running {
			break
		}
	}
	if err := s.launcher.Crash(s.executors(), 0); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	err := executor.Run(ctx, executor.Config{
		Job: s.job, Container: "executor-0.0", Coord: s.co, Secret: secret, Body: s.body,
		Dirs: executor.Dirs{Node: s.body.node, Scratch: dir, Logs: dir},
	})
	if errs.KindOf(err) != errs.Exist {
		t.Errorf("it ends with %v", err)
	}
}

func TestLauncherTroublePasses(t *testing.T) {
	s := newSite(t)
	away := errs.Errorf("launch", errs.Unavailable, nil, "away")
	s.wrap = func(l launch.Launcher) launch.Launcher {
		return fault.New(l,
			fault.Rule{Op: "Start", Nth: 1, Err: away}, fault.Rule{Op: "Start", Nth: 2, Err: away, Lost: true},
			fault.Rule{Op: "Scale", Nth: 1, Err: away}, fault.Rule{Op: "Watch", Nth: 1, Err: away},
		)
	}
	s.mustMatch(t, s.run(t))
}

func TestLauncherRefuses(t *testing.T) {
	s := newSite(t)
	s.wrap = func(l launch.Launcher) launch.Launcher {
		return fault.New(l, fault.Rule{Op: "Start", Nth: 1, Err: errs.Errorf("launch", errs.Permission, nil, "no")})
	}
	r := s.run(t)
	want := "executors could not be started: launch: permission denied: no"
	if r.State != scheduler.JobFailed || !strings.Contains(r.Message, want) {
		t.Errorf("%s: %s", r.State, r.Message)
	}
}

func TestLoadOfAJobThatNeverBegan(t *testing.T) {
	s := newSite(t)
	r, err := am.Load(t.Context(), s.st, s.job)
	if err != nil || r.State != scheduler.JobSubmitted || r.Job != s.job.ID {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestLoadWhileItRuns(t *testing.T) {
	ctx, s, p := puppetSite(t)
	p.register(t, ctx)
	p.next(t, ctx, 0)
	p.succeed(t, ctx, "map-0.0")
	r, err := am.Load(ctx, s.st, s.job)
	if err != nil || r.State != scheduler.JobRunning || r.Stages[0].Done != 1 || r.Stages[0].Tasks != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestBadConfigs(t *testing.T) {
	for name, change := range map[string]func(*am.Config){
		"no secret": func(c *am.Config) { c.Secret = "" },
		"no engine": func(c *am.Config) { c.Engine = nil },
		"no job id": func(c *am.Config) { c.Job.ID = "" },
	} {
		cfg := newSite(t).amConfig()
		change(&cfg)
		if err := am.Run(t.Context(), cfg); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
