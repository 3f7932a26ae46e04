package fleet_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	nomadapi "github.com/hashicorp/nomad/api"
)

// TestPreemptedByNomad has Nomad give all of a machine to somebody else's job that is more important: the jobs'
// containers there are evicted and replaced elsewhere, and those that look after the machine stay.
func TestPreemptedByNomad(t *testing.T) {
	nomad, err := needCluster(t).Nomad()
	if err != nil {
		t.Fatal(err)
	}
	before, _, err := nomad.Operator().SchedulerGetConfiguration(nil)
	if err != nil {
		t.Fatal(err)
	}
	set := func(c *nomadapi.SchedulerConfiguration) error {
		_, _, err := nomad.Operator().SchedulerSetConfiguration(c, nil)
		return err
	}
	const important = "important"
	survive(t, func(tr *trial) {
		allowed := *before.SchedulerConfig
		allowed.PreemptionConfig.ServiceSchedulerEnabled = true
		tr.must(set(&allowed))
		machine := tr.one("executor").Machine
		job := greedy(important, machine, roomFor(tr, nomad, machine))
		_, _, err := nomad.Jobs().Register(job, nil)
		tr.must(err)
		var alloc *nomadapi.AllocationListStub
		tr.must(tr.cluster.Eventually(t.Context(), func() error {
			allocs, _, err := nomad.Jobs().Allocations(important, true, nil)
			if err != nil || len(allocs) == 0 || allocs[0].ClientStatus != nomadapi.AllocClientStatusRunning {
				return fmt.Errorf("%d allocations do not run: %w", len(allocs), err)
			}
			alloc = allocs[0]
			return nil
		}))
		whole, _, err := nomad.Allocations().Info(alloc.ID, nil)
		tr.must(err)
		var gave []string
		for _, id := range whole.PreemptedAllocations {
			victim, _, err := nomad.Allocations().Info(id, nil)
			tr.must(err)
			gave = append(gave, victim.TaskGroup)
		}
		if t.Logf("%q on %s gave way", gave, machine); !slices.Contains(gave, "executor") || slices.ContainsFunc(gave, stays) {
			t.Errorf("%q gave way, not executors alone or their masters", gave)
		}
	}, func() error {
		if _, _, err := nomad.Jobs().Deregister(important, true, nil); err != nil {
			return err
		}
		return set(before.SchedulerConfig)
	})
}

// stays reports whether a container's role is one of those that all jobs rest on. Handlers of functions may give way.
func stays(role string) bool { return role == "node" || role == "control" }

// roomFor is what a machine has, in MHz, without what its node and control hold.
func roomFor(tr *trial, nomad *nomadapi.Client, machine string) int {
	tr.t.Helper()
	nodes, _, err := nomad.Nodes().List(&nomadapi.QueryOptions{Params: map[string]string{"resources": "true"}})
	tr.must(err)
	for _, n := range nodes {
		if n.Name != machine {
			continue
		}
		room := n.NodeResources.Cpu.CpuShares
		allocs, _, err := nomad.Nodes().Allocations(n.ID, nil)
		tr.must(err)
		for _, a := range allocs {
			if a.ClientTerminalStatus() || !stays(a.TaskGroup) {
				continue
			}
			for _, task := range a.AllocatedResources.Tasks {
				room -= task.Cpu.CpuShares
			}
		}
		return int(room)
	}
	tr.t.Fatalf("there is no machine %s", machine)
	return 0
}

// greedy is a job that takes so many MHz of a machine.
func greedy(name, machine string, mhz int) *nomadapi.Job {
	task := nomadapi.NewTask(name, "raw_exec").SetConfig("command", "sleep").SetConfig("args", []string{"600"})
	memory, grace := 32, time.Second
	task.Resources, task.KillTimeout = &nomadapi.Resources{CPU: &mhz, MemoryMB: &memory}, &grace
	job := nomadapi.NewServiceJob(name, name, "", 80).AddTaskGroup(nomadapi.NewTaskGroup(name, 1).AddTask(task))
	job.Region, job.Datacenters = nil, []string{"*"}
	return job.Constrain(nomadapi.NewConstraint("${node.unique.name}", "=", machine))
}
