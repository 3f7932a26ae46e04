package fleet_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// all returns the processes of a role.
func (tr *trial) all(verb string) []cluster.Process {
	return slices.DeleteFunc(tr.cluster.Program(), func(p cluster.Process) bool { return p.Verb != verb })
}

// one returns a process of a role, wherever it runs.
func (tr *trial) one(verb string) cluster.Process {
	tr.t.Helper()
	all := tr.all(verb)
	if len(all) == 0 {
		tr.t.Fatalf("there is no process %s", verb)
	}
	return all[tr.chance.IntN(len(all))]
}

// kill ends (SIGKILL) one process of a role.
func (tr *trial) kill(verb string) cluster.Process {
	tr.t.Helper()
	p := tr.one(verb)
	tr.end(p)
	return p
}

// killAll ends (SIGKILL) all processes of a role.
func (tr *trial) killAll(verb string) {
	tr.t.Helper()
	for _, p := range tr.all(verb) {
		tr.end(p)
	}
}

func (tr *trial) end(p cluster.Process) {
	tr.t.Helper()
	tr.t.Logf("kill %+v", p)
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		tr.t.Fatal(err)
	}
}

// survive runs a word count and a sort side by side, lets something happen in the middle of them, while all of their
// executors are at work, and checks that their answers are right, that none of their attempts counts as failed, and that
// nothing is left when what was lost is there again. It returns how they ended.
func survive(t *testing.T, happen func(tr *trial), mend func() error) outcome {
	tr := newTrial(t)
	sorted := tr.newRows()
	// Who samples the rows passes, too.
	gates := []*turnstile{tr.turnstile(2 + tr.chance.IntN(12)), tr.turnstile(1 + tr.chance.IntN(12))}
	sort, _ := gates[0].start("rows.yaml")
	count, _ := gates[1].start("crash.yaml")
	begun := time.Now()
	happen(tr)
	for _, g := range gates {
		g.open()
	}
	ends := outcome{count.end(), sort.end()}
	t.Logf("it took %v more", time.Since(begun))
	tr.check()
	sorted.check()
	tr.must(mend())
	ready(t)
	for _, e := range ends {
		tr.nothingLeft(e.Job)
		for _, a := range e.Attempts {
			if a.State == scheduler.AttemptFailed {
				t.Errorf("%s of %s has failed, and was only lost: %s", a.ID, e.Job, a.Error)
			}
		}
	}
	return ends
}

// outcome is how the jobs of a trial have ended.
type outcome []event

// struck fails the test if no attempt was lost, overtaken by a copy, or without its application master for a while: then
// what was to be survived has not reached any job.
func (o outcome) struck(t *testing.T) {
	t.Helper()
	for _, e := range o {
		again := slices.ContainsFunc(e.Attempts, func(a am.AttemptReport) bool { return a.ID.N > 0 })
		if again || e.Masters > 1 {
			return
		}
	}
	t.Error("nothing was lost")
}

// nothing is to be mended when Nomad does it.
func nothing() error { return nil }

func TestExecutorKilled(t *testing.T) {
	survive(t, func(tr *trial) { tr.kill("executor") }, nothing).struck(t)
}

// TestNodeKilled ends what serves map output; it is started again, and what it served is still there.
func TestNodeKilled(t *testing.T) {
	survive(t, func(tr *trial) { tr.kill("node") }, nothing)
}

// TestMasterKilled ends the application masters; their successors keep what was finished.
func TestMasterKilled(t *testing.T) {
	for _, e := range survive(t, func(tr *trial) { tr.killAll("am") }, nothing) {
		if e.Masters != 2 {
			t.Errorf("%d application masters, not 2", e.Masters)
		}
		for _, s := range e.Stages {
			if s.Name == "map" && s.Lost > 0 {
				t.Errorf("%d maps were lost with the application master", s.Lost)
			}
		}
	}
}

// TestAgentKilled ends a machine's Nomad agent: its containers live on, and are given up only if it stays away.
func TestAgentKilled(t *testing.T) {
	survive(t, func(tr *trial) {
		machine := tr.kill("executor").Machine
		tr.must(tr.cluster.Kill("nomad-" + machine))
		tr.must(tr.cluster.StartNomad(machine))
	}, nothing).struck(t)
}

// TestMachineLost ends everything on a machine at once. Its executors and its map output are replaced.
func TestMachineLost(t *testing.T) {
	lost := ""
	survive(t, func(tr *trial) {
		for _, p := range tr.cluster.Program() {
			if p.Verb == "executor" {
				lost = p.Machine
			}
		}
		tr.t.Log("lose ", lost)
		tr.must(tr.cluster.KillMachine(lost))
	}, func() error { return site.cluster.StartMachine(lost) }).struck(t)
}

// TestMachineHangs stops everything on a machine, as a network that is cut does, until the job is over without it. When
// it goes on, its containers find that they were replaced, and do no harm.
func TestMachineHangs(t *testing.T) {
	hung := ""
	survive(t, func(tr *trial) {
		for _, p := range tr.cluster.Program() {
			if p.Verb == "executor" {
				hung = p.Machine
			}
		}
		tr.t.Log("stop ", hung)
		tr.must(tr.cluster.PauseMachine(hung))
	}, func() error { return site.cluster.ResumeMachine(hung) }).struck(t)
}

// TestTwoMasters starts another application master beside the one that works. It waits, and finds the job done.
func TestTwoMasters(t *testing.T) {
	l := launcher(t, "")
	tr := newTrial(t)
	gate := tr.turnstile(2)
	w, job := gate.start("crash.yaml")
	id := launch.GroupID{Job: job, Role: "am"}
	tr.must(l.Scale(t.Context(), id, 2))
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for e, err := range l.Watch(soon, id) {
		tr.must(err)
		if e.Container.Index == 1 && e.State == launch.Running {
			break
		}
	}
	gate.open()
	after := w.end()
	if after.Masters != 1 {
		t.Errorf("%d application masters have worked", after.Masters)
	}
	tr.check()
	tr.nothingLeft(after.Job)
}

// TestMachineDrained takes a machine out of service, as before it is given back.
func TestMachineDrained(t *testing.T) {
	nomad, err := needCluster(t).Nomad()
	if err != nil {
		t.Fatal(err)
	}
	id := ""
	survive(t, func(tr *trial) {
		nodes, _, err := nomad.Nodes().List(nil)
		tr.must(err)
		for _, p := range tr.cluster.Program() {
			for _, n := range nodes {
				if p.Verb == "executor" && n.Name == p.Machine && n.Status == nomadapi.NodeStatusReady {
					id = n.ID
				}
			}
		}
		_, err = nomad.Nodes().UpdateDrain(id, &nomadapi.DrainSpec{Deadline: -1, IgnoreSystemJobs: true}, false, nil)
		tr.must(err)
	}, func() error {
		_, err := nomad.Nodes().UpdateDrain(id, nil, true, nil)
		return err
	})
}

func TestConsulLeaderKilled(t *testing.T) {
	consul, err := needCluster(t).Consul()
	if err != nil {
		t.Fatal(err)
	}
	loseLeader(t, "consul-", consul.Status().Leader,
		func(machine string) error { return site.cluster.StartConsul(machine) })
}

func TestNomadLeaderKilled(t *testing.T) {
	nomad, err := needCluster(t).Nomad()
	if err != nil {
		t.Fatal(err)
	}
	loseLeader(t, "nomad-", nomad.Status().Leader, func(machine string) error { return site.cluster.StartNomad(machine) })
}

// loseLeader ends a leading server while a job runs, and starts it again afterwards.
func loseLeader(t *testing.T, server string, leader func() (string, error), start func(machine string) error) {
	machine := ""
	survive(t, func(tr *trial) {
		address, err := leader()
		tr.must(err)
		for _, m := range tr.cluster.State.Machines {
			if strings.HasPrefix(address, m.Address+":") {
				machine = m.Name
			}
		}
		tr.t.Log("kill ", server, machine)
		tr.must(tr.cluster.Kill(server + machine))
	}, func() error { return start(machine) })
}

func (tr *trial) must(err error) {
	tr.t.Helper()
	if err != nil {
		tr.t.Fatal(err)
	}
}

// ready waits until the cluster is whole again, so that the next test begins with one that is.
func ready(t *testing.T) {
	t.Helper()
	if err := site.cluster.Await(context.Background()); err != nil {
		t.Fatal(err)
	}
	err := site.cluster.Eventually(t.Context(), func() error {
		nodes := 0
		for _, p := range site.cluster.Program() {
			if p.Verb == "node" {
				nodes++
			}
		}
		if nodes != clients {
			return fmt.Errorf("%d of %d nodes run", nodes, clients)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
