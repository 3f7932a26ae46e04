package deploy_test

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/seed3322913c/runner/runner/nodeinit"
)

// cut starts the program and sends it a signal after so many of its events, or lets it end before. It returns when it
// has ended.
func (u *user) cut(sig syscall.Signal, after int, args ...string) {
	u.Helper()
	cmd := u.command(append(args, "--yes", "--json")...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		u.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		u.Fatal(err)
	}
	events := bufio.NewScanner(out)
	for range after {
		if !events.Scan() {
			break
		}
	}
	_ = cmd.Process.Signal(sig) // it has ended before
	for events.Scan() {
	}
	err = cmd.Wait()
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || sig == syscall.SIGINT && exit.ExitCode() != 130) {
		u.Errorf("%v after %v: %v, want exit code 130", args, sig, err)
	}
	u.Logf("%v %v after %d events: %v", args[0], sig, after, err)
}

// moments is how many events a deploy or a teardown has, more or less: a seed chooses after which of them it is cut off.
const moments = 12

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
	chance := u.chance()
	for range rounds {
		deploy := []string{"deploy", "--name", "night", "--workers", "1"}
		signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGINT}
		chance.Shuffle(2, func(i, j int) { signals[i], signals[j] = signals[j], signals[i] })
		u.cut(signals[0], chance.IntN(moments), deploy...)
		if chance.IntN(4) == 0 {
			u.removed("night") // what was cut off is removed
		}
		u.run(append(deploy, "--yes", "--json")...) // or goes on
		u.cut(signals[1], chance.IntN(moments), "teardown", "night", "--purge-data")
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
