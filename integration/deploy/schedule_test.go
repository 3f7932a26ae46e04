package deploy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seed3322913c/runner/runner/local"
	"github.com/seed3322913c/runner/runner/schedules"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// TestFiringHasAFleet adds a schedule whose firings each get a fleet, and wants it to run now. The process that makes
// the fleet is killed on the way; another one goes on. The model is at the slot's path in the end, and nothing else is
// left.
func TestFiringHasAFleet(t *testing.T) {
	u := newUser(t)
	in := filepath.Join(u.home, "numbers")
	if err := os.MkdirAll(in, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"a": "1\n2\n3\n", "b": "2\n3\n4\n"} {
		if err := os.WriteFile(filepath.Join(in, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	models := filepath.Join(u.home, "models")
	training := []string{"--", "run", "sum", "--input", in, "--output", models + "/{{.FireTime}}",
		"--set", "workers=2", "--set", "iterations=10"}
	add := []string{"schedule", "add", "nightly", "--cron", "@yearly", "--provider", "local", "--workers", "2", "--fleet"}
	u.exits(2, slices.Concat(add, []string{"eternal"}, training)...)
	u.run(slices.Concat(add, []string{"ephemeral"}, training)...)
	u.run("schedule", "trigger", "nightly")
	serve := u.command("schedule", "serve")
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, file := range globbed(u.home, "logs", "*", "node.log") {
				log, _ := os.ReadFile(file) // it is for people
				t.Logf("%s:\n%s", file, log)
			}
		}
		_ = serve.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = serve.Wait()                          // that it was told to
	})

	var fired cron.Firing
	u.await("the fleet of a firing", func() bool {
		fired = u.firing("nightly")
		return fired.ID != "" && exists(filepath.Join(u.home, "fleets", "for-"+fired.ID))
	})
	if err := local.Kill(func() []int { return supervisors(u.home, fired.ID) }); err != nil {
		t.Fatal(err)
	}
	u.await("the end of the firing", func() bool {
		fired = u.firing("nightly")
		return fired.State.Final()
	})
	if fired.State != cron.Succeeded {
		t.Fatalf("the firing has %s: %s", fired.State, fired.Message)
	}
	out := filepath.Join(models, fired.Slot.UTC().Format("20060102T150405Z"))
	if text, err := os.ReadFile(filepath.Join(out, "sum.txt")); err != nil || string(text) != "15345\n" {
		t.Errorf("the model is %q, %v", text, err)
	}
	metrics, err := os.ReadFile(filepath.Join(out, "metrics.jsonl"))
	if err != nil || strings.Count(string(metrics), `"iteration":`) != 10 {
		t.Errorf("the metrics are %q, %v", metrics, err)
	}
	u.run("verify", out)
	if text := u.run("jobs"); !strings.Contains(text, "SUCCEEDED") {
		t.Errorf("the jobs are %s", text)
	}
	u.nothingLeft("for-" + fired.ID)
}

// firing is what became of the latest slot of a schedule.
func (u *user) firing(schedule string) cron.Firing {
	u.Helper()
	var v schedules.View
	if err := json.Unmarshal([]byte(u.run("schedule", "show", schedule, "--json")), &v); err != nil {
		u.Fatal(err)
	}
	if len(v.Firings) == 0 {
		return cron.Firing{}
	}
	return v.Firings[0].Firing
}

// globbed are the files that a pattern names, which is well formed.
func globbed(parts ...string) []string {
	files, _ := filepath.Glob(filepath.Join(parts...))
	return files
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// supervisors are the processes of a home that see a job to its end.
func supervisors(home, job string) (pids []int) {
	for _, dir := range globbed("/proc/[0-9]*") {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // it may have ended
		env, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if strings.HasSuffix(string(line), "\x00node\x00"+job+"\x00") && strings.Contains(string(env), "RUNNER_HOME="+home) {
			if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
