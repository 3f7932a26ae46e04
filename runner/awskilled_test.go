package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/fleet/aws"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/s3"
	"github.com/seed3322913c/runner/runner/say"
)

// roundsEnv says how many fleets are cut off; scripts/chaos has patience.
const roundsEnv = "RUNNER_TEST_ROUNDS"

// rounds are those that were asked for; one is for every day.
func rounds() int {
	n, _ := strconv.Atoi(os.Getenv(roundsEnv)) // not a number is 1 as well
	return max(1, n)
}

// killed cuts off what makes a fleet, makes it, and cuts off its teardown: at moments, and with signals, that the seed
// chooses. Sometimes the state is lost then, sometimes somebody has removed a part of the fleet by hand. In the end
// nothing is left, whoever removes it.
func (a account) killed(seed uint64) {
	chance := rand.New(rand.NewPCG(seed, 0))
	name, home := fmt.Sprintf("killed-%d-%d", os.Getpid(), seed), a.TempDir() // others may test on this host
	signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGINT}
	first := int(seed % 2)
	make := a.deploy(name)
	if chance.IntN(2) == 0 {
		make = a.circle(name)
	}
	a.cut(home, signals[first], after(chance.IntN(80)), make...) // of about 90 events
	a.keptOff(name)
	a.unread(home, a.deploy(name)...)
	a.sized(home, name, 1, 2)
	a.cut(home, signals[1-first], after(chance.IntN(70)), "teardown", name, "--yes", "--json") // of about 80
	switch seed % 3 {
	case 0:
		a.byHand(name, chance)
	case 1:
		a.forget(name)
		home = a.TempDir()
	}
	a.gone(home, name)
}

// circle is a job that has a fleet of its own.
func (a account) circle(name string) []string {
	return []string{"run", "wordcount", "--input", filepath.Join("testdata", "script", "fs.txtar"), "--output",
		filepath.Join(a.TempDir(), "out"), "--deploy", "--teardown", "--cluster", name, "--provider", "aws", "--servers", "1",
		"--workers", "2", "--programs", a.programs, "--yes", "--json"}
}

// begin starts a verb, whose events are read from out; story is what it tells people.
func (a account) begin(home string, args ...string) (cmd *exec.Cmd, out io.ReadCloser, story *bytes.Buffer) {
	a.Helper()
	cmd, story = a.command(home, nil, args...), new(bytes.Buffer)
	cmd.Stderr = story
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		a.Fatal(err)
	}
	return cmd, out, story
}

// moment says whether a verb is to be cut off now that it tells of an event, before which it has told of n.
type moment func(n int, event string) bool

// after is the moment after so many events.
func after(events int) moment { return func(n int, _ string) bool { return n == events } }

// booting is the moment when machines are waited for, of which nothing else is told if they never boot.
func booting(_ int, event string) bool { return strings.Contains(event, `"event":"health"`) }

// cut starts a verb and sends it a signal at a moment, if it has not ended before. It returns the exit code, which is
// that of an interruption, or of what was done before; -1 if it was killed.
func (a account) cut(home string, with syscall.Signal, at moment, args ...string) int {
	a.Helper()
	cmd, out, story := a.begin(home, args...)
	lines := bufio.NewScanner(out)
	n, cut := 0, -1
	for ; lines.Scan(); n++ {
		if cut < 0 && at(n, lines.Text()) {
			cut = n
			_ = cmd.Process.Signal(with) // fails if it was faster, which is as well
		}
	}
	_ = cmd.Wait() // the code says it
	code := cmd.ProcessState.ExitCode()
	a.Logf("%s: %v after %d of %d events: %v; %s", args[0], with, cut, n, cmd.ProcessState, story)
	if code != say.ExitDone && code != say.ExitInterrupted && (code != -1 || with != syscall.SIGKILL) {
		a.Errorf("%q ends with %d after %v\n%s", args, code, with, story)
	}
	return code
}

// unread runs a verb of whose answer somebody reads one line (`| head -1`), and which has succeeded all the same.
func (a account) unread(home string, args ...string) {
	a.Helper()
	cmd, out, story := a.begin(home, args...)
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		a.Error(err)
	}
	_ = out.Close() // of a pipe, it can't fail
	if err := cmd.Wait(); err != nil {
		a.Fatalf("%q, of which one line was read: %v\n%s", args, err, story)
	}
}

// state opens where the states of all fleets are.
func (a account) state() store.Store {
	a.Helper()
	return a.bucket("runner-state-" + fleettest.Account + "-" + fleettest.Region)
}

// bucket opens one by its name.
func (a account) bucket(name string) store.Store {
	a.Helper()
	st, err := s3.Open(a.Context(), s3.Config{Bucket: name, Endpoint: a.cloud.URL, PathStyle: true, NoProbe: true})
	if err != nil {
		a.Fatal(err)
	}
	return st
}

// stateOf is the state of a fleet; its lock is beside it.
func stateOf(name string) store.Name { return store.Name(name + "/terraform.tfstate") }

// keptOff looks whether somebody elsewhere keeps off the lock that one who was killed has left.
func (a account) keptOff(name string) {
	a.Helper()
	_, err := a.state().Stat(a.Context(), stateOf(name)+".tflock")
	if err != nil && errs.KindOf(err) != errs.NotFound {
		a.Fatal(err)
	}
	got := a.runs(a.TempDir(), nil, "teardown", name, "--provider", "aws", "--json") // without a yes it does nothing
	if locked := got.code == int(machines.RuleLocked); locked != (err == nil) {
		a.Errorf("the lock: %v; somebody elsewhere exits with %d: %s", err, got.code, got.story)
	}
}

// sized looks how many machines a fleet has.
func (a account) sized(home, name string, servers, workers int) {
	a.Helper()
	var status struct{ Machines []machines.Machine }
	a.must(home, &status, "status", "--cluster", name, "--json")
	is := map[machines.Role]int{}
	for _, m := range status.Machines {
		is[m.Role]++
	}
	if is[machines.Server] != servers || is[machines.Worker] != workers {
		a.Errorf("there are %v, want %d servers and %d workers", is, servers, workers)
	}
}

// forget loses the state of a fleet, and its lock.
func (a account) forget(name string) {
	a.Helper()
	for _, object := range []store.Name{stateOf(name), stateOf(name) + ".tflock"} {
		if err := a.state().Delete(a.Context(), object); err != nil {
			a.Fatal(err)
		}
	}
}

// scan asks the cloud itself what there is of a fleet.
func (a account) scan(name string) (*aws.Provider, []machines.Resource) {
	a.Helper()
	p, err := aws.New(a.Context(), fleettest.Region)
	if err != nil {
		a.Fatal(err)
	}
	found, err := p.Scan(a.Context(), name)
	if err != nil {
		a.Fatal(err)
	}
	return p, found
}

// byHand removes parts of a fleet as somebody in the cloud's console would, as far as nothing is in the way.
func (a account) byHand(name string, chance *rand.Rand) {
	a.Helper()
	p, found := a.scan(name)
	for _, r := range found {
		if r.Data || chance.IntN(3) > 0 {
			continue
		}
		if err := p.Remove(a.Context(), r); err != nil && !errs.Retryable(err) {
			a.Fatal(err)
		}
	}
}

// gone removes a fleet of which anything or nothing may be there, its data too.
func (a account) gone(home, name string) {
	a.Helper()
	args := []string{"teardown", name, "--provider", "aws", "--yes", "--purge-data", "--json"}
	if got := a.runs(home, nil, args...); got.code != say.ExitDone && got.code != say.ExitNotFound {
		a.Errorf("%q exits with %d\n%s", args, got.code, got.story)
	}
	if _, left := a.scan(name); len(left) > 0 {
		a.Errorf("%d resources of %s are left: %v", len(left), name, left)
	}
}

// circles interrupts a job that has a fleet of its own while the machines boot, of which none ever will. The fleet is
// gone when it ends.
func (a account) circles() {
	home := a.TempDir()
	if code := a.cut(home, syscall.SIGINT, booting, a.circle("circle")...); code != say.ExitInterrupted {
		a.Errorf("the circle ends with %d", code)
	}
	_, left := a.scan("circle")
	if len(left) != 1 || !left[0].Data {
		a.Errorf("left are %v, want the bucket alone", left)
	}
	a.gone(home, "circle")
}
