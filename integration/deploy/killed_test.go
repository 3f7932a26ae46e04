package deploy_test

import (
	"bufio"
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/seedtest"
	"github.com/seed3322913c/runner/runner/nodeinit"
)

// moment is when something is cut off: so long after so many of its events.
type moment struct {
	events int
	later  time.Duration
}

// moment draws one. A deploy and a teardown have about a dozen events, which are seldom further apart than a second;
// what has ended before its moment is not cut off.
func (u *user) moment(chance *rand.Rand) moment {
	return moment{chance.IntN(12), time.Duration(chance.IntN(1000)) * time.Millisecond}
}

// cut starts the program, sends it a signal at a moment, and returns when it has ended.
func (u *user) cut(sig syscall.Signal, at moment, args ...string) {
	u.Helper()
	cmd := u.command(append(args, "--yes", "--json")...)
	var story bytes.Buffer
	cmd.Stderr = &story
	out, err := cmd.StdoutPipe()
	if err != nil {
		u.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		u.Fatal(err)
	}
	events := bufio.NewScanner(out)
	for range at.events {
		if !events.Scan() {
			break
		}
	}
	late := time.AfterFunc(at.later, func() { _ = cmd.Process.Signal(sig) }) // it may have ended before
	for events.Scan() {
	}
	err = cmd.Wait()
	late.Stop()
	u.Logf("%s, %v %v after %d events: %v %s", args[0], sig, at.later, at.events, cmd.ProcessState, &story)
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil || ok && sig == syscall.SIGKILL && exit.ExitCode() == -1: // done before, or killed
	case !ok || exit.ExitCode() != 130 || story.Len() == 0:
		u.Errorf("%v after %v: %v, want exit code 130 and a sentence", args, sig, err)
	}
}

// roundsEnv says how often TestKilled cuts off; scripts/chaos has patience.
const roundsEnv = "RUNNER_TEST_ROUNDS"

// TestKilled cuts off deploy and teardown at any moment. What follows always succeeds, and leaves nothing.
func TestKilled(t *testing.T) {
	rounds := 1
	if text := os.Getenv(roundsEnv); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	u := newUser(t)
	chance := seedtest.New(t)
	deploy := []string{"deploy", "--name", "night", "--workers", "1"}
	u.cut(syscall.SIGKILL, moment{later: 300 * time.Millisecond}, deploy...) // while it plans
	u.removed("night")
	for range rounds {
		signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGINT}
		chance.Shuffle(2, func(i, j int) { signals[i], signals[j] = signals[j], signals[i] })
		u.cut(signals[0], u.moment(chance), deploy...)
		if chance.IntN(4) == 0 {
			u.removed("night") // what was cut off is removed
		}
		u.run(append(deploy, "--yes", "--json")...) // or goes on
		u.cut(signals[1], u.moment(chance), "teardown", "night", "--purge-data")
		u.removed("night")
	}
}

// removed tears a cluster down of which anything or nothing may be there.
func (u *user) removed(name string) {
	u.Helper()
	cmd := u.command("teardown", name, "--yes", "--purge-data")
	if out, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != 3 {
		u.Errorf("teardown after a kill: %v\n%s", err, out)
	}
	u.run("gc", "--yes")
	u.nothingLeft(name)
}

// TestTwoDeploys lets two people deploy one name at once: both have the fleet in the end, or one is told of the other.
func TestTwoDeploys(t *testing.T) {
	u := newUser(t)
	var both []*exec.Cmd
	for range 2 {
		cmd := u.command("deploy", "--name", "night", "--workers", "0", "--yes", "--json")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		both = append(both, cmd)
	}
	var done int
	for _, cmd := range both {
		_ = cmd.Wait() // the code says it
		switch code := cmd.ProcessState.ExitCode(); code {
		case 0:
			done++
		case 10, 2: // the other has the fleet, or has made this one's plan stale
		default:
			t.Errorf("one of two deploys ends with %d", code)
		}
	}
	if done == 0 {
		t.Error("neither of two deploys has succeeded")
	}
	u.run("status", "--cluster", "night")
	u.run("teardown", "night", "--yes", "--purge-data")
	u.nothingLeft("night")
}

// TestDeadline lets the time of a fleet come while nobody is there.
func TestDeadline(t *testing.T) {
	u := newUser(t)
	u.run("deploy", "--name", "night", "--workers", "1", "--yes", "--json")
	h := u.host("night")
	if err := nodeinit.WriteDeadline(h.Dir+"/deadline", time.Now()); err != nil {
		t.Fatal(err)
	}
	u.await("the end of the fleet", func() bool {
		_, err := h.Machines()
		return err == nil && len(h.Alive()) == 0
	})
	u.nothingOf("night")
	u.switchKilled()
	u.run("teardown", "night", "--yes", "--purge-data")
	u.nothingLeft("night")
}

// switchKilled makes a fleet again whose time was over, and kills the dead-man switch itself: every machine knows the
// time, too.
func (u *user) switchKilled() {
	u.Helper()
	u.run("deploy", "--name", "night", "--workers", "0", "--yes", "--json")
	h := u.host("night")
	for _, pid := range h.On("deadman") {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			u.Fatal(err)
		}
	}
	if err := nodeinit.WriteDeadline(h.Dir+"/deadline", time.Now()); err != nil {
		u.Fatal(err)
	}
	u.await("the end of all machines", func() bool { return len(h.On("server-1"))+len(h.On("store-1")) == 0 })
}
