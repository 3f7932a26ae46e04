//go:build unix

package proc_test

import (
	"bufio"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler/proc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newSpawner(t *testing.T) *proc.Spawner {
	s := proc.New()
	t.Cleanup(s.Close)
	return s
}

func TestWaitSaysHowItEnded(t *testing.T) {
	s := newSpawner(t)
	for script, want := range map[string]string{
		"exit 0": "", "exit 3": "exit status 3", "kill -9 $$": "signal: killed",
	} {
		p, err := s.Start(exec.Command("sh", "-c", script))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := p.Wait(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
		p.Kill() // its id may be somebody else's: nothing happens
	}
}

func TestStartOfNothing(t *testing.T) {
	if _, err := newSpawner(t).Start(exec.Command("/nowhere/at/all")); errs.KindOf(err) != errs.NotFound {
		t.Errorf("got %v", err)
	}
}

// TestWaitEndsTheGroup: what a process leaves behind ends with it, and so does its hold on the pipes.
func TestWaitEndsTheGroup(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 1000 & echo started")
	var out strings.Builder
	cmd.Stdout = &out // a pipe that the sleeping process holds open
	p, err := newSpawner(t).Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil || out.String() != "started\n" { // else exec.ErrWaitDelay
		t.Errorf("got %v, %q", err, out.String())
	}
}

func TestTerminateReachesTheGroup(t *testing.T) {
	cmd := exec.Command("sh", "-c", "trap 'exit 7' TERM; echo up; sleep 1000 & wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := newSpawner(t).Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "up\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	p.Terminate()
	var exit *exec.ExitError
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("got %v", err)
	}
}
