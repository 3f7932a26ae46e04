// Package deploy_test holds what must be true of fleets that people make and remove, on the provider whose machines are
// processes of this host: that they work, and that nothing is left of them, whoever is killed on the way.
package deploy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/enginetest"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/s3"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/embedded/embeddedtest"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/local"
)

var bin string // the program

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "runner-deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := embeddedtest.Build(dir, map[string]string{"runner": "../../runner"}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin = filepath.Join(dir, "runner")
	return m.Run()
}

// user is somebody with a home folder of his own, who leaves nothing behind.
type user struct {
	*testing.T
	home string
	temp string // for temporary files
}

func newUser(t *testing.T) *user {
	t.Helper()
	for _, name := range []string{"consul", "nomad", "versitygw"} {
		enginetest.Binary(t, name)
	}
	u := &user{t, t.TempDir(), t.TempDir()}
	t.Cleanup(func() {
		clusters, _ := filepath.Glob(filepath.Join(u.home, "local", "*")) // the pattern is well formed
		for _, dir := range clusters {
			if err := (local.Host{Dir: dir}).Remove(); err != nil {
				t.Error(err)
			}
		}
	})
	return u
}

// command makes a command of the program.
func (u *user) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(u.Context(), bin, args...)
	cmd.Env = append(os.Environ(), embedded.HomeEnv+"="+u.home, "TMPDIR="+u.temp, "USER=tester")
	return cmd
}

// exits runs the program, which must end with a code, and returns what it says on standard output and error.
func (u *user) exits(code int, args ...string) (out, story string) {
	u.Helper()
	cmd := u.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	u.Logf("%.1f s: runner %s", time.Since(began).Seconds(), strings.Join(args, " "))
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		u.Fatal(err)
	} else if got := cmd.ProcessState.ExitCode(); got != code || got != 0 && stderr.Len() == 0 {
		u.Fatalf("runner %s: exit code %d, want %d and a sentence\n%s%s", strings.Join(args, " "), got, code, &stdout,
			&stderr)
	}
	return stdout.String(), stderr.String()
}

// run runs the program, which must succeed, and returns its answer.
func (u *user) run(args ...string) string {
	u.Helper()
	out, _ := u.exits(0, args...)
	return out
}

// answer decodes the last line of a JSON answer.
func (u *user) answer(text string, v any) {
	u.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), v); err != nil {
		u.Fatalf("%v: %s", err, text)
	}
}

// host is what a cluster has on this host.
func (u *user) host(name string) local.Host { return local.New(u.home).Host(name) }

// nothingLeft fails if anything of a cluster is there but the record that it was.
func (u *user) nothingLeft(name string) {
	u.Helper()
	h := u.host(name)
	if alive := h.Alive(); len(alive) > 0 {
		for _, pid := range alive {
			u.Errorf("process %d is left: %q", pid, local.CommandLine(pid))
		}
	}
	if mounts, err := local.Mounts(u.home); err != nil || len(mounts) > 0 {
		u.Errorf("mounts are left: %v, %v", mounts, err)
	}
	for _, path := range []string{h.Dir, filepath.Join(u.home, "buckets", name),
		filepath.Join(u.home, "clusters", name+".json")} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			u.Errorf("%s is left (%v)", path, err)
		}
	}
	for _, file := range []string{"terraform.tfstate", "secrets.json", "plan.json", "work"} {
		if path := filepath.Join(u.home, "fleets", name, file); !errors.Is(errOf(os.Lstat(path)), fs.ErrNotExist) {
			u.Errorf("%s is left", path)
		}
	}
	if files, err := os.ReadDir(u.temp); err != nil || len(files) > 0 {
		u.Errorf("temporary files are left: %v, %v", files, err)
	}
}

func errOf(_ os.FileInfo, err error) error { return err }

// bucket opens the bucket of a cluster, as its people do.
func (u *user) bucket(name string) store.Store {
	u.Helper()
	c, err := fleet.Load(u.home, name)
	if err != nil {
		u.Fatal(err)
	}
	for k, v := range c.Env {
		u.Setenv(k, v)
	}
	st, err := s3.Open(u.Context(), s3.Config{
		Bucket: local.BucketOf(name), Endpoint: c.Env["AWS_ENDPOINT_URL"], PathStyle: true, NoProbe: true,
	})
	if err != nil {
		u.Fatal(err)
	}
	return st
}

func (u *user) put(st store.Store, name, text string) {
	u.Helper()
	if err := store.Put(u.Context(), st, store.Name(name), []byte(text)); err != nil {
		u.Fatal(err)
	}
}

// read returns all objects below a prefix, one after the other, but for those that prove the others.
func (u *user) read(st store.Store, prefix string) string {
	u.Helper()
	var all strings.Builder
	for info, err := range st.List(u.Context(), prefix) {
		if err != nil {
			u.Fatal(err)
		}
		text, err := store.Get(u.Context(), st, info.Name, 1<<20)
		if err != nil {
			u.Fatal(err)
		}
		if !strings.HasSuffix(string(info.Name), "_SUCCESS") {
			all.Write(text)
		}
	}
	return all.String()
}

// await waits until something is true, as long as it takes.
func (u *user) await(what string, ok func() bool) {
	u.Helper()
	late := time.After(2 * time.Minute)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-late:
			u.Fatalf("waited for %s in vain", what)
		}
	}
}

// TestFleet is what people do with a fleet, from nothing to nothing.
func TestFleet(t *testing.T) {
	u := newUser(t)
	u.exits(2, "deploy", "--name", "night") // nobody can be asked
	u.nothingOf("night")
	u.run("deploy", "--name", "night", "--workers", "2", "--yes", "--json")
	var fresh struct{ Trouble string }
	u.answer(u.run("status", "--cluster", "night", "--json"), &fresh)
	if fresh.Trouble != "" { // the first that is asked of its control
		t.Errorf("the jobs of a new fleet are not known: %s", fresh.Trouble)
	}

	words := filepath.Join(u.temp, "a.txt")
	if err := os.WriteFile(words, []byte("b a\na\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.run("fs", "put", words, "s3://runner-night/in/") // its bucket, of all that are called so
	u.run("fs", "mkdir", "hdfs://night/logs")
	if err := os.Remove(words); err != nil {
		t.Fatal(err)
	}
	st := u.bucket("night")
	u.run("run", "wordcount", "--cluster", "night", "--quiet", "--input", "s3://runner-night/in", "--output",
		"s3://runner-night/counts")
	if got := u.read(st, "counts/part"); got != "a\t2\nb\t1\n" {
		t.Errorf("the fleet counts %q", got)
	}
	u.put(st, "numbers/a", "1\n2\n3\n")
	u.put(st, "numbers/b", "2\n3\n4\n")
	u.run("run", "sum", "--cluster", "night", "--quiet", "--input", "s3://runner-night/numbers", "--output",
		"s3://runner-night/sum", "--set", "workers=2", "--set", "iterations=10")
	if got := u.read(st, "sum/sum.txt"); got != "15345\n" {
		t.Errorf("a training with two workers computes %q", got)
	}

	u.scaled("night", 0)
	u.scaled("night", 1)
	u.invokes("night")
	var plan struct{ Changes []any }
	u.answer(u.run("deploy", "--name", "night", "--workers", "1", "--plan", "--json"), &plan)
	if len(plan.Changes) > 0 {
		t.Errorf("a fleet that is well would be changed: %v", plan.Changes)
	}
	u.heals("night")
	u.schedules(st)

	u.run("teardown", "night", "--yes")
	if _, err := os.Stat(filepath.Join(u.home, "buckets", "night", "runner-night", "counts", "_SUCCESS")); err != nil {
		t.Errorf("the data did not stay: %v", err)
	}
	u.breathes("night", func() store.Store { return u.bucket("night") })
	if got := u.read(u.bucket("night"), "counts/part"); got != "a\t2\nb\t1\n" {
		t.Errorf("a second fleet finds %q in the bucket of the first", got)
	}
	var end struct{ Left []any }
	u.answer(u.run("teardown", "night", "--yes", "--purge-data", "--json"), &end)
	if len(end.Left) > 0 {
		t.Errorf("teardown says that something is left: %v", end.Left)
	}
	u.nothingLeft("night")
	u.exits(3, "teardown", "night", "--yes")
}

// nothingOf fails if a cluster has a folder or a process.
func (u *user) nothingOf(name string) {
	u.Helper()
	if _, err := os.Lstat(u.host(name).Dir); !errors.Is(err, fs.ErrNotExist) || len(u.host(name).Alive()) > 0 {
		u.Errorf("there is something of %s: %v", name, err)
	}
}

// invokes has a function answer whose host and handler are on one machine, as different users.
func (u *user) invokes(name string) {
	u.Helper()
	dir := filepath.Join(u.temp, "echo")
	u.run("fn", "init", dir, "--lang", "shell")
	u.run("fn", "push", dir, "--cluster", name)
	if got := u.run("invoke", "echo", "--cluster", name, "-d", `{"x":1}`); !strings.Contains(got, `{"event":{"x":1}}`) {
		u.Errorf("a function answers %q", got)
	}
	if err := os.RemoveAll(dir); err != nil {
		u.Fatal(err)
	}
}

// scaled changes the number of workers, and looks whether there are as many.
func (u *user) scaled(name string, workers int) {
	u.Helper()
	u.run("scale", name, "--workers", fmt.Sprint(workers))
	var status struct {
		Machines []struct{ Role, State string }
		Health   struct{ Answers bool }
	}
	u.answer(u.run("status", "--cluster", name, "--json"), &status)
	have := 0
	for _, m := range status.Machines {
		if m.Role == "worker" && m.State == "running" {
			have++
		}
	}
	if have != workers {
		u.Errorf("%d workers after scaling to %d: %+v", have, workers, status.Machines)
	}
}

// heals kills a worker as a power cut would, and lets deploy replace it.
func (u *user) heals(name string) {
	u.Helper()
	h := u.host(name)
	if err := local.Kill(func() []int { return h.On("worker-1") }); err != nil {
		u.Fatal(err)
	}
	u.run("deploy", "--name", name, "--workers", "1", "--yes", "--json")
	if len(h.On("worker-1")) == 0 {
		u.Error("deploy did not replace a dead worker")
	}
}
