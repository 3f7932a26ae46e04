//go:build unix

package am_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/coord/dir"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/executor"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/local"
	"github.com/seed3322913c/runner/scheduler/launch/remote"
)

// The test binary is also the processes of an embedded job. With the word `process` as its first argument it is one of
// them: process ROLE HOME SESSION.
//
//	test ─▶ supervisor (launcher) ─┬▶ am ──asks──▶ launcher
//	                               └▶ executors
const process = "be-a-process"

const (
	crashMaps   = 12
	crashRounds = 800 // tens of milliseconds each
)

var crashJob = scheduler.Job{
	ID: "abcd-toy", Name: "toy", Kind: "toy", Resources: scheduler.Resources{Executors: 2, CPU: 1},
	Retry: scheduler.Retry{Task: 4, Job: 50},
}

const launcherEnv, secretEnv = "TOY_LAUNCHER", "TOY_SECRET"

func beProcess(args []string) int {
	role, home, session := args[0], args[1], args[2]
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	pid := filepath.Join(home, "pids", fmt.Sprintf("%s-%d", role, os.Getpid()))
	err := errors.Join(os.MkdirAll(filepath.Dir(pid), 0o755), os.WriteFile(pid, nil, 0o644))
	if err == nil {
		switch role {
		case "supervisor":
			err = beSupervisor(ctx, home, session)
		case "am":
			err = beMaster(ctx, home, session)
		case "executor":
			err = beExecutor(ctx, home)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role, err)
		return 1
	}
	return 0
}

func processGroup(role, home, session string) launch.Group {
	return launch.Group{
		ID: launch.GroupID{Job: crashJob.ID, Role: role}, Command: []string{os.Args[0], process, role, home, session},
		Count: 1, Restart: launch.Restart{Attempts: 100, Delay: time.Millisecond, MaxDelay: 10 * time.Millisecond},
		LogDir: filepath.Join(home, "logs"),
	}
}

func beSupervisor(ctx context.Context, home, session string) error {
	l := local.New(local.Options{})
	defer l.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { served <- remote.Serve(ctx, ln, l, secret) }()
	g := processGroup("am", home, session)
	g.Env = map[string]string{launcherEnv: ln.Addr().String()}
	g.Secrets = map[string]string{secretEnv: secret}
	if err := l.Start(ctx, g); err != nil {
		return err
	}
	for e, err := range l.Watch(ctx, g.ID) {
		switch {
		case err != nil:
			return err
		case e.State == launch.Done:
			return nil
		case e.State == launch.Failed:
			return errors.New(e.Exit.String())
		}
	}
	return <-served
}

// open opens what the processes share.
func openHome(home string) (*file.Store, *dir.Coordinator, error) {
	st, err := file.New(filepath.Join(home, "store"), file.Options{})
	if err != nil {
		return nil, nil, err
	}
	co, err := dir.Open(filepath.Join(home, "coord"))
	return st, co, err
}

func beMaster(ctx context.Context, home, session string) error {
	st, co, err := openHome(home)
	if err != nil {
		return err
	}
	l, err := remote.Dial(os.Getenv(launcherEnv), os.Getenv(secretEnv))
	if err != nil {
		return err
	}
	defer l.Close()
	g := processGroup("executor", home, session)
	g.Secrets = map[string]string{secretEnv: os.Getenv(secretEnv)}
	return am.Run(ctx, am.Config{
		Job: crashJob, Engine: &toy{st: st, job: crashJob.ID, maps: crashMaps}, Store: st, Coord: co, Launcher: l,
		Executors: g, Secret: os.Getenv(secretEnv), Session: session,
		Options: am.Options{Heartbeat: 100 * time.Millisecond, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))},
	})
}

func beExecutor(ctx context.Context, home string) error {
	_, co, err := openHome(home)
	if err != nil {
		return err
	}
	node := filepath.Join(home, "node")
	return executor.Run(ctx, executor.Config{
		Job: crashJob, Container: os.Getenv(launch.ContainerEnv), Coord: co, Secret: os.Getenv(secretEnv),
		Body:    toyBody{node: node, rounds: crashRounds},
		Dirs:    executor.Dirs{Node: node, Scratch: filepath.Join(home, "scratch"), Logs: filepath.Join(home, "logs")},
		Options: executor.Options{Node: "127.0.0.1:7", Log: slog.New(slog.NewTextHandler(os.Stderr, nil))},
	})
}

// TestProcessesAreKilled kills executors, application masters and supervisors (and with them everything) by SIGKILL at
// random moments, and starts again what nobody else does. The job publishes what it would have published in peace.
func TestProcessesAreKilled(t *testing.T) {
	seeds := 6
	if testing.Short() {
		seeds = 1
	}
	published := want(t, crashMaps, crashRounds)
	for seed := range seeds {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			h := &killer{home: t.TempDir(), random: rand.New(rand.NewPCG(uint64(seed), 1))}
			h.run(t)
			h.check(t, published)
		})
	}
}

type killer struct {
	home   string
	random *rand.Rand
	kills  []string
}

// run supervises the job until it is over.
func (h *killer) run(t *testing.T) {
	t.Helper()
	for session := 0; session < 20; session++ {
		var out bytes.Buffer
		cmd := exec.Command(os.Args[0], process, "supervisor", h.home, fmt.Sprintf("s%d", session))
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		if h.disturb(t, ended) {
			return
		}
		if t.Failed() {
			t.Fatalf("supervisor: %s\n%s", out.String(), h.logs())
		}
	}
	t.Fatalf("not over after %v", h.kills)
}

// disturb kills until the supervisor has ended; it returns true if that was in peace.
func (h *killer) disturb(t *testing.T, ended <-chan error) (over bool) {
	killed := false
	for {
		var next <-chan time.Time
		if len(h.kills) < 10 {
			next = time.After(time.Duration(5+h.random.IntN(100)) * time.Millisecond)
		}
		select {
		case err := <-ended:
			if err != nil && !killed {
				t.Errorf("the supervisor ended: %v", err)
			}
			return err == nil
		case <-next:
			role := []string{"executor", "executor", "am", "am", "supervisor"}[h.random.IntN(5)]
			if h.kill(t, role) {
				h.kills = append(h.kills, role)
				killed = killed || role == "supervisor"
			}
		case <-time.After(time.Minute):
			t.Fatalf("stuck after %v\n%s", h.kills, h.logs())
		}
	}
}

// kill kills one living process of a role.
func (h *killer) kill(t *testing.T, role string) bool {
	files, err := filepath.Glob(filepath.Join(h.home, "pids", role+"-*"))
	if err != nil {
		t.Fatal(err)
	}
	h.random.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	for _, f := range files {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(f), role+"-"))
		if err != nil {
			t.Fatal(err)
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !bytes.Contains(line, []byte(h.home)) { // ended, and perhaps its id is somebody else's
			os.Remove(f)
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err == nil {
			return true
		}
	}
	return false
}

// logs returns what the processes said.
func (h *killer) logs() string {
	var b strings.Builder
	files, _ := filepath.Glob(filepath.Join(h.home, "logs", "[ae][mx]*-?.log")) // the pattern is well formed
	for _, f := range files {
		data, err := os.ReadFile(f)
		fmt.Fprintf(&b, "%s: %s %v\n", filepath.Base(f), data, err)
	}
	return b.String()
}

func (h *killer) check(t *testing.T, want string) {
	t.Helper()
	st, _, err := openHome(h.home)
	if err != nil {
		t.Fatal(err)
	}
	r, err := am.Load(t.Context(), st, crashJob)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("killed %v: %d application masters, attempts %v, %v", h.kills, r.Masters, states(r), r.Ended.Sub(r.Started))
	if r.State != scheduler.JobSucceeded {
		t.Fatalf("%s: %s\n%s", r.State, r.Message, h.logs())
	}
	data, err := store.Get(t.Context(), st, toyOutput(crashJob.ID), 1<<20)
	if err != nil || string(data) != want {
		t.Errorf("published %q, want %q (%v)", data, want, err)
	}
	if n := states(r)[scheduler.AttemptFailed]; n > 0 {
		t.Errorf("%d attempts failed", n)
	}
	checkRuns(t, r)
	for _, role := range []string{"supervisor", "am", "executor"} {
		if h.kill(t, role) {
			t.Errorf("an %s was left behind", role)
		}
	}
}
