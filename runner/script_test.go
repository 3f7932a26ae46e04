package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/embedded/embeddedtest"
)

// TestMain builds the program, and the functions that scripts run, once.
func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	bin, err := os.MkdirTemp("", "runner-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	if err := os.Chmod(bin, 0o755); err != nil { // nobody runs it, too
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := embeddedtest.Build(bin, map[string]string{"runner": ".", "gate": "./testdata/gate"}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := os.Setenv("RUNNER_TEST_BIN", bin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// TestScripts runs the transcripts in testdata/script with the real program. Every script has a home folder of its own,
// and must leave neither a process nor a file of a job that is over behind.
func TestScripts(t *testing.T) {
	bin := os.Getenv("RUNNER_TEST_BIN")
	work := t.TempDir()
	if err := os.Chmod(filepath.Dir(work), 0o755); err != nil { // see unprivileged
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:         filepath.Join("testdata", "script"),
		WorkdirRoot: work,
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, ".home")
			env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("BIN", bin)
			env.Setenv(embedded.HomeEnv, home)
			env.Setenv("USER", "tester")
			env.Defer(func() { leavesNothing(t, home) })
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "unprivileged": unprivileged, "interrupts": interrupts, "expand": expand, "mkfifo": mkfifo,
			"startgateway": startGateway, "open": openFIFO, "killrole": killRole, "jobid": jobID, "awaitdone": awaitDone,
			"awaitfiring": awaitFiring, "gone": gone, "quiet": quiet,
			"setfrom": setFrom, "awaitsuccess": awaitSuccess,
		},
		Deadline:            time.Now().Add(8 * time.Minute),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// startGateway NAME [FLAGS] starts a gateway to an empty folder until the end of the script, and sets NAME to its
// address.
func startGateway(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: startgateway NAME [FLAGS]")
	}
	flags := append([]string{"gateway", "--json", "--http", "127.0.0.1:0", "--superuser", "tester", "--store",
		"file://" + ts.MkAbs(".gateway")}, args[1:]...)
	cmd := exec.Command(filepath.Join(ts.Getenv("BIN"), "runner"), flags...)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		ts.Check(cmd.Process.Kill())
		_ = cmd.Wait() // killed, as it was meant
	})
	for lines := json.NewDecoder(out); ; {
		var turn struct {
			HTTP   string
			Leader bool
		}
		ts.Check(lines.Decode(&turn))
		if turn.Leader {
			ts.Setenv(args[0], turn.HTTP)
			return
		}
	}
}

// exits CODE COMMAND... runs a command that must end with this exit code, and say why if it is not 0.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	checkExit(ts, args, err)
	if said := ts.ReadFile("stderr") + ts.ReadFile("stdout"); err != nil && strings.TrimSpace(said) == "" {
		ts.Fatalf("%q does not say why it fails", strings.Join(args[1:], " "))
	}
}

// checkExit fails unless err is that of a command that ended with the exit code args[0].
func checkExit(ts *testscript.TestScript, args []string, err error) {
	want, parseErr := strconv.Atoi(args[0])
	ts.Check(parseErr)
	got := 0
	if err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%q exits with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// command makes a command of the script's program, in the script's folder and environment.
func command(ts *testscript.TestScript, args []string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(ts.Getenv("BIN"), args[0]), args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), embedded.HomeEnv+"="+ts.Getenv(embedded.HomeEnv), "USER="+ts.Getenv("USER"))
	return cmd
}

// unprivileged is exits for a command that may not read the folder secret. The superuser may read everything, so for
// him the command runs as nobody.
func unprivileged(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.Chmod(ts.MkAbs("secret"), 0))
	cmd := command(ts, args[1:])
	if os.Geteuid() == 0 {
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	checkExit(ts, args, cmd.Run())
	ts.Check(os.Chmod(ts.MkAbs("secret"), 0o700))
}

// interrupts CODE FIFO,FIFO... COMMAND... starts a command, waits until somebody reads each named pipe, presses Ctrl-C,
// and checks the exit code.
func interrupts(ts *testscript.TestScript, _ bool, args []string) {
	cmd := command(ts, args[2:])
	ts.Check(cmd.Start())
	for fifo := range strings.SplitSeq(args[1], ",") {
		openFIFO(ts, false, []string{fifo})
	}
	ts.Check(cmd.Process.Signal(os.Interrupt))
	checkExit(ts, args, cmd.Wait())
}

// expand FILE... replaces $WORK and $BIN in files.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		text := os.Expand(ts.ReadFile(file), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}

// mkfifo PATH... makes named pipes.
func mkfifo(ts *testscript.TestScript, _ bool, args []string) {
	for _, path := range args {
		ts.Check(syscall.Mkfifo(ts.MkAbs(path), 0o600))
	}
}

// open PATH waits until somebody reads the named pipe, and lets him go on.
func openFIFO(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: open PATH")
	}
	await(ts, "a reader of "+args[0], func() bool {
		f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY|syscall.O_NONBLOCK, 0) // fails as long as nobody reads
		if err != nil {
			return false
		}
		return f.Close() == nil
	})
}

// killrole ROLE kills (SIGKILL) one process of this script's jobs: am, executor, or run for the supervisor.
func killRole(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: killrole am|executor|run|resume|node")
	}
	for _, p := range embeddedtest.Processes(ts.Getenv(embedded.HomeEnv)) {
		if p.Verb == args[0] {
			ts.Check(syscall.Kill(p.PID, syscall.SIGKILL))
			return
		}
	}
	ts.Fatalf("no process of role %s runs", args[0])
}

// jobid VARIABLE sets a variable to the id of the newest job.
func jobID(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: jobid VARIABLE")
	}
	out, err := command(ts, []string{"runner", "jobs"}).Output()
	ts.Check(err)
	fields := bytes.Fields(out)
	if len(fields) == 0 {
		ts.Fatalf("there is no job")
	}
	ts.Setenv(args[0], string(fields[0]))
}

// awaitdone ID STAGE N waits until N tasks of a stage are done. Other processes tell that only when they are asked.
func awaitDone(ts *testscript.TestScript, _ bool, args []string) {
	want := fmt.Sprintf(`"name":%q,"tasks":`, args[1])
	await(ts, strings.Join(args, " "), func() bool {
		out, err := command(ts, []string{"runner", "status", args[0], "--json"}).Output()
		_, stage, found := strings.Cut(string(out), want)
		_, done, _ := strings.Cut(stage, `"done":`)
		return err == nil && found && strings.HasPrefix(done, args[2]+",")
	})
}

// awaitFiring NAME STATE waits until the latest firing of a schedule is in a state, and shows the schedule.
func awaitFiring(ts *testscript.TestScript, _ bool, args []string) {
	show := []string{"runner", "schedule", "show", args[0]}
	await(ts, strings.Join(args, " "), func() bool {
		out, err := command(ts, append(show, "--json")).Output()
		_, firings, _ := strings.Cut(string(out), `"firings":[`)
		latest, _, _ := strings.Cut(firings, "}")
		return err == nil && strings.Contains(latest, `"state":"`+args[1]+`"`)
	})
	ts.Check(ts.Exec(show[0], show[1:]...))
}

// setfrom VARIABLE FILE sets a variable to what a file has, without the end of its line.
func setFrom(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: setfrom VARIABLE FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// awaitsuccess FOLDER waits until a job that nobody watches has made its output, and for the end of its processes.
func awaitSuccess(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: awaitsuccess FOLDER")
	}
	await(ts, args[0], func() bool {
		_, err := os.Stat(filepath.Join(ts.MkAbs(args[0]), "_SUCCESS"))
		return err == nil && !slices.ContainsFunc(embeddedtest.Processes(ts.Getenv(embedded.HomeEnv)),
			func(p embeddedtest.Process) bool { return p.Verb == "node" })
	})
}

// gone waits until no process of the script's jobs is left: who is killed with its parent goes a moment later.
func gone(ts *testscript.TestScript, _ bool, _ []string) {
	await(ts, "the end of all processes",
		func() bool { return len(embeddedtest.Processes(ts.Getenv(embedded.HomeEnv))) == 0 })
}

// await asks again and again, for a minute.
func await(ts *testscript.TestScript, what string, ok func() bool) {
	end := time.After(time.Minute)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-end:
			ts.Fatalf("waited for %s in vain", what)
		}
	}
}

// quiet fails if a process runs or a file lies around that should be gone.
func quiet(ts *testscript.TestScript, _ bool, _ []string) {
	if left := embeddedtest.Leftovers(ts.Getenv(embedded.HomeEnv)); len(left) > 0 {
		ts.Fatalf("left behind: %q", left)
	}
}

func leavesNothing(t *testing.T, home string) {
	if left := embeddedtest.Leftovers(home); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
