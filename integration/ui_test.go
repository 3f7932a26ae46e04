package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/seed3322913c/runner/infra/enginetest"
)

// TestUI looks at the page of a job that went well and of one that failed, whose script says what would do harm as
// markup, with a real browser. Screenshots are kept by `go test -artifacts`.
func TestUI(t *testing.T) {
	chromium := enginetest.Binary(t, "chromium")
	tr := &trial{t: t, dir: t.TempDir()}
	tr.home = filepath.Join(tr.dir, "home")
	const hostile = `<img src=x onerror="document.title='taken'">`
	script := "import sys\nfor line in sys.stdin: sys.exit('''" + hostile + "''')\n"
	spec := "kind: mapreduce\nname: hostile\ninput: [text]\noutput: out/bad\nmapreduce:\n  mapper: {exec: " +
		"python3 map.py}\n"
	for name, text := range map[string]string{"map.py": script, "bad.yaml": spec, "text": "to be or not to be\n"} {
		if err := os.WriteFile(filepath.Join(tr.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := tr.command("run", "wordcount", "--input", "text", "--output", "out/good").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := tr.command("run", "bad.yaml").CombinedOutput(); err == nil {
		t.Fatalf("a failing script succeeded\n%s", out)
	}

	b := openBrowser(t, chromium, tr.serveUI())
	b.do("the list", chromedp.WaitVisible("tbody tr"))
	if names := get(b, chromedp.Text("tbody tr:first-child td:nth-child(2)")); names != "hostile" {
		t.Errorf("the name beside the first job's id is %q", names)
	}
	if rows := get(b, chromedp.Evaluate[int]("document.querySelectorAll('tbody tr').length")); rows != 2 {
		t.Errorf("%d jobs are shown, want 2", rows)
	}
	b.do("a failed job", chromedp.Click("tbody tr:first-child a"), chromedp.WaitVisible(".block.failed"))
	failed, title := get(b, chromedp.Text("pre.error")), get(b, chromedp.Title())
	if !strings.Contains(failed, hostile) || strings.Contains(title, "taken") {
		t.Errorf("what the script said is shown as %q under the title %q", failed, title)
	}
	b.do("an attempt's log", chromedp.Click(".tasks a"), chromedp.WaitVisible(".logs pre:not(:empty)"))
	if at, said := get(b, chromedp.Location()), get(b, chromedp.Text(".logs pre")); !strings.Contains(at, "#log=map-0.") ||
		!strings.Contains(said, hostile) {
		t.Errorf("its place %s shows %q", at, said)
	}
	b.do("its master's log", chromedp.Click(".logs button:first-child"), chromedp.WaitVisible(".logs pre[aria-label*=am]"))
	b.do("a job that went well", chromedp.Navigate(b.url), chromedp.Click("tbody tr:last-child a"),
		chromedp.WaitVisible(".block.succeeded"))
	if blocks := get(b, chromedp.Evaluate[int]("document.querySelectorAll('.block').length")); blocks != 2 {
		t.Errorf("the timeline has %d blocks for a map and a reduce", blocks)
	}
	if good := get(b, chromedp.Text("main")); !strings.Contains(good, "1 of 1") || !strings.Contains(good, "SUCCEEDED") {
		t.Errorf("the page says\n%s", good)
	}
	for _, want := range []string{"Skew", "1.0× the mean", "19 B", "core-seconds"} {
		if shown := get(b, chromedp.Text("main")); !strings.Contains(shown, want) {
			t.Errorf("the page has no %q\n%s", want, shown)
		}
	}
	b.do("an attempt by keyboard", chromedp.Focus(".timeline"), chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.Enter),
		chromedp.WaitVisible(".block.chosen"))
	if told := get(b, chromedp.Text(".below [role=status]")); !strings.HasPrefix(told, "map-0.0") {
		t.Errorf("the arrow key led to %q", told)
	}
	b.onPhone("a job that went well")
	// What went wrong is read without scrolling, too: the list and the tasks are cards there.
	b.do("a failed job on a phone", chromedp.NavigateBack(), chromedp.WaitVisible("table.jobs tbody tr"),
		chromedp.Click("tbody tr:first-child a"), chromedp.WaitVisible("table.tasks td.text"))
	b.fits()
	b.do("a job that is not there", chromedp.Navigate(b.url+"jobs/zzzz"), chromedp.WaitVisible("[role=alert]"))
	b.complained("404") // which the browser itself says of an answer
}

// TestUIOfTraining looks at a job that trains: its curve, and what it has put out.
func TestUIOfTraining(t *testing.T) {
	chromium := enginetest.Binary(t, "chromium")
	tr := &trial{t: t, dir: t.TempDir()}
	tr.home = filepath.Join(tr.dir, "home")
	rows := strings.Repeat("1,2,3\n0,1,1\n1,3,4\n0,0,2\n", 25)
	if err := os.WriteFile(filepath.Join(tr.dir, "rows.csv"), []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	train := tr.command("run", "logistic-regression", "--input", "rows.csv", "--output", "model", "--set", "iterations=20",
		"--set", "workers=2")
	if out, err := train.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b := openBrowser(t, chromium, tr.serveUI())
	b.do("a training", chromedp.Click("tbody a"), chromedp.WaitVisible(".curve"),
		chromedp.WaitVisible(".strip li:nth-child(2)"))
	line := "document.querySelector('.curve').getAttribute('d')"
	plain := get(b, chromedp.Evaluate[string](line))
	if points := strings.Count(plain, "L") + 1; points != 20 {
		t.Errorf("the curve has %d points for 20 iterations", points)
	}
	b.do("a worker by keyboard", chromedp.Focus(".strip"), chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.ArrowRight),
		chromedp.WaitVisible(".strip .chosen:nth-child(2)"))
	if told := get(b, chromedp.Text(".strip + [role=status]")); !strings.HasPrefix(told, "worker 1: computed") {
		t.Errorf("the arrow keys led to %q", told)
	}
	b.do("its losses' logarithms", chromedp.Click(".switches button:first-child"))
	if get(b, chromedp.Evaluate[string](line)) == plain {
		t.Error("the logarithmic curve is the plain one")
	}
	// One long iteration does not make all others flat: of 20 that take 10 ms, and one that takes 1000.
	const peaked = `import("/assets/chart.js").then(({ chart }) => {
		const xs = Array.from({ length: 21 }, (_, i) => i);
		const layers = [{ name: "compute", values: xs.map((i) => (i === 7 ? 1000 : 10)) }];
		return chart({ width: 600, height: 180, stacked: true, unit: " ms", xs, layers, xLabel: "iteration" }).textContent;
	})`
	said := get(b, chromedp.Evaluate[string](peaked, chromedp.EvalAwaitPromise))
	if !strings.Contains(said, "up to 1000 ms") || !strings.Contains(said, "15 ms") {
		t.Errorf("a chart with a peak says %q", said)
	}
	b.do("its model", chromedp.Click(".output summary"), chromedp.Click(".output button:nth-child(3)"),
		chromedp.WaitVisible(".output pre"))
	if model := get(b, chromedp.Text(".output pre")); !strings.Contains(model, "weights") {
		t.Errorf("the model is shown as %s", model)
	}
	b.onPhone("its model")
	b.do("the list", chromedp.EmulateViewport(1280, 900), chromedp.Navigate(b.url), chromedp.WaitVisible("tbody tr"))

	// One that goes on: its workers, and its curve as far as it was seen.
	endless := tr.command("run", "logistic-regression", "--input", "rows.csv", "--output", "later", "--set",
		"iterations=100000000", "--set", "workers=2", "--detach")
	if out, err := endless.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b.do("a running job in the list", chromedp.WaitVisible("tbody tr:first-child .running"))
	b.do("a training at work", chromedp.Click("tbody tr:first-child a"), chromedp.WaitVisible(".curve"),
		chromedp.WaitVisible(".strip li.heat2:nth-child(2)"))
	if shown := get(b, chromedp.Text("main")); !strings.Contains(shown, "2 of 2 workers at work") {
		t.Errorf("of its workers the page says\n%s", shown)
	}
	// Whoever uses the keyboard stays where they are when the page is drawn anew.
	stays := get(b, chromedp.Evaluate[string](`(async () => {
		const kill = document.querySelector(".danger");
		kill.focus();
		while (kill.isConnected) await new Promise(requestAnimationFrame);
		return document.activeElement.textContent;
	})()`, chromedp.EvalAwaitPromise))
	if stays != "Kill" {
		t.Errorf("the keyboard was at Kill, and is at %q", stays)
	}
	job := strings.TrimPrefix(get(b, chromedp.Location()), b.url+"jobs/")
	if out, err := tr.command("kill", job).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// Not by waiting for an element: those are drawn anew while the job ends.
	get(b, chromedp.Poll[bool]("!!document.querySelector('h1 + .killed') && !!document.querySelector('.tasks .killed')"))
	b.do("a killed training")
	b.complained()
	tr.awaitEnd("node") // it would write into a folder that is being removed
}

// TestUIOfSchedules runs a schedule's work now, since whoever serves the page fires schedules, and pauses it.
func TestUIOfSchedules(t *testing.T) {
	chromium := enginetest.Binary(t, "chromium")
	tr := &trial{t: t, dir: t.TempDir()}
	tr.home = filepath.Join(tr.dir, "home")
	text := filepath.Join(tr.dir, "text")
	if err := os.WriteFile(text, []byte("to be or not to be\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	add := tr.command("schedule", "add", "nightly", "--cron", "0 2 1 1 *", "--tz", "Asia/Kathmandu", "--",
		"run", "wordcount", "--input", "text", "--output", "out/{{.FireTime}}")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b := openBrowser(t, chromium, tr.serveUI())
	b.do("schedules", chromedp.Click("nav a[href='/schedules']"), chromedp.WaitVisible(".schedule"),
		chromedp.WaitVisible("nav a[href='/schedules'][aria-current=page]"))
	if shown := get(b, chromedp.Text(".schedule")); strings.Count(shown, "02:00") != 5 {
		t.Errorf("the schedule is shown as %q", shown)
	}
	b.do("a firing", chromedp.Click("button[data-key='nightly trigger']"), chromedp.WaitVisible(".firings .succeeded"))
	b.onPhone("a firing")
	b.do("a paused schedule", chromedp.Click("button[data-key='nightly pause']"),
		chromedp.WaitVisible("button[data-key='nightly resume']"))
	b.do("the job of a firing", chromedp.Click(".firings a"), chromedp.WaitVisible(".block.succeeded"))
	b.complained()
	tr.awaitEnd("node") // it would write into a folder that is being removed
}

// TestUIByKeyboard opens a job without a mouse.
func TestUIByKeyboard(t *testing.T) {
	chromium := enginetest.Binary(t, "chromium")
	tr := &trial{t: t, dir: t.TempDir()}
	tr.home = filepath.Join(tr.dir, "home")
	b := openBrowser(t, chromium, tr.serveUI())
	b.do("no jobs", chromedp.WaitVisible(".note"), chromedp.WaitNotVisible("table"))
	text := filepath.Join(tr.dir, "text")
	if err := os.WriteFile(text, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := tr.command("run", "wordcount", "--input", text, "--output", "out").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// The job appears by itself. From the top: to the page, past what every page has, and the job.
	b.do("a job", chromedp.WaitVisible("tbody a"), chromedp.KeyEvent("\t\r\t\r"), chromedp.WaitVisible(".facts"))
	if at := get(b, chromedp.Location()); !strings.Contains(at, "/jobs/") {
		t.Errorf("the keys led to %s", at)
	}
	b.complained()
}

// serveUI starts `runner ui` and returns the page's URL. It ends with the test.
func (tr *trial) serveUI() string {
	tr.t.Helper()
	cmd := tr.command("ui", "--http", "127.0.0.1:0", "--json")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // fails if it has ended, which Wait tells
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
			tr.t.Errorf("runner ui ended with %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	var told struct{ URL string }
	if err == nil {
		err = json.Unmarshal([]byte(line), &told)
	}
	if err != nil {
		tr.t.Fatalf("runner ui says %q: %v", line, err)
	}
	return told.URL
}

// browser is a browser that shows one page, and whose complaints are kept.
type browser struct {
	t    *testing.T
	ctx  func() (context.Context, context.CancelFunc) // for a step
	url  string
	mu   sync.Mutex
	says []string
}

func openBrowser(t *testing.T, program, url string) *browser {
	t.Helper()
	profile := t.TempDir() // and what Chromium makes beside it, which it does not remove
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox,
		chromedp.UserDataDir(profile), chromedp.Env("TMPDIR="+profile), chromedp.Flag("disable-quic", true), chromedp.WindowSize(1200, 900))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, url: url}
	b.ctx = func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, time.Minute) }
	messages := chromedp.Console(ctx) // from now on; starts the browser for the life of ctx
	go func() {
		for message, err := range messages {
			if err != nil {
				return // the browser has ended
			}
			b.mu.Lock()
			b.says = append(b.says, fmt.Sprintf("%s: %s", message.Type, message.Text))
			b.mu.Unlock()
		}
	}()
	b.do("the first page", chromedp.Navigate(url))
	return b
}

// dark is how the page looks to people who like it so.
func dark(ctx context.Context, _ *chromedp.Target) error {
	feature := emulation.MediaFeature{Name: "prefers-color-scheme", Value: "dark"}
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia,
		emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{&feature}})
	return err
}

// get reads something off the page.
func get[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := b.ctx()
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// do takes steps in the browser and a picture of what they led to.
func (b *browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.ctx()
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.complained()
		b.t.Fatalf("%s: %v", what, err)
	}
	picture := get(b, chromedp.FullScreenshot(90))
	name := filepath.Join(b.t.ArtifactDir(), strings.ReplaceAll(what, " ", "-")+".jpeg")
	if err := os.WriteFile(name, picture, 0o600); err != nil {
		b.t.Error(err)
	}
}

// onPhone shows the page as a phone does whose owner likes it dark, from now on.
func (b *browser) onPhone(what string) {
	b.t.Helper()
	b.do(what+" on a phone", chromedp.EmulateViewport(390, 800), chromedp.Func(dark))
	b.fits()
}

// fits fails the test if somebody has to scroll sideways for the page, or for what is a card on a phone.
func (b *browser) fits() {
	b.t.Helper()
	// What is drawn anew for the width is there two frames later.
	const cut = `(async () => {
		for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
		return [document.documentElement, ...document.querySelectorAll(".cards")]
			.filter((e) => e.scrollWidth > innerWidth || e.getBoundingClientRect().right > innerWidth)
			.map((e) => e.outerHTML.slice(0, 80));
	})()`
	if wide := get(b, chromedp.Evaluate[[]string](cut, chromedp.EvalAwaitPromise)); len(wide) > 0 {
		b.t.Errorf("cut off are %q", wide)
	}
}

// complained fails the test if the browser has complained of anything but what is expected. It may always say that an
// interface of this host came or went, which other tests' machines have; it asks the page's next question all the same.
func (b *browser) complained(expected ...string) {
	b.t.Helper()
	expected = append(expected, "net::ERR_NETWORK_CHANGED")
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.says {
		if !slices.ContainsFunc(expected, func(part string) bool { return strings.Contains(text, part) }) {
			b.t.Errorf("the browser complains: %s", text)
		}
	}
}
