package deploy_test

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/below"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// sizes is what a fleet tells about its size.
type sizes struct {
	Workers, Max int
	Machines     []struct{ Role, State string }
	Scalings     []struct {
		Resize *struct{ Machines int }
		End    []string
		Error  string
	}
}

func (u *user) sizes(name string) (s sizes, workers int) {
	u.Helper()
	u.answer(u.run("status", "--cluster", name, "--json"), &s)
	for _, m := range s.Machines {
		if m.Role == "worker" {
			workers++
		}
	}
	return s, workers
}

// schedules writes down among what a fleet keeps that a schedule is to wake it. No verb would on this host, where nothing
// can.
func (u *user) schedules(bucket store.Store) {
	u.Helper()
	jobs, err := below.New(bucket, ".runner")
	if err == nil {
		err = cron.Book{Store: jobs}.Add(u.Context(), cron.Schedule{
			Name: "newyear", Cron: "@yearly", Overlap: cron.Skip, CatchUp: 1, Wake: time.Hour,
			Since: time.Now(), Work: json.RawMessage("{}"),
		})
	}
	if err != nil {
		u.Fatal(err)
	}
}

// breathes deploys a fleet that has no worker as long as no job needs one, and runs a job there. That its schedules, which
// have outlived the one before, don't wake it is told, also beside JSON.
func (u *user) breathes(name string, bucket func() store.Store) {
	u.Helper()
	elastic := []string{"deploy", "--name", name, "--min", "0", "--max", "2", "--cooldown", "1s", "--idle", "1h"}
	if _, story := u.exits(0, append(elastic, "--yes", "--json")...); !strings.Contains(story, "Nothing wakes it") {
		u.Errorf("of its schedules it is told %q", story)
	}
	if s, workers := u.sizes(name); workers != 0 || s.Workers != 0 || s.Max != 2 {
		u.Errorf("without a job it has %d workers: %+v", workers, s)
	}
	u.run("run", "wordcount", "--cluster", name, "--quiet", "--input", "s3://runner-"+name+"/in",
		"--output", "s3://runner-"+name+"/grown")
	if got := u.read(bucket(), "grown/part"); got != "a\t2\nb\t1\n" {
		u.Errorf("the fleet that has grown counts %q", got)
	}
	var s sizes
	grown, ended := 0, 0
	u.await("the end of the last worker", func() (over bool) { // what was done is told when it is done
		var workers int
		s, workers = u.sizes(name)
		grown, ended = 0, 0
		for _, d := range s.Scalings {
			if d.Resize != nil {
				grown = max(grown, d.Resize.Machines)
			}
			ended += len(d.End)
		}
		return workers == 0 && ended > 0
	})
	if grown < 1 || grown > 2 {
		u.Errorf("it tells of %d machines, %d of which have ended: %+v", grown, ended, s.Scalings)
	}
	var plan struct{ Changes []any }
	if u.answer(u.run(append(elastic, "--plan", "--json")...), &plan); len(plan.Changes) > 0 {
		u.Errorf("a fleet that breathes would be changed: %v", plan.Changes)
	}
	u.exits(12, "scale", name, "--min", "0", "--max", "9", "--max-workers", "8")
	u.exits(2, "scale", name, "--min", "1", "--workers", "2")
	u.exits(2, slices.Concat(elastic, []string{"--workers", "1"})...)
}
