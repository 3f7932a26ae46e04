package nomad

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

var id = launch.GroupID{Job: "7k2f-word.count", Role: "executor"}

// own is the namespace of all groups.
func own(launch.GroupID) string { return "own" }

func TestJob(t *testing.T) {
	l := &Launcher{prefix: "p-", cpu: 500, space: own}
	job := l.job(launch.Group{
		ID: id, Command: []string{"${meta.runner}", "executor"}, Env: map[string]string{"A": "b"},
		Secrets: map[string]string{"HIDDEN": "s3cret"}, Count: 3, LogDir: "/logs", Grace: 7 * time.Second,
		Resources: scheduler.Resources{CPU: 2, Memory: 64 << 20, GPUs: 3},
		Restart: launch.Restart{Attempts: 20, Delay: 50 * time.Millisecond, MaxDelay: 5 * time.Second,
			Healthy: time.Minute},
	})
	group, task := job.TaskGroups[0], job.TaskGroups[0].Tasks[0]
	got := map[string]any{
		"id": *job.ID, "namespace": *job.Namespace, "type": *job.Type, "count": *group.Count, "restarts": *group.RestartPolicy.Attempts,
		"delay": *group.RestartPolicy.Delay, "interval": *group.RestartPolicy.Interval, "kill": *task.KillTimeout,
		"cpu": *task.Resources.CPU, "memory": *task.Resources.MemoryMB, "env": task.Env["A"], "driver": task.Driver,
		"args": strings.Join(task.Config["args"].([]string)[2:], " "),
		"gpus": fmt.Sprint(task.Resources.Devices[0].Name, *task.Resources.Devices[0].Count),
	}
	want := map[string]any{
		"id": "p-7k2f-word~count-executor", "namespace": "own", "type": "batch", "count": 3, "restarts": 20, "delay": 500 * time.Millisecond,
		"interval": time.Minute, "kill": 7 * time.Second, "cpu": 1000, "memory": 64, "env": "b", "driver": "raw_exec",
		"args": "executor /logs ${meta.runner} executor", "gpus": "gpu3",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, template := range task.Templates {
		if strings.Contains(*template.EmbeddedTmpl, "s3cret") {
			t.Error("a secret is in the job file")
		}
	}
	if len(task.Env) != 1 {
		t.Errorf("environment %v", task.Env)
	}
}

// TestConfined looks at what a container of the driver exec may do, and where it finds what is elsewhere on the machine.
func TestConfined(t *testing.T) {
	l, err := Open(Options{Folder: "${meta.dir}", Program: "${meta.runner}", CA: "${meta.ca}"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	job := l.job(launch.Group{
		ID: id, Command: []string{"${meta.runner}", "am", "${meta.dir}/x"}, Env: map[string]string{"CACERT": "${meta.ca}"},
	})
	task := job.TaskGroups[0].Tasks[0]
	got := map[string]any{
		"driver": task.Driver, "user": task.User, "capabilities": fmt.Sprint(task.Config["cap_drop"]),
		"args": strings.Join(task.Config["args"].([]string)[4:], " "), "ca": task.Env["CACERT"],
		"folder": *task.VolumeMounts[0].Destination,
	}
	want := map[string]any{
		"driver": "exec", "user": "nobody", "capabilities": "[all]", "args": "/opt/runner/bin/runner am ${meta.dir}/x",
		"ca": "/opt/runner/ca.pem", "folder": "${meta.dir}",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := Open(Options{}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a launcher that does not know where things are: %v", err)
	}
}

func TestExclusiveCores(t *testing.T) {
	job := (&Launcher{space: own}).job(launch.Group{
		ID: id, Command: []string{"true"}, Resources: scheduler.Resources{CPU: 2}, Exclusive: true,
	})
	if r := job.TaskGroups[0].Tasks[0].Resources; r.CPU != nil || r.Cores == nil || *r.Cores != 2 {
		t.Errorf("resources %+v", r)
	}
}

// alloc is an allocation of index 3 in a state; restarts of it are counted where there were any.
func alloc(created uint64, status string, restarts uint64,
	change func(*api.AllocationListStub)) *api.AllocationListStub {
	a := &api.AllocationListStub{
		Name: "p-7k2f-word~count-executor.executor[3]", CreateIndex: created, ClientStatus: status,
		DesiredStatus: api.AllocDesiredStatusRun, TaskStates: map[string]*api.TaskState{"executor": {Restarts: restarts}},
	}
	if status != "pending" {
		a.TaskStates["executor"].StartedAt = time.Unix(int64(created), 0)
	}
	if change != nil {
		change(a)
	}
	return a
}

// ended adds how the task has ended.
func ended(details map[string]string) func(*api.AllocationListStub) {
	return func(a *api.AllocationListStub) {
		a.TaskStates["executor"].Events = []*api.TaskEvent{
			{Type: api.TaskStarted}, {Type: api.TaskTerminated, Details: details}, {Type: api.TaskNotRestarting},
		}
	}
}

func TestEvents(t *testing.T) {
	killed, bad := map[string]string{"exit_code": "137", "signal": "9"}, map[string]string{"exit_code": "7"}
	lost := func(a *api.AllocationListStub) { a.NextAllocation = "another" }
	for name, c := range map[string]struct {
		allocs []*api.AllocationListStub
		want   string
	}{
		"nothing yet":     {[]*api.AllocationListStub{alloc(1, "pending", 0, nil)}, ""},
		"runs":            {[]*api.AllocationListStub{alloc(1, "running", 0, nil)}, "executor-3.0 RUNNING"},
		"runs again":      {[]*api.AllocationListStub{alloc(1, "running", 2, nil)}, "executor-3.2 RUNNING"},
		"will be started": {[]*api.AllocationListStub{alloc(1, "pending", 2, ended(killed))}, "executor-3.1 EXITED killed"},
		"done":            {[]*api.AllocationListStub{alloc(1, "complete", 0, nil)}, "executor-3.0 DONE"},
		"failed":          {[]*api.AllocationListStub{alloc(1, "failed", 2, ended(bad))}, "executor-3.2 FAILED 7"},
		"lost":            {[]*api.AllocationListStub{alloc(1, "lost", 1, nil)}, "executor-3.1 EXITED its machine was lost"},
		"disconnected": {[]*api.AllocationListStub{alloc(1, "unknown", 0, nil)},
			"executor-3.0 EXITED its machine was lost"},
		"drained": {[]*api.AllocationListStub{alloc(1, "complete", 0, lost)}, "executor-3.0 EXITED"},
		"replaced": {
			[]*api.AllocationListStub{alloc(9, "running", 1, nil), alloc(1, "lost", 4, lost)}, "executor-3.1001 RUNNING",
		},
		"about to be replaced": {
			[]*api.AllocationListStub{alloc(1, "lost", 4, lost), alloc(9, "pending", 0, nil)},
			"executor-3.4 EXITED its machine was lost",
		},
	} {
		var got []string
		for _, e := range events(id, c.allocs) {
			line := e.Container.String() + " " + string(e.State)
			switch {
			case e.Exit.Error != "":
				line += " " + e.Exit.Error
			case e.Exit.Signal != "":
				line += " " + e.Exit.Signal
			case e.Exit.Code != 0:
				line += " 7"
			}
			got = append(got, line)
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s: got %q, want %q", name, text, c.want)
		}
	}
}
