package fleet_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFunctions pushes a function to a fleet and asks it by way of control, which starts its host. What was accepted is
// answered though the host and a control are killed, and a retry gets the first result from the next one.
func TestFunctions(t *testing.T) {
	tr := newTrial(t)
	files := map[string]string{
		"function.yaml": "kind: handler\nname: note\ncommand: python3 handler.py\nretries: {attempts: 2, first: 10ms}\n",
		"handler.py": "import runner\n\ndef handle(event, invocation):\n    print('noting', event['n'])\n" +
			"    return {'noted': event['n'], 'secrets': runner.os.environ.get('CONSUL_HTTP_TOKEN')}\n\nrunner.serve(handle)\n",
	}
	folder := filepath.Join(tr.dir, "note")
	tr.run("fn", "init", folder, "--lang", "python")
	for name, text := range files {
		tr.must(os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	if got := tr.run("fn", "push", folder); got != "note@1\n" {
		t.Errorf("pushed %q", got)
	}
	event := func(n int) string { return fmt.Sprintf(`{"n":%d}`, n) }
	answer := func(n int) string { return fmt.Sprintf("{\"noted\": %d, \"secrets\": null}\n", n) }
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
	tr.run("fn", "rm", "note", "--yes")
}
