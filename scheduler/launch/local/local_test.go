//go:build linux

package local_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/launchtest"
	"github.com/seed3322913c/runner/scheduler/launch/local"
	"github.com/seed3322913c/runner/scheduler/launch/remote"
)

// The test binary is its own containers: with one of these as its first argument it is not a test.
const (
	behave     = "be-a-container" // HOW: launchtest.Behave
	parent     = "be-a-parent"    // starts a sleeping child, says both process ids, and sleeps
	supervisor = "be-a-supervisor"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case behave:
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			defer stop()
			os.Exit(launchtest.ExitCode(launchtest.Behave(ctx, os.Args[2], os.Getenv)))
		case parent:
			beParent()
		case supervisor:
			beSupervisor(os.Args[2])
		}
	}
	goleak.VerifyTestMain(m)
}

func beParent() {
	child := exec.Command("sleep", "1000")
	if err := child.Start(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("pids", os.Getpid(), child.Process.Pid)
	select {}
}

// beSupervisor starts one container through a launcher, whose log is in dir, and waits to be killed.
func beSupervisor(dir string) {
	l := local.New(local.Options{})
	if err := l.Start(context.Background(), group("run", dir)); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for e := range l.Watch(context.Background(), id) {
		if e.State == launch.Running {
			fmt.Println("running")
		}
	}
}

var id = launch.GroupID{Job: "abcd-local", Role: "executor"}

// group is one container of the test binary.
func group(how, logDir string) launch.Group {
	return launch.Group{ID: id, Command: []string{os.Args[0], behave, how}, Count: 1, LogDir: logDir}
}

func newLocal(t *testing.T) *local.Launcher {
	l := local.New(local.Options{})
	t.Cleanup(l.Close)
	return l
}

func command(how string) []string { return []string{os.Args[0], behave, how} }

func TestConformance(t *testing.T) {
	launchtest.Run(t, launchtest.Driver{
		New:     func(t *testing.T) launch.Launcher { return newLocal(t) },
		Command: command,
	})
}

// TestRemoteConformance is how an application master sees the launcher of its supervisor.
func TestRemoteConformance(t *testing.T) {
	launchtest.Run(t, launchtest.Driver{
		New: func(t *testing.T) launch.Launcher {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l := newLocal(t)
			ctx, cancel := context.WithCancel(context.Background())
			served := make(chan error)
			go func() { served <- remote.Serve(ctx, ln, l, "s") }()
			c, err := remote.Dial(ln.Addr().String(), "s")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				c.Close()
				cancel()
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
			return c
		},
		Command: command,
	})
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// await watches until the container is in a state.
func await(t *testing.T, l launch.Launcher, state launch.State) launch.Event {
	t.Helper()
	for e, err := range l.Watch(deadline(t), id) {
		if err != nil {
			t.Fatal(err)
		}
		if e.State == state {
			return e
		}
	}
	panic("a watch ended without an error")
}

func TestNoSuchProgram(t *testing.T) {
	l := newLocal(t)
	g := group("run", "")
	g.Command[0] = "/nowhere/at/all"
	if err := l.Start(deadline(t), g); err != nil {
		t.Fatal(err)
	}
	if e := await(t, l, launch.Failed); !strings.Contains(e.Exit.Error, "no such file") {
		t.Errorf("got %+v", e)
	}
}

func TestKilledContainerSaysSo(t *testing.T) {
	l := newLocal(t)
	g := group("", "")
	g.Command = []string{"sh", "-c", "kill -9 $$"}
	if err := l.Start(deadline(t), g); err != nil {
		t.Fatal(err)
	}
	if e := await(t, l, launch.Failed); e.Exit != (launch.Exit{Code: -1, Signal: "killed"}) {
		t.Errorf("got %+v", e)
	}
}

func TestLogKeepsAllRestarts(t *testing.T) {
	l := newLocal(t)
	g := group("", t.TempDir())
	g.Command = []string{"sh", "-c", "echo out; echo err >&2; exit 1"}
	g.Restart = launch.Restart{Attempts: 1, Delay: time.Millisecond}
	if err := l.Start(deadline(t), g); err != nil {
		t.Fatal(err)
	}
	await(t, l, launch.Failed)
	data, err := os.ReadFile(filepath.Join(g.LogDir, "executor-0.log"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "out\nerr\n--- executor-0.1\nout\nerr\n"; string(data) != want {
		t.Errorf("got %q, want %q", data, want)
	}
}

// TestLogIsBounded: of what a container says the newest is kept, in whole lines, also what a restart says; and it lives
// on when its log can't be written.
func TestLogIsBounded(t *testing.T) {
	l := local.New(local.Options{LogSize: 100, LogFiles: 3})
	t.Cleanup(l.Close)
	g := group("", t.TempDir())
	g.Command = []string{"sh", "-c",
		"for i in 1 2 3 4 5 6 7 8 9; do for j in a b c d; do echo line $i$j, of 25 bytes; done; done; exit 1"}
	g.Restart = launch.Restart{Attempts: 1, Delay: time.Millisecond}
	if err := l.Start(deadline(t), g); err != nil {
		t.Fatal(err)
	}
	await(t, l, launch.Failed)
	names, err := filepath.Glob(filepath.Join(g.LogDir, "*"))
	if err != nil || len(names) != 3 {
		t.Fatalf("%q, %v", names, err)
	}
	var all string
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil || len(data) > 100 {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
		all += string(data)
	}
	if !strings.HasPrefix(all, "line ") || !strings.HasSuffix(all, "line 9d, of 25 bytes\n") {
		t.Errorf("%q", all)
	}
	for line := range strings.Lines(all) {
		if len(line) != len("line 1a, of 25 bytes\n") {
			t.Errorf("%q is no line", line)
		}
	}
}

// TestLogWithoutRoom: a container whose log can't be written runs on.
func TestLogWithoutRoom(t *testing.T) {
	l := local.New(local.Options{LogSize: 10})
	t.Cleanup(l.Close)
	g := group("", t.TempDir())
	g.Command = []string{"sh", "-c", `rm -r "$0" && yes | head -c 100000 && exit 0`, g.LogDir}
	if err := l.Start(deadline(t), g); err != nil {
		t.Fatal(err)
	}
	if e := await(t, l, launch.Done); e.Exit != (launch.Exit{}) {
		t.Errorf("%+v", e)
	}
}

// TestStopEndsTheWholeGroup stops a container that has started a process of its own.
func TestStopEndsTheWholeGroup(t *testing.T) {
	l := newLocal(t)
	g := group("", t.TempDir())
	g.Command = []string{os.Args[0], parent}
	if err := l.Start(deadline(t), g); err != nil {
		t.Fatal(err)
	}
	pids := readPids(t, filepath.Join(g.LogDir, "executor-0.log"))
	if err := l.Stop(deadline(t), id); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		awaitGone(t, pid)
	}
}

// TestStopKillsAfterTheGrace stops a container that is known to ignore SIGTERM.
func TestStopKillsAfterTheGrace(t *testing.T) {
	l := newLocal(t)
	g := group("", t.TempDir())
	g.Command = []string{"sh", "-c", "trap '' TERM; echo pids $$; sleep 1000"}
	g.Grace = 50 * time.Millisecond
	if err := l.Start(deadline(t), g); err != nil {
		t.Fatal(err)
	}
	pid := readPids(t, filepath.Join(g.LogDir, "executor-0.log"))[0]
	if err := l.Stop(deadline(t), id); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, pid)
	if e := await(t, l, launch.Done); e.Exit.Signal != "killed" {
		t.Errorf("got %+v", e)
	}
}

// TestContainersDieWithTheirSupervisor kills a supervisor by SIGKILL.
func TestContainersDieWithTheirSupervisor(t *testing.T) {
	cmd := exec.Command(os.Args[0], supervisor, t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "running\n" {
		t.Fatalf("the supervisor said %q (%v)", line, err)
	}
	children := childrenOf(t, cmd.Process.Pid)
	if len(children) != 1 {
		t.Fatalf("the supervisor has children %v", children)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	awaitGone(t, children[0])
}

// TestChildrenOutliveTheThreadThatAskedForThem starts a container from a thread that then ends: without a thread of the
// launcher's own, the parent-death signal would kill it.
func TestChildrenOutliveTheThreadThatAskedForThem(t *testing.T) {
	l := newLocal(t)
	asked := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with this goroutine
		asked <- l.Start(context.Background(), group("run", ""))
	}()
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	await(t, l, launch.Running)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	for e, err := range l.Watch(ctx, id) {
		if err == nil && e.State != launch.Running {
			t.Errorf("it ended: %+v", e)
		}
	}
}

// readPids waits for the line of beParent in a log.
func readPids(t *testing.T, path string) (pids []int) {
	t.Helper()
	poll(t, "the line of the parent", func() bool {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if !strings.HasSuffix(string(data), "\n") {
			return false
		}
		for _, f := range strings.Fields(string(data))[1:] {
			n, err := strconv.Atoi(f)
			if err != nil {
				t.Fatalf("%q: %v", data, err)
			}
			pids = append(pids, n)
		}
		return true
	})
	return pids
}

// awaitGone waits until a process that is not our child has ended; a zombie that nobody reaps counts.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	poll(t, fmt.Sprintf("the end of process %d", pid), func() bool { return gone(pid) })
}

// poll waits for something that the kernel does not tell us of.
func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// gone reads the state of a process: "pid (name) S ...".
func gone(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(data), ") ")
	return strings.HasPrefix(after, "Z") || strings.HasPrefix(after, "X")
}

func childrenOf(t *testing.T, pid int) (pids []int) {
	t.Helper()
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range strings.Fields(string(data)) {
			n, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, n)
		}
	}
	return pids
}
