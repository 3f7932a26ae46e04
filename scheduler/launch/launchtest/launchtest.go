// Package launchtest is the suite that every launcher passes.
package launchtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// Behave is what the containers of the suite do; a driver's test runs it in each of them, with the last argument of the
// group's command. ctx ends when the container is asked to end. The error, if any, has the exit code (see ExitCode).
func Behave(ctx context.Context, how string, getenv func(string) string) error {
	verb, arg, _ := strings.Cut(how, " ")
	switch verb {
	case "run": // until asked to end
		<-ctx.Done()
		return nil
	case "stubborn": // never
		select {}
	case "exit": // with a code
		n, err := strconv.Atoi(arg)
		if err == nil && n == 0 {
			return nil
		}
		return exitCode(n)
	case "env": // succeeds if a variable has a value
		key, want, _ := strings.Cut(arg, "=")
		if got := getenv(key); got != want {
			return exitCode(3)
		}
		return nil
	}
	return exitCode(64)
}

type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// ExitCode returns the code.
func (e exitCode) ExitCode() int { return int(e) }

// ExitCode returns the exit code of a Behave that returned err.
func ExitCode(err error) int {
	var e exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return int(e)
	}
	return 1
}

// Driver is what is tested.
type Driver struct {
	New     func(t *testing.T) launch.Launcher // a fresh launcher, cleaned up when the test ends
	Command func(how string) []string          // runs Behave(how)
}

// Run runs the suite.
func Run(t *testing.T, d Driver) {
	tests := map[string]func(*testing.T, *suite){
		"starts every container once":        startsOnce,
		"a good end is DONE":                 goodEnd,
		"a bad end is tried again, then not": badEnd,
		"scale":                              scale,
		"stop":                               stop,
		"stop kills the stubborn":            stubborn,
		"stop goes on without its caller":    abandonedStop,
		"environment":                        environment,
		"watch before start":                 watchFirst,
		"refuses nonsense":                   nonsense,
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			f(t, &suite{ctx, d, d.New(t)})
		})
	}
}

type suite struct {
	ctx context.Context // of one test
	Driver
	launch.Launcher
}

var id = launch.GroupID{Job: "abcd-suite", Role: "worker"}

func (s *suite) group(count int, how string) launch.Group {
	return launch.Group{ID: id, Command: s.Command(how), Count: count, Grace: 10 * time.Second}
}

func (s *suite) start(t *testing.T, g launch.Group) {
	t.Helper()
	if err := s.Start(s.ctx, g); err != nil {
		t.Fatal(err)
	}
}

// events watches until stop returns true, and returns the latest event of each container.
func (s *suite) events(t *testing.T, stop func(map[int]launch.Event) bool) map[int]launch.Event {
	t.Helper()
	latest := map[int]launch.Event{}
	for e, err := range s.Watch(s.ctx, id) {
		if err != nil {
			t.Fatalf("watch: %v; so far %v", err, latest)
		}
		if old, ok := latest[e.Container.Index]; ok && e.Container.Restart < old.Container.Restart {
			t.Fatalf("%v after %v", e, old)
		}
		latest[e.Container.Index] = e
		if stop(latest) {
			return latest
		}
	}
	t.Fatal("watch ended by itself")
	return nil
}

// all waits until n containers are in a state.
func (s *suite) all(t *testing.T, n int, state launch.State) map[int]launch.Event {
	t.Helper()
	return s.events(t, func(latest map[int]launch.Event) bool { return count(latest, state) == n })
}

func count(latest map[int]launch.Event, state launch.State) (n int) {
	for _, e := range latest {
		if e.State == state {
			n++
		}
	}
	return n
}

func startsOnce(t *testing.T, s *suite) {
	s.start(t, s.group(3, "run"))
	for i, e := range s.all(t, 3, launch.Running) {
		if want := (launch.Container{Role: "worker", Index: i}); e.Container != want {
			t.Errorf("got %v, want %v", e.Container, want)
		}
	}
	s.start(t, s.group(5, "exit 0")) // known already: nothing changes
	if got := s.all(t, 3, launch.Running); len(got) != 3 {
		t.Errorf("the second start changed something: %v", got)
	}
}

func goodEnd(t *testing.T, s *suite) {
	g := s.group(2, "exit 0")
	g.Restart.Attempts = 5
	s.start(t, g)
	for _, e := range s.all(t, 2, launch.Done) {
		if !e.Exit.OK() || e.Container.Restart != 0 {
			t.Errorf("got %+v", e)
		}
	}
}

func badEnd(t *testing.T, s *suite) {
	g := s.group(1, "exit 7")
	g.Restart = launch.Restart{Attempts: 2, Delay: time.Millisecond}
	s.start(t, g)
	want := launch.Event{
		Container: launch.Container{Role: "worker", Restart: 2}, State: launch.Failed, Exit: launch.Exit{Code: 7},
	}
	if got := s.all(t, 1, launch.Failed)[0]; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func scale(t *testing.T, s *suite) {
	if err := s.Scale(s.ctx, id, 1); errs.KindOf(err) != errs.NotFound {
		t.Errorf("scaling an unknown group: %v", err)
	}
	s.start(t, s.group(1, "run"))
	must := func(n int) {
		if err := s.Scale(s.ctx, id, n); err != nil {
			t.Fatal(err)
		}
	}
	must(4)
	s.all(t, 4, launch.Running)
	must(2)
	latest := s.all(t, 2, launch.Done)
	if latest[0].State != launch.Running || latest[1].State != launch.Running {
		t.Errorf("the wrong ones were stopped: %v", latest)
	}
	must(3)
	latest = s.all(t, 3, launch.Running)
	if got := latest[2].Container.Restart; got == 0 {
		t.Errorf("a name was used twice: %v", latest)
	}
}

func stop(t *testing.T, s *suite) {
	if err := s.Stop(s.ctx, id); err != nil {
		t.Errorf("stopping an unknown group: %v", err)
	}
	s.start(t, s.group(3, "run"))
	s.all(t, 3, launch.Running)
	for range 2 { // the second finds nothing
		if err := s.Stop(s.ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	s.all(t, 3, launch.Done)
	s.start(t, s.group(1, "run"))
	if e := s.all(t, 1, launch.Running)[0]; e.Container.Restart == 0 {
		t.Errorf("a name was used twice: %v", e)
	}
}

func stubborn(t *testing.T, s *suite) {
	g := s.group(1, "stubborn")
	g.Grace = 50 * time.Millisecond
	s.start(t, g)
	s.all(t, 1, launch.Running)
	if err := s.Stop(s.ctx, id); err != nil {
		t.Fatal(err)
	}
	if e := s.all(t, 1, launch.Done)[0]; e.Exit.OK() {
		t.Errorf("it ended by itself: %+v", e)
	}
}

func abandonedStop(t *testing.T, s *suite) {
	s.start(t, s.group(2, "run"))
	s.all(t, 2, launch.Running)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	if err := s.Stop(ctx, id); err != nil && errs.KindOf(err) != errs.Canceled {
		t.Errorf("got %v", err)
	}
	if err := s.Stop(s.ctx, id); err != nil {
		t.Fatal(err)
	}
	s.all(t, 2, launch.Done)
}

func environment(t *testing.T, s *suite) {
	for i, how := range []string{
		"env PLAIN=a b", "env HIDDEN=s3cret", "env " + launch.ContainerEnv + "=worker-0.0", "env PLAIN=other",
	} {
		g := s.group(1, how)
		g.ID.Role = fmt.Sprintf("worker%d", i)
		if strings.Contains(how, launch.ContainerEnv) {
			g.Command = s.Command(strings.Replace(how, "worker-", g.ID.Role+"-", 1))
		}
		g.Env = map[string]string{"PLAIN": "a b"}
		g.Secrets = map[string]string{"HIDDEN": "s3cret"}
		s.start(t, g)
		for e, err := range s.Watch(s.ctx, g.ID) {
			if err != nil {
				t.Fatal(err)
			}
			if e.State.Over() {
				if wrong := how == "env PLAIN=other"; e.Exit.OK() == wrong {
					t.Errorf("%s: %v", how, e.Exit)
				}
				break
			}
		}
	}
}

func watchFirst(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(s.ctx)
	next, end := iter.Pull2(s.Watch(ctx, id))
	defer end()
	type got struct {
		e   launch.Event
		err error
	}
	first := make(chan got)
	go func() {
		e, err, _ := next()
		first <- got{e, err}
	}()
	s.start(t, s.group(1, "run"))
	if g := <-first; g.err != nil || g.e.State != launch.Running {
		t.Errorf("got %+v", g)
	}
	cancel()
	if _, err, ok := next(); !ok || errs.KindOf(err) != errs.Canceled {
		t.Errorf("after ctx's end: %v, %v", err, ok)
	}
}

func nonsense(t *testing.T, s *suite) {
	for name, change := range map[string]func(*launch.Group){
		"no command":     func(g *launch.Group) { g.Command = nil },
		"negative count": func(g *launch.Group) { g.Count = -1 },
		"bad role":       func(g *launch.Group) { g.ID.Role = "Not/One" },
		"bad job":        func(g *launch.Group) { g.ID.Job = "" },
		"bad variable":   func(g *launch.Group) { g.Env = map[string]string{"A=B": "c"} },
	} {
		g := s.group(1, "run")
		change(&g)
		if err := s.Start(s.ctx, g); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.start(t, s.group(1, "run"))
	if err := s.Scale(s.ctx, id, -1); errs.KindOf(err) != errs.Invalid {
		t.Errorf("scaling to -1: %v", err)
	}
}
