package fleet_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// put writes an object into the trial's folder.
func (tr *trial) put(name, text string) {
	tr.t.Helper()
	if err := store.Put(tr.t.Context(), tr.bucket, store.Name(tr.folder+"/"+name), []byte(text)); err != nil {
		tr.t.Fatal(err)
	}
}

// read returns an object of the trial's folder.
func (tr *trial) read(name string) string {
	tr.t.Helper()
	text, err := store.Get(tr.t.Context(), tr.bucket, store.Name(tr.folder+"/"+name), 64<<20)
	if err != nil {
		tr.t.Fatal(err)
	}
	return string(text)
}

// uri names a place in the trial's folder.
func (tr *trial) uri(name string) string {
	return "s3://" + cluster.Bucket + "/" + tr.folder + "/" + name
}

// TestCoordinators computes the sum that every coordinator must compute, over real Consul.
func TestCoordinators(t *testing.T) {
	tr := newTrial(t)
	tr.put("numbers/a", "1\n2\n3\n")
	tr.put("numbers/b", "2\n3\n4\n")
	for _, coordinator := range []string{"stream", "consul-sync", "consul-async"} {
		tr.run("run", "sum", "--input", tr.uri("numbers"), "--output", tr.uri(coordinator), "--quiet", "--set", "workers=2",
			"--set", "iterations=10", "--set", "coordinator="+coordinator)
		if sum := tr.read(coordinator + "/sum.txt"); sum != "15345\n" {
			t.Errorf("%s computes %q", coordinator, sum)
		}
	}
}

// trainingSteps is how many iterations the training jobs take: seconds, so that there is time to kill somebody.
const trainingSteps = 4000

// newTraining puts rows in the bucket, and writes a specification that learns from them with three workers.
func newTraining(t *testing.T) *trial {
	t.Helper()
	tr := newTrial(t)
	var rows bytes.Buffer
	for range 3000 {
		a, b := tr.chance.NormFloat64(), tr.chance.NormFloat64()
		label := 0
		if a+b/2+tr.chance.NormFloat64()/2 > 0 {
			label = 1
		}
		fmt.Fprintf(&rows, "%d,%.4f,%.4f\n", label, a, b)
	}
	tr.put("rows.csv", rows.String())
	spec := fmt.Sprintf(`kind: guagua
name: train
input: %s
guagua:
  master: {builtin: logistic-regression}
  workers: 3
  iterations: %d
  set: {optimizer: momentum}
resources: {memory: 256MiB}
retry: {job: 5}
`, tr.uri("rows.csv"), trainingSteps)
	if err := os.WriteFile(filepath.Join(tr.dir, "train.yaml"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	return tr
}

// working waits until a training job is at an iteration, and returns the containers of its tasks.
func (w *watched) working(iteration int64) map[string]string {
	w.t.Helper()
	at := map[string]string{}
	w.until(func(event) bool {
		var e struct {
			Event, Name, ID, Executor string
			Worked                    int64
		}
		if err := json.Unmarshal(w.events.Bytes(), &e); err != nil {
			w.t.Fatalf("%q: %v", w.events.Bytes(), err)
		}
		if e.Event == "attempt" {
			task, _, _ := strings.Cut(e.ID, ".")
			at[task] = e.Executor
		}
		return e.Event == "stage" && e.Name == "master" && e.Worked >= iteration
	})
	return at
}

// killContainer ends (SIGKILL) the process of a container.
func (tr *trial) killContainer(name string) {
	tr.t.Helper()
	for _, p := range tr.cluster.Program() {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), launch.ContainerEnv+"="+name) {
			continue // it has ended, or is another
		}
		tr.t.Logf("kill %s: %+v", name, p)
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			tr.t.Fatal(err)
		}
	}
}

// losses are iteration and loss of every line of a job's metrics.
func (tr *trial) losses(output string) (all []string) {
	tr.t.Helper()
	for line := range strings.Lines(tr.read(output + "/metrics.jsonl")) {
		var l struct {
			Iteration int
			Loss      json.Number
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			tr.t.Fatalf("%q: %v", line, err)
		}
		all = append(all, fmt.Sprint(l.Iteration, " ", l.Loss))
	}
	return all
}

// TestTrainingKilled kills a worker, the master, the application master and a machine while a model is trained: model
// and losses are those of an undisturbed run, to the bit.
func TestTrainingKilled(t *testing.T) {
	tr := newTraining(t)
	tr.start("run", "train.yaml", "--output", tr.uri("calm")).end()
	model, losses := tr.read("calm/model.json"), tr.losses("calm")
	machine := ""
	cases := []struct {
		name string
		kill func(at map[string]string)
	}{
		{"worker", func(at map[string]string) { tr.killContainer(at[fmt.Sprint("worker-", tr.chance.IntN(3))]) }},
		{"master", func(at map[string]string) { tr.killContainer(at["master-0"]) }},
		{"am", func(map[string]string) { tr.kill("am") }},
		{"machine", func(map[string]string) {
			machine = tr.kill("executor").Machine
			tr.must(tr.cluster.KillMachine(machine))
		}},
	}
	if testing.Short() {
		cases = cases[:1]
	}
	for _, c := range cases {
		w := tr.start("run", "train.yaml", "--output", tr.uri(c.name))
		c.kill(w.working(1 + tr.chance.Int64N(trainingSteps/8))) // what is left takes longer than to kill
		e := w.end()
		if got := tr.read(c.name + "/model.json"); got != model {
			t.Errorf("%s killed: the model is\n%s, undisturbed\n%s", c.name, got, model)
		}
		if got := tr.losses(c.name); !slices.Equal(got, losses) {
			t.Errorf("%s killed: %d losses, undisturbed %d", c.name, len(got), len(losses))
		}
		tr.run("verify", tr.uri(c.name))
		if machine != "" {
			tr.must(tr.cluster.StartMachine(machine))
			ready(t)
		}
		tr.nothingLeft(scheduler.JobID(e.Job))
	}
}
