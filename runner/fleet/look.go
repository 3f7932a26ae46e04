package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	consulapi "github.com/hashicorp/consul/api"
	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
	"github.com/seed3322913c/runner/scheduler/queue"
)

// View is what the machines have, and what jobs hold of it.
type View struct {
	Nodes []client.Node
	Total queue.Resources // what executors can have, of all machines that take work
	Rooms []queue.Room    // the same by machine, the larger ones first
	Alive map[scheduler.JobID]int
	Wants map[scheduler.JobID]int // executors that jobs say they could use
	// Traces says of each machine by its id whose containers run there, or have: others may still read what they left.
	// What runs there for no job is one of "".
	Traces map[string]map[scheduler.JobID]bool
	// Lacks says, in one sentence, why machines that would take work cannot start containers; "" if all can.
	Lacks string
}

// Master is what the application master of a job takes.
func Master() queue.Resources { return queue.Resources{Cores: 1, Memory: masterMemory} }

// Ready is how many machines take work.
func (v View) Ready() (n int) {
	for _, node := range v.Nodes {
		if node.State == nomadapi.NodeStatusReady {
			n++
		}
	}
	return n
}

// Look returns how things stand. Of the jobs it also tells what they say they want.
func (f *Fleet) Look(ctx context.Context, jobs []scheduler.JobID) (View, error) {
	const op = "fleet.Look"
	v := View{
		Alive: map[scheduler.JobID]int{}, Wants: map[scheduler.JobID]int{}, Traces: map[string]map[scheduler.JobID]bool{},
	}
	q := new(nomadapi.QueryOptions).WithContext(ctx)
	q.Params = map[string]string{"resources": "true"}
	nodes, _, err := f.nomad.Nodes().List(q)
	if err != nil {
		return v, errs.E(op, errs.Unavailable, f.cluster.Name, err)
	}
	q.Namespace = nomadapi.AllNamespacesNamespace
	allocs, _, err := f.nomad.Allocations().List(q)
	if err != nil {
		return v, errs.E(op, errs.Unavailable, f.cluster.Name, err)
	}
	v.count(nodes, allocs, terms{cmp.Or(f.cluster.Driver, nomad.Exec), int64(f.launcher.CPU())})
	pairs, _, err := f.consul.KV().List(keyPrefix+"value/job/", new(consulapi.QueryOptions).WithContext(ctx))
	if err != nil {
		return v, errs.E(op, errs.Unavailable, f.cluster.Name, err)
	}
	said := map[string]string{} // one query tells all keys of all jobs
	for _, pair := range pairs {
		said[pair.Key] = string(pair.Value)
	}
	for _, id := range jobs {
		n, err := strconv.Atoi(said[keyPrefix+"value/"+string(wantKey(id))])
		if err == nil { // else it has said nothing yet, or nonsense
			v.Wants[id] = n
		}
	}
	return v, nil
}

// terms are how containers get what they need.
type terms struct {
	driver nomad.Driver
	mhz    int64 // Nomad's for a core that is not an executor's own
}

// core is what a core of a machine is in Nomad's MHz: where executors have cores of their own, what it truly is.
func (t terms) core(n *nomadapi.NodeListStub) int64 {
	if r := n.NodeResources; ownCores(t.driver, n.Address) && r != nil && r.Cpu.TotalCpuCores > 0 {
		return max(1, r.Cpu.CpuShares/int64(r.Cpu.TotalCpuCores))
	}
	return t.mhz
}

// lacks says why a machine cannot start containers, in one sentence; "" if it can.
func (t terms) lacks(n *nomadapi.NodeListStub) string {
	why := "it has no such driver"
	if d := n.Drivers[string(t.driver)]; d != nil {
		if d.Detected && d.Healthy {
			return ""
		}
		why = d.HealthDescription
	}
	return fmt.Sprintf("machine %s cannot start containers by %s: %s. "+
		"A fleet whose containers are to be processes like any other is started with --driver raw_exec", n.Name, t.driver, why)
}

// count adds up what machines have and what runs there.
func (v *View) count(nodes []*nomadapi.NodeListStub, allocs []*nomadapi.AllocationListStub, t terms) {
	used, others := map[string]queue.Resources{}, map[string]queue.Resources{} // by machine, in MHz; others are not executors
	executors, rooms := map[string]int{}, map[queue.Resources]int64{}
	for _, a := range allocs {
		v.trace(a)
		if !nomad.Alive(a) {
			continue
		}
		held := heldBy(a)
		add(used, a.NodeID, held)
		id, ok := jobOf(a, executorRole)
		if !ok {
			add(others, a.NodeID, held)
			continue
		}
		v.Alive[id]++
		executors[a.NodeID]++
	}
	for _, n := range nodes {
		mhz := t.core(n)
		node := client.Node{
			ID: n.ID, Name: n.Name, Address: n.Address, State: stateOf(n), Total: totalOf(n, mhz),
			Used: inCores(used[n.ID], mhz), Executors: executors[n.ID],
		}
		if lacks := t.lacks(n); lacks != "" && node.State == nomadapi.NodeStatusReady {
			node.State, v.Lacks = unfit, lacks
		}
		v.Nodes = append(v.Nodes, node)
		if node.State != nomadapi.NodeStatusReady {
			continue
		}
		taken := inCores(others[n.ID], mhz)
		room := queue.Resources{
			Cores: node.Total.Cores - taken.Cores, Memory: node.Total.Memory - taken.Memory, GPUs: node.Total.GPUs,
		}
		v.Total = queue.Resources{
			Cores: v.Total.Cores + room.Cores, Memory: v.Total.Memory + room.Memory, GPUs: v.Total.GPUs + room.GPUs,
		}
		rooms[room]++
	}
	for room, n := range rooms {
		v.Rooms = append(v.Rooms, queue.Room{Resources: room, Machines: n})
	}
	slices.SortFunc(v.Rooms, func(a, b queue.Room) int {
		return cmp.Or(cmp.Compare(b.Cores, a.Cores), cmp.Compare(b.Memory, a.Memory), cmp.Compare(b.GPUs, a.GPUs))
	})
}

// trace writes down where a container runs, or has run.
func (v *View) trace(a *nomadapi.AllocationListStub) {
	id, ok := jobOf(a, executorRole)
	if !ok {
		id, ok = jobOf(a, masterRole)
	}
	if !ok {
		if id = ""; !nomad.Alive(a) || strings.HasPrefix(a.JobID, string(nodeGroup.Job)+"-") {
			return // nobody's any more, or the fleet's own
		}
	}
	if v.Traces[a.NodeID] == nil {
		v.Traces[a.NodeID] = map[scheduler.JobID]bool{}
	}
	v.Traces[a.NodeID][id] = true
}

func add(to map[string]queue.Resources, node string, r queue.Resources) {
	sum := to[node]
	to[node] = queue.Resources{Cores: sum.Cores + r.Cores, Memory: sum.Memory + r.Memory, GPUs: sum.GPUs + r.GPUs}
}

// jobOf returns the job for which an allocation has a role.
func jobOf(a *nomadapi.AllocationListStub, role string) (scheduler.JobID, bool) {
	name, ok := strings.CutSuffix(a.JobID, "-"+role)
	id, err := scheduler.ParseJobID(strings.ReplaceAll(name, "~", "."))
	return id, ok && err == nil
}

// inCores returns what was counted in MHz, in cores: what takes a part of one leaves none that is an executor's own.
func inCores(r queue.Resources, mhz int64) queue.Resources {
	r.Cores = (r.Cores + mhz - 1) / mhz
	return r
}

// heldBy is what Nomad has set aside for an allocation; its cores are in MHz.
func heldBy(a *nomadapi.AllocationListStub) (sum queue.Resources) {
	if a.AllocatedResources == nil {
		return sum
	}
	for _, t := range a.AllocatedResources.Tasks {
		sum.Cores += t.Cpu.CpuShares
		sum.Memory += t.Memory.MemoryMB << 20
		for _, d := range t.Devices {
			sum.GPUs += int64(len(d.DeviceIDs))
		}
	}
	return sum
}

// totalOf is what a machine has for containers.
func totalOf(n *nomadapi.NodeListStub, mhz int64) (total queue.Resources) {
	if n.NodeResources == nil {
		return total
	}
	total = queue.Resources{
		Cores: n.NodeResources.Cpu.CpuShares / mhz, Memory: n.NodeResources.Memory.MemoryMB << 20,
	}
	if r := n.ReservedResources; r != nil {
		total.Cores -= int64(r.Cpu.CpuShares) / mhz
		total.Memory -= int64(r.Memory.MemoryMB) << 20
	}
	for _, d := range n.NodeResources.Devices {
		if d.Type == "gpu" {
			total.GPUs += int64(len(d.Instances))
		}
	}
	return total
}

// unfit is the state of a machine that would take work, but cannot start containers as they are to be started.
const unfit = "unfit"

// stateOf says how a machine is, in one word.
func stateOf(n *nomadapi.NodeListStub) string {
	switch {
	case n.Status != nomadapi.NodeStatusReady:
		return n.Status
	case n.Drain:
		return "draining"
	case n.SchedulingEligibility != nomadapi.NodeSchedulingEligible:
		return "full"
	}
	return n.Status
}

// Eligible says whether a machine, by its id, takes new work.
func (f *Fleet) Eligible(ctx context.Context, machine string, yes bool) error {
	return f.launcher.Eligible(ctx, machine, yes)
}

// The two keys by which control and an application master negotiate. Both are below those that the job may write.
func shareKey(id scheduler.JobID) coord.Key { return coord.Key("job/" + string(id) + "/share") }
func wantKey(id scheduler.JobID) coord.Key  { return coord.Key("job/" + string(id) + "/want") }

// Allow tells a job's application master how many executors it may have from now on. A job that is over, and of which
// nothing is left, stays so.
func (f *Fleet) Allow(ctx context.Context, id scheduler.JobID, executors int) error {
	return announce(ctx, f.coord, shareKey(id), executors, false)
}

// announce makes a number the value of a key, if that is there or shall be made.
func announce(ctx context.Context, c coord.Coordinator, key coord.Key, n int, create bool) error {
	data, err := json.Marshal(n)
	if err != nil {
		return errs.E("fleet.announce", errs.Internal, key, err)
	}
	for {
		v, err := c.Get(ctx, key)
		same := v.Version != 0 && string(v.Data) == string(data)
		if err != nil || same || v.Version == 0 && !create {
			return err
		}
		if _, err := c.Swap(ctx, key, v.Version, data); errs.KindOf(err) != errs.Exist {
			return err
		}
	}
}
