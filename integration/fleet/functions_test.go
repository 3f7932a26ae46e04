package fleet_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/runner/client"
)

// TestFunctions pushes a function to a fleet and asks it by way of control, which starts its host. What was accepted is
// answered though the host and a control are killed, and a retry gets the first result from the next one. Handlers run
// on several machines while there is work for them, one of which may be lost, and on none when there is not.
func TestFunctions(t *testing.T) {
	tr := newTrial(t)
	files := map[string]string{
		"function.yaml": "kind: handler\nname: note\ncommand: python3 handler.py\nretries: {attempts: 2, first: 10ms}\n" +
			"concurrency: 3\nidle: 1s\ntimeout: 2m\nmemory: 64MiB\nsecrets: {TOKEN: env:NOTE_TOKEN}\n",
		"handler.py": "import runner, urllib.request\n\ndef handle(event, invocation):\n    print('noting', event['n'])\n" +
			"    if 'gate' in event:\n        urllib.request.urlopen(event['gate'])\n    env = runner.os.environ\n" +
			"    return {'noted': event['n'], 'secrets': [env.get('TOKEN'), env.get('CONSUL_HTTP_TOKEN')]}\n\n" +
			"runner.serve(handle)\n",
	}
	tr.env = append(tr.env, "NOTE_TOKEN=s3cret")
	folder := filepath.Join(tr.dir, "note")
	tr.run("fn", "init", folder, "--lang", "python")
	for name, text := range files {
		tr.must(os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	if got := tr.run("fn", "push", folder); got != "note@1\n" {
		t.Errorf("pushed %q", got)
	}
	event := func(n int) string { return fmt.Sprintf(`{"n":%d}`, n) }
	answer := func(n int) string { return fmt.Sprintf("{\"noted\": %d, \"secrets\": [\"s3cret\", null]}\n", n) }
	if got := tr.run("invoke", "note", "-d", event(1), "--key", "one"); got != answer(1) {
		t.Errorf("the answer is %s", got)
	}
	var ids []string
	for n := 2; n < 6; n++ {
		ids = append(ids, strings.TrimSpace(tr.run("invoke", "note", "-d", event(n), "--async")))
	}
	tr.kill("fn")
	tr.kill("control")
	for i, id := range ids {
		if got := tr.run("result", id); got != answer(i+2) {
			t.Errorf("the result of %s is %s", id, got)
		}
	}
	if got := tr.run("invoke", "note", "-d", event(7), "--key", "one"); got != answer(1) {
		t.Errorf("a retry got %s", got)
	}
	id := strings.TrimSpace(tr.run("invoke", "note", "-d", event(8), "--async"))
	tr.run("result", id)
	if got := tr.run("fn", "log", id); got != "noting 8\n" {
		t.Errorf("the log is %q", got)
	}
	if out, err := tr.command("invoke", "note", "-d", "{}").CombinedOutput(); err == nil || !strings.Contains(string(out),
		"note failed 2 times, the last one: KeyError: 'n'") {
		t.Errorf("a failing handler: %v\n%s", err, out)
	}
	if dead := tr.run("fn", "dead", "ls", "note"); !strings.Contains(dead, "KeyError") {
		t.Errorf("the dead letters are %q", dead)
	}
	if list := tr.run("fn", "ls", "--json"); !strings.Contains(list, `"succeeded":6`) {
		t.Errorf("functions: %s", list)
	}
	ids = ids[:0]
	gate := tr.turnstile(0)
	for n := range 9 {
		held := fmt.Sprintf(`{"n":%d,"gate":%q}`, n, gate.url)
		ids = append(ids, strings.TrimSpace(tr.run("invoke", "note", "-d", held, "--async")))
	}
	lost := tr.machineOfHandlers()
	tr.must(tr.cluster.KillMachine(lost))
	gate.open()
	for n, id := range ids {
		if got := tr.run("result", id); got != answer(n) {
			t.Errorf("the result of %s is %s", id, got)
		}
	}
	tr.must(tr.cluster.StartMachine(lost))
	tr.must(tr.cluster.Eventually(t.Context(), func() error {
		if all := tr.containers("handler"); len(all) > 0 {
			return fmt.Errorf("%d handlers wait for events that never come", len(all))
		}
		return nil
	}))
	tr.run("fn", "rm", "note", "--yes")
	ready(t)
}

// TestLimitsOfHandlers: callers are told in a sentence what has ended a handler on a fleet, the next event finds another
// one, and the containers of handlers are given what the manifest says. What was said before is in the log.
func TestLimitsOfHandlers(t *testing.T) {
	tr := newTrial(t)
	folder := filepath.Join(tr.dir, "limited")
	tr.run("fn", "init", folder, "--lang", "python")
	for name, text := range map[string]string{
		"function.yaml": "kind: handler\nname: limited\ncommand: python3 handler.py\nretries: {attempts: 1}\n" +
			"timeout: 6s\nmemory: 64MiB\ncpu: 1\nconcurrency: 1\n",
		"handler.py": `import os, runner, time

def handle(event, invocation):
    print('asked to', event)
    if event == 'die':
        os._exit(3)
    eaten = []
    while event == 'eat':
        eaten.append(b'x' * (1 << 20))
        time.sleep(0.05)
    if event == 'sleep':
        time.sleep(600)
    return event

runner.serve(handle)
`,
	} {
		tr.must(os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	tr.run("fn", "push", folder)
	for _, c := range []struct{ event, told string }{
		{"die", "limited failed: its handler exited with status 3"},
		{"eat", "limited failed: its handler used more memory than the function may, and was killed"},
		{"sleep", "limited failed: it took longer than its timeout of 6s, and its handler was killed"},
	} {
		out, err := tr.command("invoke", "limited", "-d", strconv.Quote(c.event)).CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.told) {
			t.Errorf("asked to %s: %v\n%s", c.event, err, out)
		}
		if got := tr.run("invoke", "limited", "-d", `"work"`); got != "\"work\"\n" {
			t.Errorf("after %s the answer is %q", c.event, got)
		}
	}
	nomad, err := tr.cluster.Nomad()
	tr.must(err)
	allocs, _, err := nomad.Allocations().List(&nomadapi.QueryOptions{Filter: `TaskGroup == "handler"`})
	tr.must(err)
	for _, a := range allocs {
		whole, _, err := nomad.Allocations().Info(a.ID, nil)
		tr.must(err)
		for name, task := range whole.AllocatedResources.Tasks {
			if task.Memory.MemoryMB != 128 || task.Cpu.CpuShares <= 0 { // half of it for who hands events over
				t.Errorf("%s of %s was given %+v", name, a.ID, task)
			}
		}
	}
	var letters []client.Invocation
	tr.must(json.Unmarshal([]byte(tr.run("fn", "dead", "ls", "limited", "--json")), &letters))
	if len(letters) != 3 || len(allocs) == 0 {
		t.Fatalf("%d dead letters, %d containers", len(letters), len(allocs))
	}
	if got := tr.run("fn", "log", string(letters[1].ID)); got != "asked to eat\n" {
		t.Errorf("the log is %q", got)
	}
	tr.run("fn", "rm", "limited", "--yes")
}

// machineOfHandlers waits until handlers run on several machines, and returns one of these that is not the host's.
func (tr *trial) machineOfHandlers() (machine string) {
	tr.t.Helper()
	tr.must(tr.cluster.Eventually(tr.t.Context(), func() error {
		hosts, handlers := tr.containers("functions"), tr.containers("handler")
		if len(hosts) == 0 || len(slices.Compact(slices.Sorted(slices.Values(handlers)))) < 2 {
			return fmt.Errorf("the host runs on %v, handlers on %v", hosts, handlers)
		}
		i := slices.IndexFunc(handlers, func(m string) bool { return m != hosts[0] })
		machine = handlers[i]
		return nil
	}))
	return machine
}

// containers returns the machine of each container of a role that runs.
func (tr *trial) containers(role string) (machines []string) {
	tr.t.Helper()
	nomad, err := tr.cluster.Nomad()
	tr.must(err)
	allocs, _, err := nomad.Allocations().List(&nomadapi.QueryOptions{Filter: fmt.Sprintf("TaskGroup == %q", role)})
	tr.must(err)
	for _, a := range allocs {
		if a.ClientStatus == nomadapi.AllocClientStatusRunning {
			machines = append(machines, a.NodeName)
		}
	}
	return machines
}
