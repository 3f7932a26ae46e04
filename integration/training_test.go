package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/seed3322913c/runner/infra/seedtest"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/embedded/embeddedtest"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// steps is how many iterations of the engine the training jobs of this file take.
const steps = 202

// newTraining writes rows, and a specification that learns from them with three workers.
func newTraining(t *testing.T, chance *rand.Rand) *trial {
	t.Helper()
	tr := &trial{t: t, dir: t.TempDir(), chance: chance}
	tr.home = filepath.Join(tr.dir, "home")
	var rows bytes.Buffer
	for range 20_000 {
		a, b := chance.NormFloat64(), chance.NormFloat64()
		label := 0
		if a+b/2+chance.NormFloat64()/2 > 0 {
			label = 1
		}
		fmt.Fprintf(&rows, "%d,%.4f,%.4f,%.4f\n", label, a, b, chance.NormFloat64())
	}
	spec := fmt.Sprintf(`kind: guagua
name: train
input: rows.csv
guagua:
  master: {builtin: logistic-regression}
  workers: 3
  iterations: %d
  set: {optimizer: momentum, trace: true}
`, steps-2)
	for name, text := range map[string][]byte{"rows.csv": rows.Bytes(), "train.yaml": []byte(spec)} {
		if err := os.WriteFile(filepath.Join(tr.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if left := embeddedtest.Leftovers(tr.home); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	return tr
}

// trained is what a training job has left: its model, and iteration and loss of every line of its metrics.
func (tr *trial) trained(output string) (model string, losses []string) {
	tr.t.Helper()
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(tr.dir, output, name))
		if err != nil {
			tr.t.Fatal(err)
		}
		return text
	}
	for line := range bytes.Lines(read("metrics.jsonl")) {
		var l struct {
			Iteration int
			Loss      json.Number
			Final     bool
		}
		if err := json.Unmarshal(line, &l); err != nil {
			tr.t.Fatalf("%q: %v", line, err)
		}
		losses = append(losses, fmt.Sprint(l.Iteration, " ", l.Loss, " ", l.Final))
	}
	return string(read("model.json")), losses
}

// crew are the processes of a running training job, by task.
type crew struct {
	job scheduler.JobID
	at  map[scheduler.TaskID]string // containers
}

// gather waits until all tasks have an executor. What runs is known by the folders of its attempts: a training may be so
// fast that no report tells of any.
func (tr *trial) gather(w *watched, tasks int) crew {
	tr.t.Helper()
	c := crew{w.until(func(e event) bool { return e.Job != "" }).Job, map[scheduler.TaskID]string{}}
	tr.await("executors of all tasks", func() bool {
		attempts, err := filepath.Glob(filepath.Join(tr.home, "scratch", string(c.job), "*", "*"))
		if err != nil {
			tr.t.Fatal(err)
		}
		for _, folder := range attempts {
			if a, err := scheduler.ParseAttemptID(filepath.Base(folder)); err == nil {
				c.at[a.Task] = filepath.Base(filepath.Dir(folder))
			}
		}
		return len(c.at) == tasks
	})
	return c
}

// cast says which task of a training job is whom.
type cast struct {
	master scheduler.TaskID
	worker func(index int) scheduler.TaskID
}

// ownTasks is the cast where master and workers have tasks of their own.
func ownTasks() cast {
	worker := func(i int) scheduler.TaskID { return scheduler.TaskID{Stage: "worker", Index: i} }
	return cast{scheduler.TaskID{Stage: "master"}, worker}
}

// reached waits until the master begins an iteration, as the log of its first attempt says.
func (tr *trial) reached(job scheduler.JobID, master scheduler.TaskID, iteration int) {
	tr.t.Helper()
	log := filepath.Join(tr.home, "logs", string(job), master.String()+".0.log")
	want := fmt.Sprintf("master: iteration %d of %d begins", iteration, steps)
	tr.await(fmt.Sprintf("%q in %s", want, log), func() bool {
		text, err := os.ReadFile(log)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			tr.t.Fatal(err)
		}
		return strings.Contains(string(text), want)
	})
}

// await waits for what can only be seen by looking again: a file tells nobody that it has grown.
func (tr *trial) await(what string, ok func() bool) {
	tr.t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	late := time.After(time.Minute)
	for !ok() {
		select {
		case <-look.C:
		case <-late:
			tr.t.Fatalf("no %s", what)
		}
	}
}

// killContainer ends (SIGKILL) the process of a container, if it is still there.
func (tr *trial) killContainer(name string) {
	tr.t.Helper()
	for _, p := range embeddedtest.Processes(tr.home) {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), launch.ContainerEnv+"="+name) {
			continue // it has ended, or is another
		}
		tr.t.Logf("kill %s, process %d", name, p.PID)
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			tr.t.Fatal(err)
		}
	}
}

// TestTrainingKilled kills a worker, the master, the application master or everything in the first, a middle and the
// last iteration: the model and every loss on the way are those of an undisturbed run, to the bit.
func TestTrainingKilled(t *testing.T) {
	chance := seedtest.New(t)
	tr := newTraining(t, chance)
	tr.start("run", "train.yaml", "--output", "calm").end()
	model, losses := tr.trained("calm")
	if len(losses) != steps-1 || !strings.HasSuffix(losses[steps-2], "true") {
		t.Fatalf("%d lines of metrics, the last %q", len(losses), losses[len(losses)-1])
	}
	whom := []string{"worker", "master", "am", "everything"}
	type moment struct {
		iteration  int
		checkpoint string
	}
	middle := 2 + chance.IntN(steps-3)
	moments := []moment{{middle, "background"}, {1, "background"}, {steps, "background"}, {middle, "every"}}
	if testing.Short() {
		whom, moments = whom[1:2], moments[:1]
	}
	for _, victim := range whom {
		for _, m := range moments {
			output := fmt.Sprintf("%s-%d-%s", victim, m.iteration, m.checkpoint)
			t.Run(output, func(t *testing.T) {
				one := *tr
				one.t = t
				w := one.start("run", "train.yaml", "--output", output, "--set", "checkpoint="+m.checkpoint)
				one.disturb(w, ownTasks(), victim, m.iteration)
				gotModel, gotLosses := one.trained(output)
				if gotModel != model {
					t.Errorf("the model is\n%s, undisturbed\n%s", gotModel, model)
				}
				if !slices.Equal(gotLosses, losses) {
					t.Errorf("the losses are %q, undisturbed %q", gotLosses, losses)
				}
				if out, err := one.command("verify", output).CombinedOutput(); err != nil {
					t.Errorf("verify: %v\n%s", err, out)
				}
			})
		}
	}
}

// disturb kills somebody when the master begins an iteration, and sees the job to its end.
func (tr *trial) disturb(w *watched, who cast, victim string, iteration int) {
	tr.t.Helper()
	c := tr.gather(w, 4)
	tr.reached(c.job, who.master, iteration)
	switch victim {
	case "worker":
		tr.killContainer(c.at[who.worker(tr.chance.IntN(3))])
	case "master":
		tr.killContainer(c.at[who.master])
	case "am":
		tr.kill("am")
	case "everything":
		tr.killEverything(w)
		w = tr.start("resume", string(c.job))
		if _, ok := w.next(); !ok { // it was over before it was killed
			_ = w.cmd.Wait() // which is what resume says
			return
		}
	}
	w.end()
}

// forms are the same rows in every form that training reads, and what has to be said about each.
func forms(t *testing.T, dir string) map[string][]string {
	t.Helper()
	type row struct {
		Label   int32   `parquet:"label"`
		A, B, C float64 // columns of these names
	}
	chance := rand.New(rand.NewPCG(7, 7))
	var csv, half, tsv, svm, table bytes.Buffer
	tsv.WriteString("a\tb\tc\tgood\n")
	rows := parquet.NewGenericWriter[row](&table, parquet.Compression(&parquet.Zstd))
	for i := range 600 {
		r := row{int32(i % 2), float64(i%2) + chance.NormFloat64(), chance.NormFloat64(), chance.NormFloat64()}
		fmt.Fprintf(&csv, "%d,%v,%v,%v\n", r.Label, r.A, r.B, r.C)
		if i == 299 {
			half.Write(csv.Bytes())
		}
		fmt.Fprintf(&tsv, "%v\t%v\t%v\t%d\n", r.A, r.B, r.C, r.Label)
		fmt.Fprintf(&svm, "%d 1:%v 2:%v 3:%v\n", r.Label, r.A, r.B, r.C)
		if _, err := rows.Write([]row{r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	packed := func(w io.WriteCloser, to *bytes.Buffer) []byte {
		_, err := w.Write(csv.Bytes())
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return to.Bytes()
	}
	var gz, zst bytes.Buffer
	encoder, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"rows.csv": csv.Bytes(), "rows.csv.gz": packed(gzip.NewWriter(&gz), &gz), "rows.csv.zst": packed(encoder, &zst),
		"rows.tsv": tsv.Bytes(), "rows.libsvm": svm.Bytes(), "rows.parquet": table.Bytes(),
		"parts/a.csv": half.Bytes(), "parts/b.csv": csv.Bytes()[half.Len():], "parts/_skipped": []byte("x"),
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return map[string][]string{
		"rows.csv": nil, "rows.csv.gz": nil, "rows.csv.zst": nil, "parts": nil, "parts/?.csv": nil, "rows.libsvm": nil,
		"rows.tsv": {"--set", "header=true", "--set", "label=good"}, "rows.parquet": {"--set", "label=label"},
	}
}

// TestTrainingForms trains on the same rows in every form: the last loss is the same, but for how sums are rounded.
func TestTrainingForms(t *testing.T) {
	tr := &trial{t: t, dir: t.TempDir()}
	tr.home = filepath.Join(tr.dir, "home")
	loss := map[string]float64{}
	for input, set := range forms(t, tr.dir) {
		output := "out/" + strings.NewReplacer("/", "-", "?", "q").Replace(input)
		args := append([]string{"run", "logistic-regression", "--input", input, "--output", output, "--set",
			"iterations=20", "--set", "workers=1", "--quiet"}, set...)
		if out, err := tr.command(args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", input, err, out)
		}
		_, losses := tr.trained(output)
		var last float64
		if _, err := fmt.Sscanf(losses[len(losses)-1], "20 %g true", &last); err != nil {
			t.Fatalf("%s: %q, %v", input, losses, err)
		}
		loss[input] = last
	}
	want := loss["rows.csv"]
	for input, got := range loss {
		if math.Abs(got-want) > 1e-12*want || want > 0.69 {
			t.Errorf("%s: loss %v, that of rows.csv is %v", input, got, want)
		}
	}
	if out, err := tr.command("run", "predict", "--input", "rows.tsv", "--set", "model=out/rows.csv/model.json", "--set",
		"header=true", "--set", "label=good", "--output", "out/predictions").CombinedOutput(); err != nil ||
		!strings.Contains(string(out), "rows 600") {
		t.Errorf("predict: %v\n%s", err, out)
	}
}

// trainsOnS3 trains on rows in a bucket, and applies the model that was written there.
func trainsOnS3(t *testing.T, st store.Store, bucket string, run func(code int, args ...string) string) {
	t.Helper()
	for name, rows := range map[string]string{
		"rows/a.csv": "1,2,1\n0,0,1\n1,3,0\n", "rows/b.csv": "0,1,1\n0,0,0\n1,3,3\n",
	} {
		if err := store.Put(t.Context(), st, store.Name(name), []byte(rows)); err != nil {
			t.Fatal(err)
		}
	}
	rows, output := bucket+"/rows", bucket+"/out/model"
	train := []string{"run", "logistic-regression", "--input", rows + "/*.csv", "--output", output, "--set", "workers=2"}
	run(0, train...)
	if text := run(0, "verify", output); !strings.HasPrefix(text, output+" is whole: 2 files, ") {
		t.Error(text)
	}
	run(2, train...)
	run(0, append(train, "--overwrite")...)
	model := "model=" + output + "/model.json"
	text := run(0, "run", "predict", "--input", rows, "--set", model, "--output", bucket+"/out/said")
	if !strings.Contains(text, "rows 6") {
		t.Error(text)
	}
}

// TestTrainingExample builds a program of masters and workers as its users do, runs it, and kills what it can.
func TestTrainingExample(t *testing.T) {
	tr := &trial{t: t, dir: t.TempDir(), chance: seedtest.New(t)}
	tr.home = filepath.Join(tr.dir, "home")
	if err := embeddedtest.Build(tr.dir, map[string]string{"median": "../guagua/examples/median"}); err != nil {
		t.Fatal(err)
	}
	var numbers strings.Builder
	for _, n := range tr.chance.Perm(1_000_001) { // so many that there is time to kill somebody
		fmt.Fprintln(&numbers, n)
	}
	if err := os.WriteFile(filepath.Join(tr.dir, "numbers.csv"), []byte(numbers.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	w := tr.start("run", "./median", "--input", "numbers.csv", "--set", "workers=2", "--output", "out")
	c := tr.gather(w, 3)
	tr.killContainer(c.at[scheduler.TaskID{Stage: "master"}])
	w.end()
	if text, err := os.ReadFile(filepath.Join(tr.dir, "out", "median.txt")); err != nil || string(text) != "500000\n" {
		t.Errorf("the median of 0 to 1,000,000 is %q, %v", text, err)
	}
	if left := embeddedtest.Leftovers(tr.home); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	mistake := []string{"run", "./median", "--function", "mean", "--input", "numbers.csv", "--output", "o"}
	out, err := tr.command(mistake...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "which program of ./median? Say --function median") {
		t.Errorf("%v: %s", err, out)
	}
}
