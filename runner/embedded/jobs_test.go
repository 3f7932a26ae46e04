package embedded

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

func submit(t *testing.T, jobs Jobs, name string, at time.Time) scheduler.Job {
	t.Helper()
	job, err := jobs.Submit(t.Context(), scheduler.Job{Name: name, Kind: "mapreduce", Submitted: at})
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func TestJobs(t *testing.T) {
	// The second job draws what the first has, and has to draw again.
	chance := bytes.NewReader([]byte{0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0})
	jobs := Jobs{Store: mem.New(), Chance: chance}
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	first, second := submit(t, jobs, "wordcount", now), submit(t, jobs, "wordcount", now.Add(time.Second))
	third := submit(t, jobs, "sort", now.Add(-time.Second))
	if first.ID != "aaaa-wordcount" || second.ID != "baaa-wordcount" || third.ID != "aaaq-sort" {
		t.Fatalf("%s %s %s", first.ID, second.ID, third.ID)
	}
	all, err := jobs.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]scheduler.Job{second, first, third}, all); diff != "" {
		t.Error(diff)
	}
	for prefix, want := range map[string]scheduler.JobID{
		"b": second.ID, "aaaa": first.ID, "aaaa-wordcount": first.ID, "aaaq-": third.ID,
	} {
		if got, err := jobs.Find(t.Context(), prefix); err != nil || got.ID != want {
			t.Errorf("%q found %s, %v; want %s", prefix, got.ID, err, want)
		}
	}
	_, err = jobs.Find(t.Context(), "aaa")
	if errs.KindOf(err) != errs.Invalid || !strings.Contains(say.Sentence(err), "2 jobs") {
		t.Errorf("an ambiguous prefix: %v", err)
	}
	_, err = jobs.Find(t.Context(), "abaa")
	if errs.KindOf(err) != errs.NotFound || !strings.Contains(say.Sentence(err), "Did you mean") {
		t.Errorf("no such job: %v", err)
	}
	jobs.Chance = nil // the real one
	if _, err := jobs.Submit(t.Context(), scheduler.Job{Name: "Not A Name"}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a bad name: %v", err)
	}
}

func TestFindAmongWholeIDs(t *testing.T) {
	// One id is the beginning of the other: typed in full, it is not ambiguous.
	jobs := Jobs{Store: mem.New(), Chance: bytes.NewReader(make([]byte, 3))}
	short := submit(t, jobs, "sort", time.Time{})
	long := short
	long.ID += "-all"
	other := Jobs{Store: jobs.Store}
	if err := other.record(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	if got, err := jobs.Find(t.Context(), string(short.ID)); err != nil || got.ID != short.ID {
		t.Errorf("found %s, %v", got.ID, err)
	}
}

func TestHome(t *testing.T) {
	t.Setenv(HomeEnv, t.TempDir()+"/deep/home")
	h, err := OpenHome()
	if err != nil {
		t.Fatal(err)
	}
	const id = scheduler.JobID("aaaa-sort")
	ctx := t.Context()
	if alive, err := h.supervised(ctx, id); alive || err != nil {
		t.Errorf("nobody runs it, yet %v, %v", alive, err)
	}
	lease, err := h.hold(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if alive, err := h.supervised(ctx, id); !alive || err != nil {
		t.Errorf("it is run, yet %v, %v", alive, err)
	}
	if _, err := h.hold(ctx, id); errs.KindOf(err) != errs.Exist {
		t.Errorf("two supervisors: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := h.hold(ended, id); errs.KindOf(err) != errs.Canceled {
		t.Errorf("interrupted: %v", err)
	}
	if err := lease.Release(ctx); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"one", "two"} {
		if err := h.put(ctx, nodeKey(id), []byte(value)); err != nil {
			t.Fatal(err)
		}
		if v, err := h.Coord.Get(ctx, nodeKey(id)); err != nil || string(v.Data) != value {
			t.Errorf("%q, %v; want %q", v.Data, err, value)
		}
	}
	for range 2 {
		if err := h.forget(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := h.Coord.Get(ctx, nodeKey(id)); err != nil || v.Version != 0 {
		t.Errorf("%+v, %v; want nothing", v, err)
	}
}

func TestSessionFromEnv(t *testing.T) {
	s := Session{Home: "/h", Name: "n", Launcher: "l:1", Node: "n:2", Secret: "top"}
	if _, err := SessionFromEnv(); errs.KindOf(err) != errs.Invalid {
		t.Errorf("without a session: %v", err)
	}
	for _, vars := range []map[string]string{s.Env(), s.Secrets()} {
		for k, v := range vars {
			t.Setenv(k, v)
		}
	}
	if got, err := SessionFromEnv(); err != nil || got != s {
		t.Errorf("%+v, %v; want %+v", got, err, s)
	}
	if _, err := SessionFromEnv(); err == nil {
		t.Error("the secret was left in the environment")
	}
}
