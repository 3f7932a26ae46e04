package embedded

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

func chainOf(name string, jobs ...string) Chain {
	c := Chain{Name: name}
	for i, job := range jobs {
		l := Link{Job: scheduler.Job{Name: job, Kind: "mapreduce", Output: "file:///out/" + job}}
		if i > 0 {
			l.Needs = []int{i - 1}
		}
		c.Links = append(c.Links, l)
	}
	return c
}

// TestChainIDs: every try at every job of a chain has a name of its own, which no other job can be given.
func TestChainIDs(t *testing.T) {
	for _, n := range []int{1, 32, 33, 1000} {
		c := chainOf("day", make([]string, n)...)
		c.ID = "7k2f-day"
		seen := map[scheduler.JobID]bool{}
		for place := range n {
			c.Links[place].Job.Name = "x"
			for try := range len(trySigns) + 1 {
				id := c.jobID(place, try)
				if _, err := scheduler.ParseJobID(string(id)); err != nil || seen[id] || !strings.HasPrefix(string(id), "7k2f") {
					t.Fatalf("try %d at job %d of %d is %s: %v", try, place, n, id, err)
				}
				seen[id] = true
			}
		}
	}
}

func TestFindChain(t *testing.T) {
	// The second chain and the job draw what is taken, and have to draw again.
	zero := "\x00\x00\x00"
	jobs := Jobs{Store: mem.New(), Chance: bytes.NewReader([]byte(zero + zero + "\x08\x00\x00" + zero + "\x00\x00\x10"))}
	first, err := jobs.SubmitChain(t.Context(), chainOf("day", "words", "top"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := jobs.SubmitChain(t.Context(), chainOf("day", "words"))
	if err != nil {
		t.Fatal(err)
	}
	job := submit(t, jobs, "sort", time.Time{})
	for _, place := range []int{0, 1} {
		of := first.Links[place].Job
		of.ID = first.jobID(place, 0)
		if err := jobs.record(t.Context(), of); err != nil {
			t.Fatal(err)
		}
		of.ID = first.jobID(place, 1)
		if err := jobs.record(t.Context(), of); err != nil {
			t.Fatal(err)
		}
	}
	if first.ID != "aaaa-day" || second.ID != "baaa-day" || job.ID != "aaab-sort" {
		t.Fatalf("%s %s %s", first.ID, second.ID, job.ID)
	}
	for prefix, want := range map[string]scheduler.JobID{
		"aaaa": first.ID, "aaaa-": first.ID, "aaaa-day": first.ID, "b": second.ID, "aaaaa": "", "aaab": "", "zz": "",
	} {
		c, ok, err := jobs.FindChain(t.Context(), prefix)
		if err != nil || ok != (want != "") || c.ID != want {
			t.Errorf("%q is %q, %v, %v; want %q", prefix, c.ID, ok, err, want)
		}
		if ok && cmp.Diff(first, c) != "" && c.ID == first.ID {
			t.Errorf("%s", cmp.Diff(first, c))
		}
	}
	if _, _, err := jobs.FindChain(t.Context(), "aaa"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a chain or a job: %v", err)
	}
	for prefix, want := range map[string]scheduler.JobID{"aaaab": "aaaab-top", "aaaab2": "aaaab2-top", "aaab": job.ID} {
		if got, err := jobs.Find(t.Context(), prefix); err != nil || got.ID != want {
			t.Errorf("%q is %s, %v; want %s", prefix, got.ID, err, want)
		}
	}
	if _, err := jobs.Find(t.Context(), "caaa-day"); !strings.Contains(say.Sentence(err), "Did you mean") {
		t.Errorf("a mistyped chain: %v", err)
	}
}

// TestBegin: a job that was begun is found again, whoever asks; nobody has run it, so that it is not over.
func TestBegin(t *testing.T) {
	t.Setenv(HomeEnv, t.TempDir())
	h, err := OpenHome()
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.Jobs().SubmitChain(t.Context(), chainOf("day", "words", "top"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 2 {
		job, done, err := h.Chains().Begin(t.Context(), c, 1)
		if err != nil || done {
			t.Fatalf("done %v, %v", done, err)
		}
		ids = append(ids, string(job.ID), job.Labels[ChainLabel])
	}
	want := fmt.Sprintf("%[1]sb-top %[1]s-day %[1]sb-top %[1]s-day", Short(c.ID))
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s, err := h.Chains().Status(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if s.Word() != "INTERRUPTED" || s.Jobs[0].State != Waiting || s.Jobs[1].State != "INTERRUPTED" ||
		s.Jobs[1].Needs[0] != "words" {
		t.Errorf("%+v", s)
	}
	empty, err := h.Jobs().SubmitChain(t.Context(), chainOf("night", "words"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Chains().Kill(t.Context(), empty, "a test"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("killed although nothing of it was begun: %v", err)
	}
	_, release, err := h.Chains().Hold(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := h.Chains().Status(t.Context(), c); err != nil || s.Word() != string(scheduler.JobRunning) {
		t.Errorf("%s, %v", s.Word(), err)
	}
	if _, _, err := h.Chains().Hold(t.Context(), c.ID); errs.KindOf(err) != errs.Exist {
		t.Errorf("two at once: %v", err)
	}
	release()
}

// TestKillBetweenJobs: a chain that is killed when none of its jobs runs was killed, not cut off, until it is run again.
func TestKillBetweenJobs(t *testing.T) {
	t.Setenv(HomeEnv, t.TempDir())
	h, err := OpenHome()
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.Jobs().SubmitChain(t.Context(), chainOf("day", "words", "top"))
	if err != nil {
		t.Fatal(err)
	}
	chains := h.Chains()
	word := func() string {
		t.Helper()
		s, err := chains.Status(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return s.Word()
	}
	_, release, err := chains.Hold(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	job, _, err := chains.Begin(t.Context(), c, 0)
	if err != nil {
		t.Fatal(err)
	}
	ending := am.Ending{State: scheduler.JobSucceeded, Time: time.Now()}
	if _, err := am.End(t.Context(), h.Store, job, ending); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		status ChainStatus
		err    error
	}
	killed := make(chan answer)
	go func() {
		s, err := chains.Kill(t.Context(), c, "a test")
		killed <- answer{s, err}
	}()
	for _, err := range h.Coord.Watch(t.Context(), "chain/") {
		if err != nil {
			t.Fatal(err)
		}
		if reason, err := chains.Stopped(t.Context(), c.ID); err != nil || reason == "a test" {
			break
		}
	}
	release() // as who runs it does when it was stopped
	if got := <-killed; got.err != nil || got.status.Word() != string(scheduler.JobKilled) {
		t.Errorf("the kill says %s, %v", got.status.Word(), got.err)
	}
	if got := word(); got != string(scheduler.JobKilled) {
		t.Errorf("it is %s then", got)
	}
	if _, release, err = chains.Hold(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if got := word(); got != string(scheduler.JobRunning) {
		t.Errorf("when it is run again it is %s", got)
	}
	release()
	if got := word(); got != "INTERRUPTED" {
		t.Errorf("when that ends it is %s", got)
	}
}
