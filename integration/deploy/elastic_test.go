package deploy_test

import (
	"slices"

	"github.com/seed3322913c/runner/infra/store"
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

// breathes deploys a fleet that has no worker as long as no job needs one, and runs a job there.
func (u *user) breathes(name string, bucket func() store.Store) {
	u.Helper()
	elastic := []string{"deploy", "--name", name, "--min", "0", "--max", "2", "--cooldown", "1s"}
	u.run(append(elastic, "--yes", "--json")...)
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
