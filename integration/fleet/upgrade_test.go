package fleet_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// nextBuild is the program as its next version may be: with one more field in each record of a job's ledger, of
// control's queues and of a gateway's namespace, and in what is known of a job in Consul.
func nextBuild(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	replaced := map[string]string{}
	const field = "\tNext [3]string `json:\"next\"`\n"
	for file, change := range map[string]struct{ before, more string }{
		"scheduler/am/record.go":     {"type record struct {\n", field},
		"scheduler/roster/roster.go": {"type Record struct {\n", field},
		"runner/fleet/grant.go":      {"type grant struct {\n", field},
		"hdfsgw/namespace/request.go": {
			"\tnum(c, &r.Unmasked)\n", // records of this version end here
			"\tif next := \"next\"; !c.reading || len(c.buf) > 0 {\n\t\tc.string(&next)\n\t}\n",
		},
	} {
		path, err := filepath.Abs(filepath.Join("../..", file))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil || strings.Count(string(text), change.before) != 1 {
			t.Fatalf("%s has no %q: %v", file, change.before, err)
		}
		replaced[path] = filepath.Join(dir, filepath.Base(file))
		next := strings.Replace(string(text), change.before, change.before+change.more, 1)
		if err := os.WriteFile(replaced[path], []byte(next), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "runner")
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, "../../runner")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// install puts another build of the program on all machines. What runs goes on with the one that it has.
func (tr *trial) install(program string) {
	tr.t.Helper()
	part := tr.cluster.State.Program + ".part"
	text, err := os.ReadFile(program)
	tr.must(err)
	tr.must(os.WriteFile(part, text, 0o755))
	tr.must(os.Rename(part, tr.cluster.State.Program))
}

// roll ends every process of a role, and waits until as many run that were started from what is installed now.
func (tr *trial) roll(verb string) {
	tr.t.Helper()
	var before []int
	for _, p := range tr.all(verb) {
		before = append(before, p.PID)
		tr.end(p)
	}
	if len(before) == 0 {
		tr.t.Fatalf("there is no process %s", verb)
	}
	installed, err := os.Stat(tr.cluster.State.Program)
	tr.must(err)
	tr.must(tr.cluster.Eventually(tr.t.Context(), func() error {
		now := 0
		for _, p := range tr.cluster.Program() {
			exe, err := os.Stat(fmt.Sprintf("/proc/%d/exe", p.PID))
			if p.Verb == verb && err == nil && os.SameFile(exe, installed) {
				now++
			}
		}
		if now < len(before) {
			return fmt.Errorf("%d of %d processes %s are of the new build", now, len(before), verb)
		}
		return nil
	}))
}

// TestRollingUpgrade replaces the program on all machines in the middle of a job, role by role, and in two gateways,
// through which the job reads; and then goes back in the middle of another one. Each version reads what the other has
// written, and no task that was finished runs again.
func TestRollingUpgrade(t *testing.T) {
	old, next := filepath.Join(site.bin, "runner"), nextBuild(t)
	t.Run("next", func(t *testing.T) { upgrade(t, old, next) })
	t.Run("back", func(t *testing.T) { upgrade(t, next, old) }) // which leaves the cluster as it was
}

// upgrade installs another build while a job runs.
func upgrade(t *testing.T, from, to string) {
	tr := newTrial(t)
	at := tr.addresses(2)
	coord := t.TempDir()
	gateway := func(program string, i int) gateway {
		return tr.gateway(program, "--store", tr.uri("files"), "--cache", "0", "--coord", coord, "--http", at[i])
	}
	leader := gateway(from, 0)
	leader.leads()
	other := gateway(from, 1)
	tr.env = append(tr.env, "RUNNER_GATEWAYS=demo="+strings.Join(at, ","))
	tr.run("fs", "mkdir", "-p", "webhdfs://demo/in")
	for i := range 2 {
		text := filepath.Join(tr.dir, fmt.Sprint(i, ".txt"))
		tr.must(os.WriteFile(text, []byte(tr.read(fmt.Sprintf("in/%d.txt", i))), 0o600))
		tr.run("fs", "put", text, fmt.Sprintf("webhdfs://demo/in/%d.txt", i))
	}
	held := tr.turnstile(3)
	w, _ := held.start("crash.yaml", "--input", "webhdfs://demo/in")
	tr.install(to)
	other.end()
	other = gateway(to, 1)
	leader.end()
	other.leads()
	gateway(to, 0)
	for _, verb := range []string{"am", "node", "control"} {
		tr.roll(verb)
	}
	held.open()
	after := w.end()
	tr.check()
	tr.nothingLeft(after.Job)
	if after.Masters != 2 {
		t.Errorf("%d application masters, not 2", after.Masters)
	}
	for _, s := range after.Stages {
		if s.Name == "map" && s.Lost > 0 {
			t.Errorf("%d maps were lost", s.Lost)
		}
	}
	ready(t)
}
