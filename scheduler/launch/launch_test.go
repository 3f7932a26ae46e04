package launch_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/scheduler/launch"
)

func TestContainerNames(t *testing.T) {
	for _, c := range []launch.Container{{Role: "am"}, {Role: "executor", Index: 3, Restart: 12}} {
		if got, err := launch.ParseContainer(c.String()); err != nil || got != c {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	for _, bad := range []string{
		"", "am", "am-0", "am-0.", "am-.0", "-1.0", "am--1.0", "am-01.0", "am-1.+1", "a.m-1", "Am-1.0", "am-1.0 ",
	} {
		if got, err := launch.ParseContainer(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestGroupIDs(t *testing.T) {
	id := launch.GroupID{Job: "7k2f-wordcount", Role: "executor"}
	if got, err := launch.ParseGroupID(id.String()); err != nil || got != id {
		t.Errorf("%v: %v, %v", id, got, err)
	}
	for _, bad := range []string{"", "7k2f-wordcount", "7k2f-wordcount/", "/am", "7k2f-wordcount/a/b", "x/am"} {
		if got, err := launch.ParseGroupID(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestEventJSON(t *testing.T) {
	e := launch.Event{
		Container: launch.Container{Role: "executor", Index: 2, Restart: 1}, State: launch.Exited,
		Exit: launch.Exit{Code: -1, Signal: "killed"},
	}
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"container":"executor-2.1","state":"EXITED","exit":{"code":-1,"signal":"killed"}}`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Error(diff)
	}
	var back launch.Event
	if err := json.Unmarshal(data, &back); err != nil || back != e {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestExitForPeople(t *testing.T) {
	for want, e := range map[string]launch.Exit{
		"exited with 2":                   {Code: 2},
		"ended by signal killed":          {Code: -1, Signal: "killed"},
		"could not be started: no memory": {Code: -1, Error: "no memory"},
	} {
		if got := e.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
