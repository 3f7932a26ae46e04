package fakecloud

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/enginetest"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/embedded/embeddedtest"
)

// name is that of the fleet.
const name = "cloud"

// again is for who looks for what happens now and then.
var again = flag.Int("again", 1, "how often machines lose their power and their cable")

// user is somebody who has an account at the cloud.
type user struct {
	*testing.T // of the stage
	cloud      *Cloud
	program    string
	home       string
	env        []string
}

// TestDeploy is what happens to a fleet on AWS, from nothing to nothing, all of it to one, since fleets take a while to
// come and go.
func TestDeploy(t *testing.T) {
	u := newUser(t)
	if testing.Short() { // runs with the race detector, which sees nothing of other processes
		u.plans()
		return
	}
	if !u.stage("deploys", u.deploys) {
		return
	}
	u.stage("runs jobs", u.runsJobs)
	u.stage("loses a worker", u.losesWorker)
	for i := range *again {
		u.stage("loses a server"+strings.Repeat(" again", i), u.losesServer)
		u.stage("loses a cable"+strings.Repeat(" again", i), u.losesCable)
	}
	u.stage("loses spot", u.losesSpot)
	u.stage("breathes", u.breathes)
	u.stage("its time comes", u.timeComes)
	u.stage("is woken", u.isWoken)
	u.stage("fails to boot", u.failsToBoot)
	u.stage("goes", u.goes)
	u.stage("circles", u.circles)
	u.stage("leaves nothing", u.leavesNothing)
}

// stage is a part of a test. The next ones tell more when it has gone wrong.
func (u *user) stage(name string, do func()) (ok bool) {
	whole := u.T
	defer func() { u.T = whole }()
	return whole.Run(name, func(t *testing.T) {
		u.T = t
		defer func() { // before the stage's own cleanups take anything back
			if t.Failed() {
				t.Log(u.evidence())
			}
		}()
		do()
	})
}

func newUser(t *testing.T) *user {
	t.Helper()
	dir := t.TempDir()
	if err := embeddedtest.Build(dir, map[string]string{"runner": "../../runner"}); err != nil {
		t.Fatal(err)
	}
	for _, engine := range []string{"consul", "nomad"} {
		enginetest.Binary(t, engine)
	}
	fleettest.Terraform(t)
	u := &user{
		T: t, cloud: play(t, 120*time.Second), program: filepath.Join(dir, "runner"), home: filepath.Join(dir, "home"),
	}
	u.env = append(os.Environ(), embedded.HomeEnv+"="+u.home, "USER=tester")
	return u
}

// command is the program with arguments. It is asked to end when the stage does, and what it says is logged.
func (u *user) command(args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	return u.commandFor(u.Context(), args...)
}

// commandFor is command, for as long as ctx lasts.
func (u *user) commandFor(ctx context.Context, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	cmd = exec.CommandContext(ctx, u.program, args...)
	cmd.Env = u.env
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, 20*time.Second
	return cmd, stdout, stderr
}

// run runs the program, which must succeed, and returns its answer.
func (u *user) run(args ...string) string {
	u.Helper()
	cmd, stdout, stderr := u.command(args...)
	began := time.Now()
	err := cmd.Run()
	u.Logf("%.1f s: runner %s", time.Since(began).Seconds(), strings.Join(args, " "))
	if err != nil {
		u.Fatalf("runner %s: %v\n%s%s", strings.Join(args, " "), err, tailOf(stdout.String()), tailOf(stderr.String()))
	}
	return stdout.String()
}

// tailOf is the end of a long text.
func tailOf(text string) string { return text[max(0, len(text)-4000):] }

// answer decodes the last line of what the program answers in JSON.
func (u *user) answer(v any, args ...string) {
	u.Helper()
	text := strings.TrimSpace(u.run(append(args, "--json")...))
	if err := json.Unmarshal([]byte(text[strings.LastIndexByte(text, '\n')+1:]), v); err != nil {
		u.Fatalf("%v: %s", err, text)
	}
}

// deploy is the command that makes the fleet. All its machines have the cores of this host, so none of them may give
// any away for good.
var deploy = []string{
	"deploy", "--name", name, "--provider", "aws", "--region", fleettest.Region, "--workers", "2",
	"--spot", "0.5", "--ttl", "1h", "--driver", "raw_exec",
}

// plans looks what would be made, which makes nothing.
func (u *user) plans() {
	var plan struct{ Changes []any }
	if u.answer(&plan, append(slices.Clone(deploy), "--plan")...); len(plan.Changes) < 10 {
		u.Errorf("the plan is to change %v", plan.Changes)
	}
	if n := len(u.cloud.Running("server")); n > 0 {
		u.Errorf("a plan has started %d servers", n)
	}
}

// told is what the program tells of a fleet that it makes.
type told struct {
	Change struct{ Kind, Type, Address string }
	Health struct {
		Servers, Workers int
	}
}

// hears runs the program and hands on what it tells, as it does so; it returns its exit code and what it says to
// people.
func (u *user) hears(hear func(told), args ...string) (exit int, story string) {
	u.Helper()
	cmd, _, stderr := u.command(args...)
	cmd.Stdout = nil
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		u.Fatal(err)
	}
	began := time.Now()
	for lines := json.NewDecoder(out); ; {
		var line told
		if err := lines.Decode(&line); err != nil {
			break // how it ends says its exit code
		}
		hear(line)
	}
	_ = cmd.Wait() // so does this
	u.Logf("%.1f s: runner %s", time.Since(began).Seconds(), strings.Join(args, " "))
	return cmd.ProcessState.ExitCode(), stderr.String()
}

// deploys makes the fleet. The dead-man switch is there before any machine, and of a worker that boots slowly is told
// that it is waited for.
func (u *user) deploys() {
	armed, slow := make(chan int, 1), make(chan struct{})
	var first, late sync.Once
	u.cloud.Trouble(func(role string) (t Trouble) {
		first.Do(func() {
			schedules, err := u.cloud.Schedules(u.Context())
			if err != nil {
				u.Error(err)
			}
			armed <- len(schedules)
		})
		if role == "worker" {
			late.Do(func() { t.Until = slow })
		}
		return t
	})
	var finished, waited int
	exit, story := u.hears(func(line told) {
		switch c := line.Change; {
		case c.Kind == "finished" && c.Type == "aws_scheduler_schedule":
			finished++
		case c.Kind == "started" && (c.Type == "aws_autoscaling_group" || c.Type == "machines") && finished != 2:
			u.Errorf("%s is made when %d of 2 schedules are", c.Address, finished)
		}
		if h := line.Health; h.Servers == 3 && h.Workers == 1 && waited == 0 {
			waited++
			close(slow)
		}
	}, append(slices.Clone(deploy), "--yes", "--json")...)
	u.cloud.Trouble(nil)
	if exit != 0 {
		u.Fatalf("deploy ends with %d: %s", exit, tailOf(story))
	}
	if finished != 2 || <-armed != 2 || waited != 1 {
		u.Errorf("%d schedules were made, and it was waited %d times for a worker", finished, waited)
	}
	if s, w := u.cloud.Running("server"), u.cloud.Running("worker"); len(s) != 3 || len(w) != 2 {
		u.Errorf("there are %d servers and %d workers", len(s), len(w))
	}
	u.learns()
}

// learns takes over how the fleet's files are reached, which changes with its servers.
func (u *user) learns() {
	for line := range strings.Lines(u.run("clusters", name, "--env")) {
		if k, v, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "="); ok {
			u.env = append(u.env, k+"="+strings.Trim(v, "'"))
		}
	}
}

// runsJobs counts words and trains, with files that are reached by HDFS names.
func (u *user) runsJobs() {
	u.put("in/a.txt", "b a\na\n")
	u.counts()
	u.put("numbers/a", "1\n2\n3\n")
	u.put("numbers/b", "2\n3\n4\n")
	u.run("run", "sum", "--cluster", name, "--quiet", "--input", at("numbers"), "--output", at("sum"), "--set", "workers=2",
		"--set", "iterations=10")
	if got := u.run("fs", "cat", at("sum/sum.txt")); got != "15345\n" {
		u.Errorf("a training with two workers computes %q", got)
	}
}

// at names a file of the fleet's.
func at(path string) string { return "hdfs://" + name + "/" + path }

func (u *user) put(path, text string) {
	u.Helper()
	file := filepath.Join(u.TempDir(), filepath.Base(path))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		u.Fatal(err)
	}
	u.run("fs", "mkdir", "-p", at(filepath.Dir(path)))
	u.run("fs", "put", file, at(path))
}

func (u *user) counts() {
	u.Helper()
	const output = "counts"
	u.run("run", "wordcount", "--cluster", name, "--quiet", "--input", at("in"), "--output", at(output))
	var all strings.Builder
	for line := range strings.Lines(u.run("fs", "ls", at(output))) {
		if i := strings.Index(line, "part-"); i >= 0 {
			all.WriteString(u.run("fs", "cat", at(output+"/"+strings.TrimSpace(line[i:]))))
		}
	}
	if got := all.String(); got != "a\t2\nb\t1\n" {
		u.Errorf("the fleet counts %q", got)
	}
}

// goes removes the fleet, of which nothing may be left.
func (u *user) goes() {
	var end struct{ Left []any }
	if u.answer(&end, "teardown", name, "--yes", "--purge-data"); len(end.Left) > 0 {
		u.Errorf("teardown says that something is left: %v", end.Left)
	}
	u.nothingToCollect()
	u.awaitNobody()
}
