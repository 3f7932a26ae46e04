package fleet

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
	"github.com/seed3322913c/runner/scheduler/queue"
)

// machineOf is a machine of Nomad's with 8,000 MHz and 8 GiB.
func machineOf(id, status string) *nomadapi.NodeListStub {
	n := &nomadapi.NodeListStub{ID: id, Name: id, Status: status, SchedulingEligibility: nomadapi.NodeSchedulingEligible}
	n.Drivers = map[string]*nomadapi.DriverInfo{"raw_exec": {Detected: true, Healthy: true}}
	n.NodeResources = &nomadapi.NodeResources{Memory: nomadapi.NodeMemoryResources{MemoryMB: 8 << 10}}
	n.NodeResources.Cpu = nomadapi.NodeCpuResources{CpuShares: 8000, TotalCpuCores: 2}
	n.ReservedResources = &nomadapi.NodeReservedResources{Memory: nomadapi.NodeReservedMemoryResources{MemoryMB: 1 << 10}}
	return n
}

func allocOf(job, node, status string, mhz int64) *nomadapi.AllocationListStub {
	task := &nomadapi.AllocatedTaskResources{Cpu: nomadapi.AllocatedCpuResources{CpuShares: mhz}}
	task.Memory.MemoryMB = 1 << 10
	return &nomadapi.AllocationListStub{
		JobID: job, NodeID: node, ClientStatus: status, DesiredStatus: nomadapi.AllocDesiredStatusRun,
		AllocatedResources: &nomadapi.AllocatedResources{Tasks: map[string]*nomadapi.AllocatedTaskResources{"t": task}},
	}
}

// TestLook counts what executors may have: all of the machines that take work, but for what others hold there.
func TestLook(t *testing.T) {
	full := machineOf("full", "ready")
	full.SchedulingEligibility = nomadapi.NodeSchedulingIneligible
	nodes := []*nomadapi.NodeListStub{machineOf("a", "ready"), machineOf("b", "ready"), machineOf("gone", "down"), full}
	allocs := []*nomadapi.AllocationListStub{
		allocOf("fleet-system-node", "a", "running", 1000), allocOf("7k2f-words-am", "a", "running", 1000),
		allocOf("7k2f-words-executor", "a", "running", 2000), allocOf("7k2f-words-executor", "b", "pending", 2000),
		allocOf("7k2f-words-executor", "b", "complete", 2000), allocOf("7c2d-v1~2-executor", "b", "running", 1000),
	}
	allocs = append(allocs, allocOf("functions", "full", "running", 1000), allocOf("functions", "a", "failed", 1000))
	v := View{Alive: map[scheduler.JobID]int{}, Traces: map[string]map[scheduler.JobID]bool{}}
	v.count(nodes, allocs, terms{nomad.RawExec, 1000})
	if diff := cmp.Diff(map[scheduler.JobID]int{"7k2f-words": 2, "7c2d-v1.2": 1}, v.Alive); diff != "" {
		t.Error(diff)
	}
	if want := (queue.Resources{Cores: 6 + 8, Memory: 5<<30 + 7<<30}); v.Total != want {
		t.Errorf("the total is %+v, not %+v", v.Total, want)
	}
	want := []queue.Room{
		{Resources: queue.Resources{Cores: 8, Memory: 7 << 30}, Machines: 1},
		{Resources: queue.Resources{Cores: 6, Memory: 5 << 30}, Machines: 1},
	}
	if diff := cmp.Diff(want, v.Rooms); diff != "" {
		t.Error(diff)
	}
	var states []string
	for _, n := range v.Nodes {
		states = append(states, n.State)
	}
	if diff := cmp.Diff([]string{"ready", "ready", "down", "full"}, states); diff != "" || v.Ready() != 2 {
		t.Errorf("%d are ready: %s", v.Ready(), diff)
	}
	traces := map[string]map[scheduler.JobID]bool{
		"a": {"7k2f-words": true}, "b": {"7k2f-words": true, "7c2d-v1.2": true}, "full": {"": true},
	}
	if diff := cmp.Diff(traces, v.Traces); diff != "" {
		t.Error(diff)
	}
	if a := v.Nodes[0]; a.Executors != 1 || a.Used.Cores != 4 {
		t.Errorf("machine a is %+v", a)
	}
}

// TestLookAtCores counts what is left to executors that have cores of their own: none that others have a part of.
func TestLookAtCores(t *testing.T) {
	n := machineOf("a", "ready") // two cores of 4,000 MHz
	n.Address, n.Drivers["exec"] = "10.0.0.7", n.Drivers["raw_exec"]
	allocs := []*nomadapi.AllocationListStub{
		allocOf("fleet-system-node", "a", "running", 1000), allocOf("7k2f-words-am", "a", "running", 1000),
	}
	v := View{Alive: map[scheduler.JobID]int{}, Traces: map[string]map[scheduler.JobID]bool{}}
	v.count([]*nomadapi.NodeListStub{n}, allocs, terms{nomad.Exec, 1000})
	if want := (queue.Resources{Cores: 1, Memory: 5 << 30}); v.Total != want {
		t.Errorf("the total is %+v, not %+v", v.Total, want)
	}
}

// TestLookAtUnfit looks at machines that cannot start containers as they are to be started.
func TestLookAtUnfit(t *testing.T) {
	plain, broken := machineOf("plain", "ready"), machineOf("broken", "ready")
	broken.Drivers["exec"] = &nomadapi.DriverInfo{HealthDescription: "Driver must run as root"}
	for _, c := range []struct {
		node *nomadapi.NodeListStub
		want string
	}{{plain, "plain cannot start containers by exec: it has no such driver"}, {broken, "Driver must run as root"}} {
		v := View{Alive: map[scheduler.JobID]int{}, Traces: map[string]map[scheduler.JobID]bool{}}
		v.count([]*nomadapi.NodeListStub{c.node}, nil, terms{nomad.Exec, 1000})
		if v.Ready() != 0 || v.Total != (queue.Resources{}) || v.Nodes[0].State != unfit || !strings.Contains(v.Lacks, c.want) {
			t.Errorf("%+v", v)
		}
	}
}
