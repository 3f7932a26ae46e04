package integration

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/seedtest"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
)

// newChain writes a specification of two jobs: a word count whose output is intermediate, and one that sorts it.
func newChain(t *testing.T, tr *trial) {
	t.Helper()
	text := `kind: mapreduce
name: count
input: in
output: words
intermediate: true
package: ` + filepath.Join(os.Getenv(binEnv), "paced") + `
mapreduce:
  mapper: {go: main}
  combiner: {builtin: sum}
  reducer: {builtin: sum}
  reducers: 5
  splitSize: 512KiB
  set: {pace: 20ms}
resources: {executors: 2}
---
kind: mapreduce
name: sort
needs: count
input: words
output: out
mapreduce:
  mapper: {exec: "sleep 0.02; cat"}
  reducer: {exec: cat}
  reducers: 5
resources: {executors: 2}
`
	if err := os.WriteFile(filepath.Join(tr.dir, "chain.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// moments are when everything is killed: within the jobs, between them, and around the end of an intermediate output.
// An event is at one of them if it fits.
func moments(tr *trial) []func(event) bool {
	maps, sorted := tr.chance.IntN(16), tr.chance.IntN(4)
	of := func(job string, fits func(event) bool) func(event) bool {
		return func(e event) bool { return strings.HasSuffix(string(e.Job), job) && fits(e) }
	}
	return []func(event) bool{
		of("", func(e event) bool { return strings.HasPrefix(e.Text, "chain ") }),
		of("-count", func(e event) bool { return e.Event == "stage" && e.Name == "map" && e.Done >= maps }),
		of("-count", func(e event) bool { return e.Event == "stage" && e.Name == "reduce" }),
		of("-count", func(e event) bool { return e.Event == "state" && e.State == scheduler.JobCommitting }),
		of("-count", func(e event) bool { return e.Event == "result" }),
		of("-sort", func(e event) bool { return e.Event == "stage" && e.Done >= sorted }),
		of("-sort", func(e event) bool { return e.Event == "result" }),
		of("", func(e event) bool { return strings.HasPrefix(e.Text, "Removed ") }),
	}
}

// TestChainKilled kills all processes of a chain again and again. In the end it has done the same as if nothing had
// happened, and no job that was done was done again.
func TestChainKilled(t *testing.T) {
	chance := seedtest.New(t)
	for range rounds() {
		tr := newTrial(t, chance)
		newChain(t, tr)
		w := tr.start("run", "chain.yaml")
		var id string
		done := map[scheduler.JobID]bool{}
		for _, moment := range moments(tr) {
			if id != "" && chance.IntN(2) == 0 {
				continue // not all of them every time, nor always the early ones only
			}
			for {
				e, ok := w.next()
				if !ok {
					break // it is past that moment, and over
				}
				if text, ok := strings.CutPrefix(e.Text, "chain "); ok && id == "" {
					id, _, _ = strings.Cut(text, " ")
				}
				if done[e.Job] {
					t.Fatalf("job %s was done, and there is news of it: %+v", e.Job, e)
				}
				done[e.Job] = e.Event == "result" && e.State == scheduler.JobSucceeded
				if moment(e) {
					break
				}
			}
			tr.killEverything(w)
			w = tr.start("resume", id)
		}
		for {
			if _, ok := w.next(); !ok {
				break
			}
		}
		if err := w.cmd.Wait(); err != nil {
			t.Fatalf("the chain ended: %v\n%s", err, w.stderr.String())
		}
		tr.check()
		if _, err := os.Stat(filepath.Join(tr.dir, "words")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the intermediate output is there still: %v", err)
		}
		status, err := tr.command("status", id).Output()
		if err != nil || strings.Count(string(status), embedded.Waiting) > 0 || strings.Contains(string(status), "try 2") {
			t.Errorf("%v: %s", err, status)
		}
	}
}

// chainsOnS3 runs two jobs whose input, output, files and what is between them are in a bucket.
func chainsOnS3(t *testing.T, dir string, st store.Store, bucket string, run func(code int, args ...string) string) {
	t.Helper()
	text := `kind: mapreduce
name: pick
needs: count
input: BUCKET/mid/part-*
output: BUCKET/out/picked
files: BUCKET/stop.txt#stop
mapreduce: {mapper: {exec: "grep -vwFf stop"}, reducer: {exec: cat}, reducers: 1}
---
kind: mapreduce
name: count
input: BUCKET/logs/deep
output: BUCKET/mid
intermediate: true
mapreduce: {mapper: {builtin: wordcount}, reducer: {builtin: sum}, reducers: 1}
`
	text = strings.ReplaceAll(text, "BUCKET", bucket)
	if err := os.WriteFile(filepath.Join(dir, "chain.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), st, "stop.txt", []byte("y\n")); err != nil {
		t.Fatal(err)
	}
	run(0, "run", "chain.yaml")
	got, err := store.Get(t.Context(), st, "out/picked/part-r-00000", 1<<20)
	if err != nil || string(got) != "x\t1\n" {
		t.Errorf("%q, %v", got, err)
	}
	for info, err := range st.List(t.Context(), "mid/") {
		t.Errorf("of the intermediate output there is still %s, %v", info.Name, err)
	}
}
