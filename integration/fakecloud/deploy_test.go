package fakecloud

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/enginetest"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/embedded/embeddedtest"
)

// name is that of the fleet.
const name = "cloud"

// user is somebody who has an account at the cloud.
type user struct {
	*testing.T
	cloud   *Cloud
	program string
	env     []string
}

// TestDeploy is what people do with a fleet on AWS, from nothing to nothing, all in one fleet, since that takes a while to
// come and go.
func TestDeploy(t *testing.T) {
	u := newUser(t)
	if testing.Short() { // runs with the race detector, which sees nothing of other processes
		u.plans()
		return
	}
	u.deploys()
	u.runsJobs()
	u.losesSpot()
	u.breathes()
	u.goes()
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
	u := &user{T: t, cloud: play(t, 120*time.Second), program: filepath.Join(dir, "runner")}
	u.env = append(os.Environ(), embedded.HomeEnv+"="+filepath.Join(dir, "home"), "USER=tester")
	return u
}

// run runs the program, which must succeed, and returns its answer.
func (u *user) run(args ...string) string {
	u.Helper()
	cmd := exec.CommandContext(u.Context(), u.program, args...)
	cmd.Env = u.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, 20*time.Second
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

// deploy is the command that makes the fleet.
var deploy = []string{
	"deploy", "--name", name, "--provider", "aws", "--region", fleettest.Region, "--servers", "1", "--workers", "2",
	"--spot", "0.5", "--ttl", "1h",
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

func (u *user) deploys() {
	u.run(append(slices.Clone(deploy), "--yes", "--json")...)
	if s, w := u.cloud.Running("server"), u.cloud.Running("worker"); len(s) != 1 || len(w) != 2 {
		u.Errorf("there are %d servers and %d workers", len(s), len(w))
	}
	for line := range strings.Lines(u.run("clusters", name, "--env")) {
		if k, v, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "="); ok {
			u.env = append(u.env, k+"="+strings.Trim(v, "'"))
		}
	}
}

// runsJobs counts words and trains, with files that are reached by HDFS names.
func (u *user) runsJobs() {
	u.put("in/a.txt", "b a\na\n")
	u.counts("counts")
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

func (u *user) counts(output string) {
	u.Helper()
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

// losesSpot lets the cloud take a worker away, which must be done when it goes; another one comes.
func (u *user) losesSpot() {
	lost := u.cloud.Running("worker")[0]
	took, ready, err := u.cloud.Reclaim(u.Context(), lost)
	if err != nil {
		u.Fatal(err)
	}
	if u.Logf("a worker that was told that it will be taken away was done after %.1f s", took.Seconds()); !ready {
		u.Errorf("a worker was not done after %v", took)
	}
	u.awaitWorkers(2, lost)
}

// awaitWorkers waits until so many workers are ready, and none of them is the one that was lost.
func (u *user) awaitWorkers(n int, lost string) {
	u.Helper()
	await(u.T, u.cloud, "workers", func() bool {
		running := u.cloud.Running("worker")
		if len(running) != n || slices.Contains(running, lost) {
			return false
		}
		var status struct{ Health struct{ Workers int } }
		u.answer(&status, "status", "--cluster", name)
		return status.Health.Workers == n
	})
}

// breathes lets the fleet choose its size: none for no job, some for one.
func (u *user) breathes() {
	u.run("scale", name, "--min", "0", "--max", "2", "--cooldown", "1s")
	u.awaitWorkers(0, "")
	u.counts("counted-from-zero")
	u.awaitWorkers(0, "")
}

// goes removes the fleet, of which nothing may be left.
func (u *user) goes() {
	var end struct{ Left []any }
	if u.answer(&end, "teardown", name, "--yes", "--purge-data"); len(end.Left) > 0 {
		u.Errorf("teardown says that something is left: %v", end.Left)
	}
	var left []any
	if u.answer(&left, "gc", "--provider", "aws", "--region", fleettest.Region, "--dry-run"); len(left) > 0 {
		u.Errorf("something is left: %v", left)
	}
	await(u.T, u.cloud, "the end of all machines", func() bool {
		return len(u.cloud.Running("server"))+len(u.cloud.Running("worker")) == 0
	})
}
