package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	coordmem "github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/queue"
)

// world is a fleet of 4 cores in memory. A job ends when the test says so.
type world struct {
	st      store.Store
	coord   coord.Coordinator
	changed chan struct{} // holds a token when something has happened
	mu      sync.Mutex
	began   []scheduler.JobID // in this order
	alive   map[scheduler.JobID]chan struct{}
	allowed map[scheduler.JobID]int
	wants   map[scheduler.JobID]int
	rounds  int // that have looked
}

func newWorld() *world {
	return &world{
		st: mem.New(), coord: coordmem.New(), changed: make(chan struct{}, 1), alive: map[scheduler.JobID]chan struct{}{},
		allowed: map[scheduler.JobID]int{}, wants: map[scheduler.JobID]int{},
	}
}

func (w *world) happened() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *world) Look(context.Context, []scheduler.JobID) (fleet.View, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rounds++
	v := fleet.View{Alive: map[scheduler.JobID]int{}, Wants: map[scheduler.JobID]int{},
		Total: queue.Resources{Cores: 4, Memory: 1 << 40}}
	v.Rooms = []queue.Room{{Resources: v.Total, Machines: 1}}
	v.Nodes = []client.Node{{ID: "n", State: "ready", Total: v.Total}}
	for id := range w.alive {
		v.Alive[id] = w.allowed[id]
	}
	for id, n := range w.wants {
		v.Wants[id] = n
	}
	return v, nil
}

// Launch starts nothing of a job that is over, as an application master does that finds the end in its ledger: a control
// that has just been elected may launch what ends at that moment.
func (w *world) Launch(ctx context.Context, job scheduler.Job, n int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.happened()
	report, err := am.Load(ctx, w.st, job)
	if err != nil || report.State.Final() {
		return err
	}
	w.allowed[job.ID] = n
	if w.alive[job.ID] == nil {
		w.alive[job.ID] = make(chan struct{})
		w.began = append(w.began, job.ID)
	}
	return nil
}

func (w *world) Await(ctx context.Context, job scheduler.Job) (am.Report, error) {
	w.mu.Lock()
	over := w.alive[job.ID]
	w.mu.Unlock()
	if over != nil {
		select {
		case <-over:
		case <-ctx.Done():
			return am.Report{}, ctx.Err()
		}
	}
	return am.Load(ctx, w.st, job)
}

func (w *world) Allow(_ context.Context, id scheduler.JobID, n int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.happened()
	w.allowed[id] = n
	return nil
}

func (w *world) End(ctx context.Context, id scheduler.JobID, reason string) error {
	return w.finish(ctx, id, scheduler.JobKilled, reason)
}

// finish ends a job as its application master would.
func (w *world) finish(ctx context.Context, id scheduler.JobID, state scheduler.JobState, why string) error {
	if _, err := am.End(ctx, w.st, scheduler.Job{ID: id}, am.Ending{State: state, Why: why, Time: time.Unix(1e9, 0)}); err != nil {
		return err
	}
	w.desert(id)
	return nil
}

// desert kills a job's application master, and there is no other.
func (w *world) desert(id scheduler.JobID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.alive[id])
	delete(w.alive, id)
}

func (w *world) want(id scheduler.JobID, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wants[id] = n
}

// looks is how many rounds of decisions there were.
func (w *world) looks() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rounds
}

func (w *world) launched() []scheduler.JobID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.began)
}

// until waits until something is true of the world.
func (w *world) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-w.changed:
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("never: " + what)
		}
	}
}

// start runs a control of the world until the test ends or stop is called.
func (w *world) start(t *testing.T, address string) (s *Server, stop func()) {
	t.Helper()
	return w.startWith(t, address, w)
}

// startWith runs a control that sees the world as a fleet.
func (w *world) startWith(t *testing.T, address string, f Fleet) (s *Server, stop func()) {
	t.Helper()
	s = New(Config{
		Store: w.st, Coord: w.coord, Fleet: f, Jobs: embedded.Jobs{Store: w.st}, Address: address,
		HandOn:  http.DefaultTransport,
		Compile: func(spec []byte) (job scheduler.Job, err error) { return job, json.Unmarshal(spec, &job) },
		Check: func(_ context.Context, job scheduler.Job) error {
			if slices.Contains(w.launched(), job.ID) {
				return errs.Errorf("", errs.Exist, nil, "its output is there")
			}
			return nil
		},
		Size:    func(job scheduler.Job, _ int) (int, int) { return max(1, job.Resources.Executors), 0 },
		Options: Options{Name: "test", TTL: time.Second, Every: 20 * time.Millisecond},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func (w *world) leads(t *testing.T, s *Server) {
	t.Helper()
	w.until(t, "a control leads", func() bool { _, err := s.leading(); return err == nil })
}

// submission is a job of so many cores.
func submission(name string, cores int) client.Submission {
	return client.Submission{Key: name, Job: &scheduler.Job{
		Name: name, Kind: "toy", Resources: scheduler.Resources{Executors: cores, CPU: 1, Memory: 1 << 20},
	}}
}

func submit(t *testing.T, s *Server, sub client.Submission) scheduler.JobID {
	t.Helper()
	id, err := s.Submit(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func state(t *testing.T, s *Server, id scheduler.JobID) embedded.Status {
	t.Helper()
	status, err := s.Status(t.Context(), scheduler.Job{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// TestJobsTakeTurns: a job that has no room waits and says why, and runs when there is.
func TestJobsTakeTurns(t *testing.T) {
	w := newWorld()
	s, _ := w.start(t, "a")
	w.leads(t, s)
	first := submit(t, s, submission("first", 4))
	w.until(t, "the first runs", func() bool { return len(w.launched()) == 1 })
	second := submit(t, s, submission("second", 2))
	w.until(t, "the second says why it waits", func() bool { return state(t, s, second).Waits != "" })
	if got := state(t, s, second); got.State != scheduler.JobQueued || got.Queue != "default" ||
		got.Waits != "the machines are full" {
		t.Errorf("it is %s in %s: %s", got.State, got.Queue, got.Waits)
	}
	w.want(first, 1) // its plan is small
	w.until(t, "the second runs", func() bool { return len(w.launched()) == 2 })
	for _, id := range []scheduler.JobID{first, second} {
		if err := w.finish(t.Context(), id, scheduler.JobSucceeded, ""); err != nil {
			t.Fatal(err)
		}
	}
	w.until(t, "nobody is left", func() bool {
		list, err := s.Queues(t.Context())
		return err == nil &&
			len(list.Jobs) == 0
	})
	if got := w.launched(); !slices.Equal(got, []scheduler.JobID{first, second}) {
		t.Errorf("launched were %v", got)
	}
}

// TestKeys: what is said again is the same job, before, while and after it runs.
func TestKeys(t *testing.T) {
	w := newWorld()
	s, _ := w.start(t, "a")
	w.leads(t, s)
	id := submit(t, s, submission("words", 1))
	w.until(t, "it runs", func() bool { return len(w.launched()) == 1 })
	if again := submit(t, s, submission("words", 1)); again != id {
		t.Errorf("said again it is %s, not %s", again, id)
	}
	if err := w.finish(t.Context(), id, scheduler.JobSucceeded, ""); err != nil {
		t.Fatal(err)
	}
	w.until(t, "it has left", func() bool { list, err := s.Queues(t.Context()); return err == nil && len(list.Jobs) == 0 })
	if again := submit(t, s, submission("words", 1)); again != id || len(w.launched()) != 1 {
		t.Errorf("said when it is over it is %s, launched %v", again, w.launched())
	}
	other := submission("words", 1)
	other.Job.Output = "s3://elsewhere"
	if _, err := s.Submit(t.Context(), other); errs.KindOf(err) != errs.Exist {
		t.Errorf("another job with the same key: %v", err)
	}
	other.Key = ""
	if fresh := submit(t, s, other); fresh == id {
		t.Error("without a key it is the same job")
	}
}

// TestKill: whoever waits, runs, or was cut off can be killed, once.
func TestKill(t *testing.T) {
	w := newWorld()
	s, _ := w.start(t, "a")
	w.leads(t, s)
	first := submit(t, s, submission("first", 4))
	w.until(t, "it runs", func() bool { return len(w.launched()) == 1 })
	second := submit(t, s, submission("second", 4))
	for _, id := range []scheduler.JobID{second, first} {
		got, err := s.Kill(t.Context(), scheduler.Job{ID: id}, "killed by ann")
		if err != nil || got.State != scheduler.JobKilled || got.Message != "killed by ann" {
			t.Errorf("%s: %s %q, %v", id, got.State, got.Message, err)
		}
	}
	if _, err := s.Kill(t.Context(), scheduler.Job{ID: first}, "again"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("killed twice: %v", err)
	}
	if got := w.launched(); len(got) != 1 {
		t.Errorf("launched were %v", got)
	}
}

// TestRefused: what can never run fails with the reason, and a queue that is not there is said at once.
func TestRefused(t *testing.T) {
	w := newWorld()
	s, _ := w.start(t, "a")
	w.leads(t, s)
	big := submission("big", 1)
	big.Job.Resources.CPU = 5
	id := submit(t, s, big)
	w.until(t, "it has failed", func() bool { return state(t, s, id).State == scheduler.JobFailed })
	if got := state(t, s, id); got.Message != "no machine is large enough for one of its executors" {
		t.Errorf("it failed since %q", got.Message)
	}
	lost := submission("lost", 1)
	lost.Job.Queue = "nights"
	if _, err := s.Submit(t.Context(), lost); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a queue that is not there: %v", err)
	}
	if _, err := s.Submit(t.Context(), client.Submission{}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("nothing was submitted: %v", err)
	}
}

// TestQueuesChange: queues are divided anew while jobs run, but not from under them.
func TestQueuesChange(t *testing.T) {
	w := newWorld()
	s, _ := w.start(t, "a")
	w.leads(t, s)
	submit(t, s, submission("first", 1))
	halves := queue.Config{Name: "root", Children: []queue.Config{{Name: "nights", Share: 0.5},
		{Name: "default", Share: 0.5}}}
	list, err := s.SetQueues(t.Context(), halves)
	if err != nil || len(list.Queues) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	night := submission("night", 1)
	night.Job.Queue = "nights"
	submit(t, s, night)
	halves.Children = halves.Children[1:]
	if _, err := s.SetQueues(t.Context(), halves); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a queue that has a job goes: %v", err)
	}
	halves.Children[0].Share = 2
	if _, err := s.SetQueues(t.Context(), halves); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a share of 2: %v", err)
	}
}

// TestLeaderLost: when the leader goes, another one goes on with what waits and what runs. Nothing is lost, and nothing
// is launched twice.
func TestLeaderLost(t *testing.T) {
	w := newWorld()
	a, stop := w.start(t, "a")
	w.leads(t, a)
	var all []scheduler.JobID
	for i := range 6 {
		all = append(all, submit(t, a, submission(fmt.Sprintf("job%d", i), 2)))
	}
	w.until(t, "two run", func() bool { return len(w.launched()) == 2 })
	b, _ := w.start(t, "b")
	stop()
	w.leads(t, b)
	if again := submit(t, b, submission("job5", 2)); again != all[5] {
		t.Errorf("said to the successor it is %s, not %s", again, all[5])
	}
	for i := range all {
		w.until(t, "the next runs", func() bool { return len(w.launched()) > i })
		if err := w.finish(t.Context(), w.launched()[i], scheduler.JobSucceeded, ""); err != nil {
			t.Fatal(err)
		}
	}
	w.until(t, "nobody is left", func() bool {
		list, err := b.Queues(t.Context())
		return err == nil &&
			len(list.Jobs) == 0
	})
	got := w.launched()
	slices.Sort(got)
	slices.Sort(all)
	if !slices.Equal(got, all) {
		t.Errorf("launched were %v, submitted %v", got, all)
	}
}

// TestHandOn: who does not lead answers with what the leader answers, and says so when there is none.
func TestHandOn(t *testing.T) {
	w := newWorld()
	answered := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it answers itself") })
	serve := func() *httptest.Server {
		server := httptest.NewServer(nil)
		t.Cleanup(server.Close)
		return server
	}
	first, second := serve(), serve()
	a, stop := w.start(t, first.URL)
	w.leads(t, a)
	v1, err := api.New(api.Options{}, api.ControlPart(a, a))
	if err != nil {
		t.Fatal(err)
	}
	first.Config.Handler = a.Handler(v1)
	b, _ := w.start(t, second.URL)
	second.Config.Handler = b.Handler(answered)
	c := client.New(client.Options{URL: second.URL})
	got, err := c.Cluster(t.Context()) // asks again while the second does not know who leads
	if err != nil || got.Leader != first.URL || got.Name != "test" {
		t.Errorf("%+v, %v", got, err)
	}
	id, err := c.Submit(t.Context(), submission("words", 1))
	if err != nil {
		t.Fatal(err)
	}
	w.until(t, "it runs", func() bool { return slices.Equal(w.launched(), []scheduler.JobID{id}) })
	r := httptest.NewRequest(http.MethodGet, "/v1/cluster", nil)
	r.Header.Set(handedOn, "somebody")
	answer := httptest.NewRecorder()
	if b.Handler(answered).ServeHTTP(answer, r); answer.Code != http.StatusServiceUnavailable {
		t.Errorf("handed on twice: %d", answer.Code)
	}
	stop()
}
