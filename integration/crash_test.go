package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/seedtest"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/embedded/embeddedtest"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// TestMain builds the program once.
func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	bin, err := os.MkdirTemp("", "runner-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	programs := map[string]string{
		"runner": "../runner", "paced": "./testdata/paced", "gathered": "./testdata/gathered",
	}
	if err := embeddedtest.Build(bin, programs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := os.Setenv(binEnv, bin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// binEnv is the folder with the programs.
const binEnv = "RUNNER_TEST_BIN"

// trial is one word count whose processes get killed.
type trial struct {
	t      *testing.T
	dir    string
	home   string
	chance *rand.Rand
	want   map[string]int // by the oracle
}

// newTrial writes a few megabytes of text, counts its words itself, and a specification that makes many small maps of
// it.
func newTrial(t *testing.T, chance *rand.Rand) *trial {
	t.Helper()
	tr := emptyTrial(t, chance)
	if err := os.Mkdir(filepath.Join(tr.dir, "in"), 0o700); err != nil {
		t.Fatal(err)
	}
	zipf := rand.NewZipf(chance, 1.2, 4, 200_000)
	for file := range 4 {
		var text bytes.Buffer
		for text.Len() < 2<<20 {
			word := "w" + strconv.FormatUint(zipf.Uint64()*2654435761%1_000_003, 36)
			tr.want[word]++
			text.WriteString(word)
			text.WriteByte(" \n\t\n"[chance.IntN(4)])
		}
		if err := os.WriteFile(filepath.Join(tr.dir, "in", fmt.Sprint(file, ".txt")), text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spec := `kind: mapreduce
name: crash
input: in
output: out
package: ` + filepath.Join(os.Getenv(binEnv), "paced") + `
mapreduce:
  mapper: {go: main}
  combiner: {builtin: sum}
  reducer: {builtin: sum}
  reducers: 5
  splitSize: 128KiB
  set: {pace: 20ms}
resources: {executors: 2}
`
	if err := os.WriteFile(filepath.Join(tr.dir, "crash.yaml"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	return tr
}

// emptyTrial is a trial without any job, which must leave nothing behind.
func emptyTrial(t *testing.T, chance *rand.Rand) *trial {
	t.Helper()
	tr := &trial{t: t, dir: t.TempDir(), chance: chance, want: map[string]int{}}
	tr.home = filepath.Join(tr.dir, "home")
	t.Cleanup(func() {
		if left := embeddedtest.Leftovers(tr.home); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	return tr
}

// event is what a trial needs of a line of `runner run --json`.
type event struct {
	Event string          `json:"event"`
	Time  time.Time       `json:"time"`
	Job   scheduler.JobID `json:"job"`
	Name  string          `json:"name"`
	Text  string          `json:"text"`
	Done  int             `json:"done"`
	Tasks int             `json:"tasks"`
	am.Report
}

// watched is a run of the program that says what happens.
type watched struct {
	t      *testing.T
	cmd    *exec.Cmd
	events *bufio.Scanner
	stderr bytes.Buffer
	last   event // the latest result
}

func (tr *trial) start(args ...string) *watched {
	tr.t.Helper()
	w := &watched{t: tr.t, cmd: tr.command(append(args, "--json")...)}
	w.cmd.Stderr = &w.stderr
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		tr.t.Fatal(err)
	}
	w.events = bufio.NewScanner(out)
	w.events.Buffer(nil, 16<<20)
	if err := w.cmd.Start(); err != nil {
		tr.t.Fatal(err)
	}
	return w
}

func (tr *trial) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(os.Getenv(binEnv), "runner"), args...)
	cmd.Dir = tr.dir
	cmd.Env = append(os.Environ(), embedded.HomeEnv+"="+tr.home)
	return cmd
}

// next returns the next event; ok is false when there are no more.
func (w *watched) next() (e event, ok bool) {
	if !w.events.Scan() {
		return e, false
	}
	if err := json.Unmarshal(w.events.Bytes(), &e); err != nil {
		w.t.Fatalf("%q: %v", w.events.Bytes(), err)
	}
	if e.Event == "result" {
		w.last = e
	}
	return e, true
}

// until returns the first event that fits; it fails the test if the run ends before.
func (w *watched) until(fits func(event) bool) event {
	w.t.Helper()
	for {
		e, ok := w.next()
		if !ok {
			w.t.Fatalf("the run ended too early: %v, %s %s\n%s", w.cmd.Wait(), w.last.State, w.last.Message, w.stderr.String())
		}
		if fits(e) {
			return e
		}
	}
}

// progressed waits for the first event with at least n tasks of a stage done.
func (w *watched) progressed(stage string, n int) event {
	w.t.Helper()
	return w.until(func(e event) bool { return e.Event == "stage" && e.Name == stage && e.Done >= n })
}

// end reads what is left and returns the result of a run that must succeed.
func (w *watched) end() event {
	w.t.Helper()
	for {
		if _, ok := w.next(); !ok {
			break
		}
	}
	if err := w.cmd.Wait(); err != nil || w.last.State != scheduler.JobSucceeded {
		w.t.Fatalf("the job ended %s %s: %v\n%s", w.last.State, w.last.Message, err, w.stderr.String())
	}
	return w.last
}

// kill ends (SIGKILL) one of the trial's processes of a role, if there is one.
func (tr *trial) kill(role string) {
	tr.t.Helper()
	var pids []int
	for _, p := range embeddedtest.Processes(tr.home) {
		if p.Verb == role {
			pids = append(pids, p.PID)
		}
	}
	if len(pids) == 0 {
		return // it ends or starts at this very moment
	}
	pid := pids[tr.chance.IntN(len(pids))]
	tr.t.Logf("kill %s %d", role, pid)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		tr.t.Fatal(err)
	}
}

// killEverything kills the supervisor, and waits until all that it started has gone with it.
func (tr *trial) killEverything(w *watched) {
	tr.t.Helper()
	if err := w.cmd.Process.Kill(); err != nil {
		tr.t.Fatal(err)
	}
	_ = w.cmd.Wait() // killed, as it was meant
	late := time.After(time.Minute)
	look := time.NewTicker(5 * time.Millisecond) // the kernel tells nobody but the dead's parent, who is dead too
	defer look.Stop()
	for len(embeddedtest.Processes(tr.home)) > 0 {
		select {
		case <-look.C:
		case <-late:
			tr.t.Fatalf("still there after their supervisor: %v", embeddedtest.Processes(tr.home))
		}
	}
}

// check compares the output with the oracle's, byte for byte, and has the program prove it.
func (tr *trial) check() {
	tr.t.Helper()
	parts, err := filepath.Glob(filepath.Join(tr.dir, "out", "part-r-*"))
	if err != nil || len(parts) != 5 {
		tr.t.Fatalf("parts %q, %v; want 5", parts, err)
	}
	var got []string
	for _, part := range parts {
		text, err := os.ReadFile(part)
		if err != nil {
			tr.t.Fatal(err)
		}
		lines := slices.Collect(strings.Lines(string(text)))
		if !slices.IsSortedFunc(lines, func(a, b string) int { return strings.Compare(key(a), key(b)) }) {
			tr.t.Errorf("%s is not in order", part)
		}
		got = append(got, lines...)
	}
	var want []string
	for word, n := range tr.want {
		want = append(want, fmt.Sprintf("%s\t%d\n", word, n))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		tr.t.Errorf("%d lines that differ from the oracle's %d", len(got), len(want))
	}
	if out, err := tr.command("verify", "out").CombinedOutput(); err != nil {
		tr.t.Errorf("verify: %v\n%s", err, out)
	}
}

func key(line string) string { word, _, _ := strings.Cut(line, "\t"); return word }

// rounds is how often a test of chance is repeated.
func rounds() int {
	if testing.Short() {
		return 1
	}
	return 3
}

// moment draws a stage and how many of its tasks must be done.
func (tr *trial) moment() (stage string, done int) {
	if tr.chance.IntN(4) == 0 {
		return "reduce", tr.chance.IntN(3)
	}
	return "map", tr.chance.IntN(50)
}

func TestExecutorKilled(t *testing.T) {
	chance := seedtest.New(t)
	for range rounds() {
		tr := newTrial(t, chance)
		w := tr.start("run", "crash.yaml")
		stage, done := tr.moment()
		w.progressed(stage, done)
		tr.kill("executor")
		w.end()
		tr.check()
	}
}

func TestMasterKilled(t *testing.T) {
	chance := seedtest.New(t)
	for range rounds() {
		tr := newTrial(t, chance)
		w := tr.start("run", "crash.yaml")
		e := w.progressed("map", 1+chance.IntN(40))
		tr.kill("am")
		result := w.end()
		tr.check()
		keptFinished(t, result.Report, e, "map")
	}
}

func TestEverythingKilled(t *testing.T) {
	chance := seedtest.New(t)
	for range rounds() {
		tr := newTrial(t, chance)
		w := tr.start("run", "crash.yaml")
		e := w.progressed("map", 1+chance.IntN(40))
		tr.killEverything(w)
		for range chance.IntN(3) {
			w = tr.start("resume", string(e.Job))
			e = w.progressed("map", chance.IntN(50))
			tr.killEverything(w)
		}
		result := tr.start("resume", string(e.Job)).end()
		tr.check()
		keptFinished(t, result.Report, e, "map")
	}
}

// keptFinished fails if a task of a stage that was finished at the time of e ran again later.
func keptFinished(t *testing.T, r am.Report, e event, stage string) {
	t.Helper()
	finished, again := map[scheduler.TaskID]bool{}, map[scheduler.TaskID]bool{}
	for _, a := range r.Attempts {
		if task := a.ID.Task; task.Stage != stage {
			continue
		} else if a.State == scheduler.AttemptSucceeded && a.End.Before(e.Time) {
			finished[task] = true
		} else if finished[task] {
			again[task] = true
		}
	}
	t.Logf("%d of %d tasks were finished, %d attempts in all", len(finished), e.Tasks, len(r.Attempts))
	if len(finished) < e.Done || len(again) > 0 {
		t.Errorf("%d tasks were finished by then, the history knows %d of them; run again: %v", e.Done, len(finished),
			slices.Collect(maps.Keys(again)))
	}
}
