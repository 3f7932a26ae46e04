package fleet_test

import (
	"bufio"
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	consulapi "github.com/hashicorp/consul/api"
	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/infra/seedtest"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/s3"
	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// trial is one word count on the cluster, whose processes get killed.
type trial struct {
	t       *testing.T
	cluster *cluster.Cluster
	bucket  *s3.Store
	folder  string   // in the bucket
	dir     string   // with the specification
	env     []string // for all commands
	want    map[string]int
	chance  *rand.Rand
}

const reducers = 3

// newTrial puts a few texts in the bucket, counts their words itself, and writes a specification that makes small maps
// of them, each of which takes its time.
func newTrial(t *testing.T) *trial {
	t.Helper()
	c := needCluster(t)
	tr := &trial{
		t: t, cluster: c, folder: strings.ToLower(t.Name() + crand.Text()), dir: t.TempDir(),
		want: map[string]int{}, chance: seedtest.New(t),
	}
	tr.bucket = tr.open(cluster.Bucket)
	zipf := rand.NewZipf(tr.chance, 1.2, 4, 50_000)
	for file := range 2 {
		var text bytes.Buffer
		for text.Len() < 1<<20 {
			word := "w" + strconv.FormatUint(zipf.Uint64()*2654435761%1_000_003, 36)
			tr.want[word]++
			text.WriteString(word)
			text.WriteByte(" \n\t\n"[tr.chance.IntN(4)])
		}
		name := store.Name(fmt.Sprintf("%s/in/%d.txt", tr.folder, file))
		tr.must(store.Put(t.Context(), tr.bucket, name, text.Bytes()))
	}
	spec := fmt.Sprintf(`kind: mapreduce
name: crash
input: s3://%[1]s/%[2]s/in
output: s3://%[1]s/%[2]s/out
package: %[3]s
mapreduce:
  mapper: {go: main}
  combiner: {builtin: sum}
  reducer: {builtin: sum}
  reducers: %[4]d
  splitSize: 64KiB
  set: {pace: 150ms}
resources: {executors: 3, memory: 1GiB}
retry: {job: 5}
`, cluster.Bucket, tr.folder, filepath.Join(site.bin, "paced"), reducers)
	tr.write("crash.yaml", spec)
	return tr
}

// open opens one of the cluster's buckets.
func (tr *trial) open(bucket string) *s3.Store {
	tr.t.Helper()
	env := tr.cluster.State.Fleet.Env
	st, err := s3.Open(tr.t.Context(), s3.Config{
		Bucket: bucket, Endpoint: env["AWS_ENDPOINT_URL"], Region: env["AWS_REGION"], PathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], ""),
	})
	tr.must(err)
	return st
}

// write makes a file where commands run.
func (tr *trial) write(name, text string) {
	tr.t.Helper()
	tr.must(os.WriteFile(filepath.Join(tr.dir, name), []byte(text), 0o600))
}

func (tr *trial) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(site.bin, "runner"), args...)
	cmd.Dir = tr.dir
	cmd.Env = append(os.Environ(), embedded.HomeEnv+"="+site.home, "RUNNER_CLUSTER="+tr.cluster.State.Fleet.Name)
	for k, v := range tr.cluster.State.Fleet.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Env = append(cmd.Env, tr.env...)
	return cmd
}

// run runs a verb that must succeed, and returns its answer.
func (tr *trial) run(args ...string) string {
	tr.t.Helper()
	var stderr bytes.Buffer
	cmd := tr.command(args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tr.t.Fatalf("%q: %v\n%s%s", args, err, out, stderr.Bytes())
	}
	return string(out)
}

// event is what a trial needs of a line of `runner run --json`.
type event struct {
	Event string `json:"event"`
	Name  string `json:"name"`
	Done  int    `json:"done"`
	am.Report
}

// watched is a run of the program that says what happens.
type watched struct {
	t      *testing.T
	cmd    *exec.Cmd
	events *bufio.Scanner
	stderr bytes.Buffer
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
	tr.t.Cleanup(func() { _ = w.cmd.Process.Kill() }) // it has ended, unless the test has failed
	return w
}

// until returns the first event that fits.
func (w *watched) until(fits func(event) bool) event {
	w.t.Helper()
	for w.events.Scan() {
		var e event
		if err := json.Unmarshal(w.events.Bytes(), &e); err != nil {
			w.t.Fatalf("%q: %v", w.events.Bytes(), err)
		}
		if fits(e) {
			return e
		}
	}
	w.t.Fatalf("the run ended too early: %v\n%s", w.cmd.Wait(), w.stderr.String())
	return event{}
}

// progressed waits until n maps are done.
func (w *watched) progressed(n int) event {
	w.t.Helper()
	return w.until(func(e event) bool { return e.Event == "stage" && e.Name == "map" && e.Done >= n })
}

// end returns the result of a run that must succeed.
func (w *watched) end() event {
	w.t.Helper()
	e := w.until(func(e event) bool { return e.Event == "result" })
	if err := w.cmd.Wait(); err != nil || e.State != scheduler.JobSucceeded {
		w.t.Fatalf("the job ended %s: %v: %s\n%s", e.State, err, e.Message, w.stderr.String())
	}
	return e
}

// check compares the output with the oracle's, word for word, and has the program prove it.
func (tr *trial) check() {
	tr.t.Helper()
	ctx := tr.t.Context()
	var got []string
	parts := 0
	for info, err := range tr.bucket.List(ctx, tr.folder+"/out/") {
		if err != nil {
			tr.t.Fatal(err)
		}
		if !strings.HasPrefix(path.Base(string(info.Name)), "part-r-") {
			continue
		}
		parts++
		text, err := store.Get(ctx, tr.bucket, info.Name, 64<<20)
		if err != nil {
			tr.t.Fatal(err)
		}
		got = append(got, slices.Collect(strings.Lines(string(text)))...)
	}
	var want []string
	for word, n := range tr.want {
		want = append(want, fmt.Sprintf("%s\t%d\n", word, n))
	}
	slices.Sort(got)
	slices.Sort(want)
	if parts != reducers || !slices.Equal(got, want) {
		tr.t.Errorf("%d parts with %d lines that differ from the oracle's %d", parts, len(got), len(want))
	}
	tr.run("verify", "s3://"+cluster.Bucket+"/"+tr.folder+"/out")
}

// nothingLeft looks for what a job that is over must not leave: containers, keys, variables, processes, policies.
func (tr *trial) nothingLeft(id scheduler.JobID) {
	tr.t.Helper()
	nomad, err := tr.cluster.Nomad()
	if err != nil {
		tr.t.Fatal(err)
	}
	consul, err := tr.cluster.Consul()
	if err != nil {
		tr.t.Fatal(err)
	}
	err = tr.cluster.Eventually(tr.t.Context(), func() error {
		everywhere := &nomadapi.QueryOptions{Namespace: nomadapi.AllNamespacesNamespace, Prefix: string(id)}
		jobs, _, err := nomad.Jobs().List(everywhere)
		if err != nil || len(jobs) > 0 {
			return fmt.Errorf("jobs %v, %v", jobs, err)
		}
		variables, _, err := nomad.Variables().PrefixList("nomad/jobs/"+string(id), everywhere)
		if err != nil || len(variables) > 0 {
			paths := []string{}
			for _, v := range variables {
				paths = append(paths, v.Path)
			}
			return fmt.Errorf("variables %q, %v", paths, err)
		}
		keys, _, err := consul.KV().Keys("runner/value/job/"+string(id), "", nil)
		if err != nil || len(keys) > 0 {
			return fmt.Errorf("keys %v, %v", keys, err)
		}
		if rights, err := tr.rights(id, nomad, consul); err != nil || len(rights) > 0 {
			return fmt.Errorf("rights %q, %v", rights, err)
		}
		for _, p := range tr.cluster.Program() {
			if p.Verb != "node" && p.Verb != "control" && p.Verb != "fn" { // which are the fleet's
				return fmt.Errorf("process %+v", p)
			}
		}
		folders, err := filepath.Glob(filepath.Join(tr.cluster.Dir, "c*/runner/node/*"))
		if err != nil || len(folders) > 0 {
			return fmt.Errorf("folders %v, %v", folders, err)
		}
		return nil
	})
	if err != nil {
		tr.t.Error("left behind: ", err)
	}
}

// rights are the namespaces, policies and tokens of a job.
func (tr *trial) rights(id scheduler.JobID, nomad *nomadapi.Client, consul *consulapi.Client) (all []string, err error) {
	spaces, _, err1 := nomad.Namespaces().List(nil)
	for _, s := range spaces {
		all = append(all, "namespace "+s.Name)
	}
	policies, _, err2 := nomad.ACLPolicies().List(nil)
	for _, p := range policies {
		all = append(all, "policy "+p.Name)
	}
	tokens, _, err3 := nomad.ACLTokens().List(nil)
	for _, token := range tokens {
		all = append(all, "token "+token.Name)
	}
	ofConsul, _, err4 := consul.ACL().PolicyList(nil)
	for _, p := range ofConsul {
		all = append(all, "policy of Consul "+p.Name)
	}
	short := embedded.Short(id)
	return slices.DeleteFunc(all, func(one string) bool { return !strings.Contains(one, short) }),
		errors.Join(err1, err2, err3, err4)
}

// TestWordCount runs a job by the verbs that people use.
func TestWordCount(t *testing.T) {
	tr := newTrial(t)
	gate := tr.turnstile(4)
	id := strings.TrimSpace(tr.run("run", "crash.yaml", "--detach", "--set", "gate="+gate.url))
	if list := tr.run("jobs"); !strings.Contains(list, id[:4]) {
		t.Errorf("jobs does not list %s:\n%s", id, list)
	}
	w := tr.start("resume", id)
	w.progressed(4)
	var status embedded.Status
	if err := json.Unmarshal([]byte(tr.run("status", id, "--json")), &status); err != nil {
		t.Fatal(err)
	}
	if status.State != scheduler.JobRunning || len(status.Executors) == 0 {
		t.Errorf("status %+v", status)
	}
	gate.open()
	e := w.end()
	tr.check()
	tr.nothingLeft(e.Job)
	used := regexp.MustCompile(`(?m)^  Used: [0-9.]+ core-seconds, [1-9].* read and [1-9].* written in [1-9][0-9,]* requests$`)
	if told := tr.run("status", id); !used.MatchString(told) {
		t.Errorf("status does not tell what was used:\n%s", told)
	}
	logs := tr.run("logs", id)
	for _, want := range []string{"am-0 ", "executor-0 ", "executor-1 ", "executor-2 "} {
		if !strings.Contains(logs, "\n"+want) && !strings.HasPrefix(logs, want) {
			t.Errorf("logs have nothing of %s:\n%s", want, logs)
		}
	}
}

// TestKill ends a job before it has written anything.
func TestKill(t *testing.T) {
	tr := newTrial(t)
	id := strings.TrimSpace(tr.run("run", "crash.yaml", "--detach", "--set", "gate="+tr.turnstile(0).url))
	if out := tr.run("kill", id); !strings.Contains(out, "KILLED") {
		t.Errorf("kill says %q", out)
	}
	for info, err := range tr.bucket.List(context.Background(), tr.folder+"/out") {
		t.Errorf("it has left %v, %v", info, err)
	}
	tr.nothingLeft(scheduler.JobID(id))
}
