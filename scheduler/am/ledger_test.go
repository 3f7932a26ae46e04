package am

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// lines is a ledger that has everything.
const lines = `{"began":{"session":"s","time":5}}
{"plan":{"stages":[{"name":"map","tasks":2},{"name":"reduce","needs":["map"],"tasks":-1}],"executors":2}}
{"tasks":{"stage":"map","tasks":[{"weight":7,"hosts":["a"]},{"weight":8}]}}
{"ended":{"attempt":"map-0.0","state":"FAILED","executor":"e-0.0","start":6,"end":7,"error":"no"}}
{"ended":{"attempt":"map-0.1","state":"SUCCEEDED","start":7,"end":8,"data":"YQ==","counters":{"g":{"n":2}}}}
{"ended":{"attempt":"map-1.0","state":"SUCCEEDED","start":7,"end":9,"data":"Yg==","counters":{"g":{"n":3}}}}
{"ended":{"attempt":"map-1.1","state":"SUCCEEDED","executor":"e-0.0","start":7,"end":9}}
{"cut":{"stage":"reduce","tasks":1,"executors":1}}
{"tasks":{"stage":"reduce","tasks":[{"weight":1}]}}
{"ended":{"attempt":"reduce-0.0","state":"LOST","executor":"e-0.0","start":9,"end":10,"error":"?","inputs":["map-1.0"]}}
{"gone":{"attempt":"map-1.0","error":"?"}}
{"began":{"session":"s","time":11}}
{"ended":{"attempt":"map-1.1000","state":"SUCCEEDED","start":12,"end":13,"data":"Yg==","counters":{"g":{"n":3}}}}
{"ended":{"attempt":"reduce-0.1000","state":"SUCCEEDED","executor":"e-0.0","start":13,"end":14,"data":"Yw=="}}
{"commit":{"time":15}}
{"final":{"state":"SUCCEEDED","result":{"files":1},"time":16}}
`

func TestLedger(t *testing.T) {
	l := newLedger()
	if err := l.Restore(strings.NewReader(lines)); err != nil {
		t.Fatal(err)
	}
	r := l.report(scheduler.Job{}, false)
	if r.State != scheduler.JobSucceeded || r.Counters.Get("g", "n") != 5 || r.Masters != 2 {
		t.Errorf("got %+v", r)
	}
	if m := r.Stages[0]; m.Failed != 1 || m.Lost != 1 || m.Killed != 1 || m.Done != 2 || m.Worked != 15 {
		t.Errorf("maps: %+v", m)
	}
	if tk := l.task(scheduler.TaskID{Stage: "reduce"}); tk.lost != 0 {
		t.Errorf("an attempt that lacked an input counts as %d losses", tk.lost)
	}
	in := l.outputs([]string{"map"})
	if got := in["map"][1].Attempt.N; got != 1000 {
		t.Errorf("the output of map-1 is that of attempt %d", got)
	}
}

// TestOutputsThatWereGivenAwayStay: an engine may read them while the ledger goes on.
func TestOutputsThatWereGivenAwayStay(t *testing.T) {
	l := newLedger()
	if err := l.Restore(strings.NewReader(strings.Join(strings.SplitAfter(lines, "\n")[:7], ""))); err != nil {
		t.Fatal(err)
	}
	in := l.outputs(l.names())
	id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: "map", Index: 1}}
	if err := l.apply(record{Gone: &gone{Attempt: id}}); err != nil {
		t.Fatal(err)
	}
	if in["map"][1].Attempt != id || string(in["map"][1].Data) != "b" {
		t.Errorf("it changed to %+v", in["map"][1])
	}
	if _, taken := l.byName["map"].taken(1); taken {
		t.Error("it is not gone from the ledger")
	}
}

// TestSnapshotStays: what happens after a snapshot is not in it, though it is written later.
func TestSnapshotStays(t *testing.T) {
	l := newLedger()
	if err := l.Restore(strings.NewReader(strings.Join(strings.SplitAfter(lines, "\n")[:7], ""))); err != nil {
		t.Fatal(err)
	}
	early, err := l.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var want, got bytes.Buffer
	if _, err := early.WriteTo(&want); err != nil {
		t.Fatal(err)
	}
	late, err := l.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	id := scheduler.AttemptID{Task: scheduler.TaskID{Stage: "map", Index: 1}}
	again := scheduler.AttemptID{Task: id.Task, N: 7}
	for _, r := range []record{
		{Gone: &gone{Attempt: id}}, {Ended: &ended{Attempt: again, State: scheduler.AttemptSucceeded}},
		{Began: &began{Session: "other"}},
	} {
		if err := l.apply(r); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := late.WriteTo(&got); err != nil || n != int64(got.Len()) || got.String() != want.String() {
		t.Errorf("%d bytes, %v, differ: %s", n, err, cmp.Diff(want.String(), got.String()))
	}
}

func TestMisfits(t *testing.T) {
	for _, bad := range []string{
		`{"plan":{"stages":[{"name":"a","needs":["b"]}]}}`,
		`{"plan":{"stages":[{"name":"a"},{"name":"a"}]}}`,
		`{"plan":{"stages":[{"name":"a","tasks":-2}]}}`,
		`{"plan":{"stages":[]}} {"plan":{"stages":[]}}`,
		`{"cut":{"stage":"a","tasks":1}}`,
		`{"tasks":{"stage":"a","tasks":[{"weight":1}]}}`,
		`{"plan":{"stages":[{"name":"a","tasks":1}]}} {"tasks":{"stage":"a","tasks":[{},{}]}}`,
		`{"ended":{"attempt":"a-0.0","state":"FAILED"}}`,
		`{"plan":{"stages":[{"name":"a","tasks":1}]}} {"tasks":{"stage":"a","tasks":[{}]}} ` +
			`{"ended":{"attempt":"a-0.0","state":"RUNNING"}}`,
		`{"gone":{"attempt":"a-0.0"}}`,
		`{"ended":{"attempt":"nonsense"}}`,
		`{`,
	} {
		if err := newLedger().Restore(strings.NewReader(bad)); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// FuzzLedger feeds records of all sorts. What a ledger accepts, it says the same of after a snapshot.
func FuzzLedger(f *testing.F) {
	f.Add([]byte(lines))
	for _, line := range strings.SplitAfter(lines, "\n") {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLedger()
		if l.Restore(bytes.NewReader(data)) != nil {
			return
		}
		snapshot, err := l.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := snapshot.WriteTo(&b); err != nil {
			return // text that is not UTF-8 does not come from a ledger
		}
		back := newLedger()
		if err := back.Restore(&b); err != nil {
			t.Fatal(err)
		}
		job := scheduler.Job{}
		if diff := cmp.Diff(l.report(job, false), back.report(job, false)); diff != "" {
			t.Error(diff)
		}
	})
}
