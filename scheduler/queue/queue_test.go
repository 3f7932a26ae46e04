package queue

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

var epoch = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

// script drives queues by commands.
//
//	tree                 a configuration as JSON
//	cluster cores=N memory=N gpus=N [largest=N]
//	job ID queue=Q [user= priority= want= gang= has= leaving= cores= memory= gpus= age=SECONDS running]
//	decide [now=SECONDS] one round; what it decides is done when `apply` is said
type script struct {
	tree    *Tree
	s       Snapshot
	options Options
}

func TestDecisions(t *testing.T) {
	datadriven.Walk(t, "testdata/decisions", func(t *testing.T, path string) {
		s := &script{s: Snapshot{Now: epoch}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return s.do(t, d) })
	})
}

func (s *script) do(t *testing.T, d *datadriven.TestData) string {
	number := func(key string, v int) int { d.MaybeScanArgs(t, key, &v); return v }
	switch d.Cmd {
	case "tree":
		var c Config
		if err := json.Unmarshal([]byte(d.Input), &c); err != nil {
			t.Fatal(err)
		}
		tree, err := New(c)
		if err != nil {
			return errs.KindOf(err).String() + ": " + err.Error() + "\n"
		}
		s.tree, s.s.Jobs, s.s.Hungry = tree, nil, nil
		return strings.Join(tree.Leaves(), " ") + "\n"
	case "cluster":
		s.s.Total = resources(number)
		s.s.Rooms = nil
		if d.HasArg("largest") {
			largest := Resources{Cores: int64(number("largest", 0)), Memory: 1 << 20, GPUs: 1 << 20}
			s.s.Rooms = []Room{{largest, int64(number("machines", 1))}, {Resources{Cores: 1}, 100}}
		}
		return ""
	case "job":
		s.job(t, d, number)
		return ""
	case "drop":
		s.s.Jobs = slices.DeleteFunc(s.s.Jobs, func(j Job) bool { return string(j.ID) == d.CmdArgs[0].Key })
		return ""
	case "decide":
		s.s.Now = epoch.Add(time.Duration(number("now", int(s.s.Now.Sub(epoch)/time.Second))) * time.Second)
		all := Decide(s.tree, s.s, s.options)
		if d.HasArg("apply") {
			s.s = apply(s.s, all)
		}
		return tell(all)
	}
	d.Fatalf(t, "what is %s?", d.Cmd)
	return ""
}

func resources(number func(string, int) int) Resources {
	return Resources{int64(number("cores", 0)), int64(number("memory", 0)), int64(number("gpus", 0))}
}

func (s *script) job(t *testing.T, d *datadriven.TestData, number func(string, int) int) {
	text := func(key, v string) string { d.MaybeScanArgs(t, key, &v); return v }
	j := Job{
		ID: scheduler.JobID(d.CmdArgs[0].Key), Queue: text("queue", ""), User: text("user", "ann"),
		Priority: number("priority", 0), Want: number("want", 1), Gang: number("gang", 0), Has: number("has", 0),
		Leaving: number("leaving", 0), Submitted: epoch.Add(-time.Duration(number("age", 0)) * time.Second),
	}
	j.Ask = resources(func(key string, v int) int {
		if key == "cores" {
			v = 1
		}
		return number(key, v)
	})
	j.Running = j.Has > 0 || d.HasArg("running")
	s.s.Jobs = append(s.s.Jobs, j)
}

// apply does what was decided: who has to give way does so at once.
func apply(s Snapshot, all Decisions) Snapshot {
	s.Jobs = slices.Clone(s.Jobs)
	s.Hungry = all.Hungry
	for _, d := range all.List {
		i := slices.IndexFunc(s.Jobs, func(j Job) bool { return j.ID == d.Job })
		switch d.Verb {
		case Grow:
			s.Jobs[i].Has += d.Count
			s.Jobs[i].Running = true
		case Shrink:
			s.Jobs[i].Has -= d.Count
		}
	}
	return s
}

func tell(all Decisions) string {
	var b strings.Builder
	for _, d := range all.List {
		fmt.Fprintf(&b, "%s %s", d.Job, d.Verb)
		if d.Count > 0 {
			fmt.Fprintf(&b, " %d", d.Count)
		}
		if d.Reason != "" {
			fmt.Fprintf(&b, ": %s", d.Reason)
		}
		b.WriteByte('\n')
	}
	var hungry []string
	for name, since := range all.Hungry {
		hungry = append(hungry, fmt.Sprintf("%s since %.0f s", name, since.Sub(epoch).Seconds()))
	}
	slices.Sort(hungry)
	for _, line := range hungry {
		b.WriteString("hungry: " + line + "\n")
	}
	return b.String()
}
