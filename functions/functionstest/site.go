package functionstest

import (
	"context"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	coordmem "github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/store"
	storemem "github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/mapreduce/shuffle"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/cache"
	"github.com/seed3322913c/runner/scheduler/executor"
	"github.com/seed3322913c/runner/scheduler/launch"
	launchmem "github.com/seed3322913c/runner/scheduler/launch/mem"
)

// site is everything that a job needs: the containers are goroutines, what is between them is real.
type site struct {
	faults
	t        testing.TB
	job      scheduler.Job
	output   string // a folder
	dir      string // local disk
	node     string // address of the shuffle server
	store    store.Store
	resolve  store.Resolve
	coord    *coordmem.Coordinator
	launcher *launchmem.Launcher
	running  sync.WaitGroup // containers
}

const (
	secret   = "of a test"
	patience = 2 * time.Second // with a shuffle server that does not answer
)

func newSite(t testing.TB, job scheduler.Job, wanted []Fault) *site {
	t.Helper()
	s := &site{
		t: t, job: job, output: strings.TrimPrefix(job.Output, "file://"), dir: t.TempDir(), store: storemem.New(),
		resolve: files(t), coord: coordmem.New(),
	}
	var err error
	if s.job, err = cache.Stage(t.Context(), s.resolve, s.store, job); err != nil {
		t.Fatal(err)
	}
	s.faults.all, s.faults.mu.done = wanted, map[int]bool{}
	segments := shuffle.NewServer(s.nodeDir(""), func(scheduler.JobID) (string, bool) { return secret, true })
	server := httptest.NewServer(s.server(segments))
	t.Cleanup(server.Close)
	s.node = strings.TrimPrefix(server.URL, "http://")
	s.launcher = launchmem.New(s.container)
	t.Cleanup(func() {
		s.launcher.Close()
		s.running.Wait()
	})
	return s
}

func (s *site) nodeDir(job scheduler.JobID) string { return filepath.Join(s.dir, "node", string(job)) }

// run runs the job to its end.
func (s *site) run(ctx context.Context) am.Report {
	s.t.Helper()
	master := launch.Group{
		ID: launch.GroupID{Job: s.job.ID, Role: "am"}, Command: []string{"am"}, Count: 1,
		Restart: launch.Restart{Attempts: s.job.Retry.Job, Delay: time.Millisecond},
	}
	if err := s.launcher.Start(ctx, master); err != nil {
		s.t.Fatal(err)
	}
	for e, err := range s.launcher.Watch(ctx, master.ID) {
		if err != nil {
			s.t.Fatal(err)
		}
		if e.State == launch.Done || e.State == launch.Failed {
			break
		}
	}
	return s.finished(ctx)
}

// container is what the goroutines do.
func (s *site) container(ctx context.Context, g launch.Group, c launch.Container) error {
	s.running.Add(1)
	defer s.running.Done()
	if g.ID.Role == "am" {
		slots := s.job.Resources.Executors
		return am.Run(ctx, am.Config{
			Job: s.job, Store: s.store, Coord: s.coord, Launcher: s.launcher, Secret: secret, Session: "test",
			Engine: engine{mapreduce.NewEngine(s.job, s.store, s.resolve, mapreduce.EngineOptions{Slots: slots}), &s.faults},
			Executors: launch.Group{
				Command: []string{"executor"}, Restart: launch.Restart{Attempts: len(s.faults.all), Delay: time.Millisecond},
			},
		})
	}
	inner := mapreduce.NewBody(s.resolve, mapreduce.BodyOptions{
		Shuffle: shuffle.Options{Patience: patience}, NoLocal: true, Store: s.store,
	})
	defer inner.Close()
	return executor.Run(ctx, executor.Config{
		Job: s.job, Container: c.String(), Coord: s.coord, Secret: secret,
		Body: body{inner, &s.faults, func() {
			if err := s.launcher.Crash(g.ID, c.Index); err != nil {
				s.t.Error(err)
			}
		}},
		Dirs: executor.Dirs{
			Node: s.nodeDir(s.job.ID), Scratch: filepath.Join(s.dir, "scratch"), Logs: filepath.Join(s.dir, "logs"),
		},
		Options: executor.Options{Node: s.node},
	})
}
