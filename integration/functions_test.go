package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/seed3322913c/runner/infra/enginetest"
	"github.com/seed3322913c/runner/infra/seedtest"
	"github.com/seed3322913c/runner/runner/embedded/embeddedtest"
)

// pushed makes a trial with the function note, in Python, which writes down each event before it answers it.
func pushed(t *testing.T, chance *rand.Rand) *trial {
	t.Helper()
	tr := emptyTrial(t, chance)
	tr.told("fn", "init", "note", "--lang", "python")
	handler := `import runner

def handle(event, invocation):
    if event.get("bad"):
        raise ValueError("<img src=x onerror=\"document.title='taken'\">")
    with open(event["file"], "a") as f:
        f.write(f"{event['n']}\n")
    print("noted", event["n"])
    return {"noted": event["n"]}

runner.serve(handle)
`
	manifest := "kind: handler\nname: note\ncommand: python3 handler.py\nretries: {attempts: 100, " +
		"first: 10ms, most: 100ms}\n"
	for name, text := range map[string]string{"handler.py": handler, "function.yaml": manifest} {
		if err := os.WriteFile(filepath.Join(tr.dir, "note", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tr.told("fn", "push", "note")
	t.Cleanup(func() {
		if out, err := tr.command("fn", "stop").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	return tr
}

// told runs a command that must go well, and returns what it says.
func (tr *trial) told(args ...string) string {
	tr.t.Helper()
	cmd := tr.command(args...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		tr.t.Fatalf("%v: %v\n%s%s", args, err, out, complaints.String())
	}
	return string(out)
}

// TestFunctionsSurviveKills kills the host and handlers, again and again, while events come in. Everything that was
// accepted is answered in the end, and every caller that waited gets his answer, though the host he asked may be dead.
func TestFunctionsSurviveKills(t *testing.T) {
	chance := seedtest.New(t)
	tr := pushed(t, chance)
	events, kills := 60, 6
	if testing.Short() {
		events, kills = 30, 3
	}
	notes := filepath.Join(tr.dir, "notes")
	event := func(n int) string { return fmt.Sprintf(`{"n":%d,"file":%q}`, n, notes) }
	ids := make([]string, events) // of those that nobody waited for
	var callers sync.WaitGroup
	next, killed := make(chan int), make(chan struct{})
	for range 4 {
		callers.Go(func() {
			for n := range next {
				args := []string{"invoke", "note", "--key", fmt.Sprint("event-", n), "-d", event(n)}
				if n%2 == 0 {
					args = append(args, "--async")
				}
				cmd := tr.command(args...)
				var complaints bytes.Buffer
				cmd.Stderr = &complaints
				out, err := cmd.Output()
				switch {
				case err != nil:
					t.Errorf("event %d: %v: %s", n, err, complaints.String())
				case n%2 == 0:
					ids[n] = strings.TrimSpace(string(out))
				case string(out) != fmt.Sprintf("{\"noted\": %d}\n", n):
					t.Errorf("event %d is answered by %s", n, out)
				}
			}
		})
	}
	go func() {
		defer close(killed)
		for range kills {
			tr.killOne()
		}
	}()
	for n := range events {
		next <- n
	}
	close(next)
	callers.Wait()
	<-killed
	for n, id := range ids {
		if n%2 == 0 {
			if got, want := tr.told("result", id), fmt.Sprintf("{\"noted\": %d}\n", n); got != want {
				t.Errorf("event %d is answered by %s", n, got)
			}
		}
	}
	tr.noted(notes, events)
}

// awaitEnd waits until no process of a role is left.
func (tr *trial) awaitEnd(verb string) {
	tr.t.Helper()
	end := time.After(time.Minute)
	for look := time.NewTicker(10 * time.Millisecond); ; {
		if !slices.ContainsFunc(embeddedtest.Processes(tr.home),
			func(p embeddedtest.Process) bool { return p.Verb == verb }) {
			look.Stop()
			return
		}
		select {
		case <-look.C:
		case <-end:
			tr.t.Fatalf("%s is still there", verb)
		}
	}
}

// killOne kills (SIGKILL) the host or a handler, as soon as there is one.
func (tr *trial) killOne() {
	verbs := []string{"fn", "handler.py"}
	verb := verbs[tr.chance.IntN(2)]
	pause := time.Duration(tr.chance.IntN(150)) * time.Millisecond
	end := time.After(time.Minute)
	for look := time.NewTimer(pause); ; look.Reset(time.Millisecond) {
		select {
		case <-look.C:
		case <-end:
			return // all events are answered, and nobody is needed any more
		}
		for _, p := range embeddedtest.Processes(tr.home) {
			if p.Verb == verb {
				_ = syscall.Kill(p.PID, syscall.SIGKILL) // it may have ended by itself
				return
			}
		}
	}
}

// noted fails unless every event was written down, and the ledger has each of them answered once.
func (tr *trial) noted(file string, events int) {
	tr.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tr.t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		seen[strings.TrimSpace(line)] = true
	}
	if len(seen) != events {
		tr.t.Errorf("%d of %d events were handled", len(seen), events)
	}
	var functions []struct {
		Stats struct{ Queued, Succeeded, Dead int }
	}
	if err := json.Unmarshal([]byte(tr.told("fn", "ls", "--json")), &functions); err != nil {
		tr.t.Fatal(err)
	}
	if s := functions[0].Stats; s.Queued != 0 || s.Succeeded != events || s.Dead != 0 {
		tr.t.Errorf("of %d events the ledger has %+v", events, s)
	}
}

// TestUIOfFunctions looks at how a function does, at what an invocation has said, and tries dead letters again.
func TestUIOfFunctions(t *testing.T) {
	chromium := enginetest.Binary(t, "chromium")
	tr := pushed(t, seedtest.New(t))
	manifest := "kind: handler\nname: note\ncommand: python3 handler.py\nretries: {attempts: 1}\n"
	if err := os.WriteFile(filepath.Join(tr.dir, "note", "function.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	tr.told("fn", "push", "note")
	tr.told("invoke", "note", "-d", fmt.Sprintf(`{"n":1,"file":%q}`, filepath.Join(tr.dir, "notes")))
	if out, err := tr.command("invoke", "note", "-d", `{"bad":true}`).CombinedOutput(); err == nil {
		t.Fatalf("a failing handler answers %s", out)
	}
	b := openBrowser(t, chromium, tr.serveUI())
	b.do("functions", chromedp.Click("nav a[href='/functions']"), chromedp.WaitVisible("table.functions tbody tr"))
	if shown := get(b, chromedp.Text("table.functions tbody tr")); !strings.Contains(shown, "version 2") ||
		!strings.Contains(shown, " ms") {
		t.Errorf("the function is shown as %q", shown)
	}
	b.do("one function", chromedp.Click("table.functions a"), chromedp.WaitVisible("table.invocations .dead"))
	if title := get(b, chromedp.Title()); title != "note · Runner" {
		t.Errorf("what the handler said became the title %q", title)
	}
	b.do("its log", chromedp.Click("table.invocations tbody tr:last-child button"), chromedp.WaitVisible("pre.log"))
	if said := get(b, chromedp.Text("pre.log")); strings.TrimSpace(said) != "noted 1" {
		t.Errorf("the log is shown as %q", said)
	}
	b.onPhone("one function")
	b.do("functions in the dark", chromedp.Click("nav a[href='/functions']"),
		chromedp.WaitVisible("table.functions tbody tr"))
	b.fits()
	b.do("dead letters", chromedp.NavigateBack(), chromedp.WaitVisible("table.invocations .dead"))
	b.do("dead letters again", chromedp.Click("button[data-key='redrive']"), chromedp.WaitVisible("table.invocations"))
	b.complained()
}

// TestFunctionsOverHTTP asks by way of a server that is not the host: for a handler's answer, and for a job.
func TestFunctionsOverHTTP(t *testing.T) {
	tr := pushed(t, seedtest.New(t))
	count := filepath.Join(tr.dir, "count")
	if err := os.Mkdir(count, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"count/function.yaml": "kind: mapreduce\nname: count\n", "text": "to be or not to be\n",
		"count/job.yaml": "kind: mapreduce\nmapreduce: {mapper: {builtin: grep}, reducer: {builtin: sum}}\n",
	} {
		if err := os.WriteFile(filepath.Join(tr.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tr.told("fn", "push", "count")
	base := tr.serveUI()
	post := func(name, event string) string {
		t.Helper()
		resp, err := http.Post(base+"v1/functions/"+name+"/invocations", "application/json", strings.NewReader(event))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := post("note", fmt.Sprintf(`{"n":1,"file":%q}`, filepath.Join(tr.dir, "notes"))); got != `{"noted": 1}` {
		t.Errorf("the answer is %s", got)
	}
	if got := post("count", `{"input":"text","output":"out","pattern":"to"}`); !strings.Contains(got,
		"there is no input text") {
		t.Errorf("a path that is not absolute: %s", got)
	}
	out := filepath.Join(tr.dir, "out")
	answer := post("count", fmt.Sprintf(`{"input":%q,"output":%q,"pattern":"to"}`, filepath.Join(tr.dir, "text"), out))
	var started struct{ Job string }
	if err := json.Unmarshal([]byte(answer), &started); err != nil || started.Job == "" {
		t.Fatalf("the answer is %s: %v", answer, err)
	}
	tr.awaitEnd("node") // of the job's supervisor
	if text, err := os.ReadFile(filepath.Join(out, "part-r-00000")); err != nil || string(text) != "to\t2\n" {
		t.Errorf("the output is %q, %v", text, err)
	}
}
