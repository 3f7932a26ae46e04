// Package queues simulates a fleet whose queues are full: jobs with many tasks each, more than fit on the machines at
// once. Its clock is its own. It asks package scheduler/queue for decisions, does the work of Nomad (each executor
// finds a machine) and of the jobs (tasks end after their time), and looks at each round whether the queues had what
// they are guaranteed.
package queues

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/queue"
)

// Options say how large the simulated fleet is.
type Options struct {
	Nodes int // machines of 16 cores and 64 GiB
	Tasks int // of all jobs together
	Seed  uint64
}

// Result is how it went.
type Result struct {
	Rounds    int
	Decisions int           // executors given, taken back and refused
	Deciding  time.Duration // real time spent in queue.Decide
	Longest   time.Duration // of one round
	Virtual   time.Duration // how long the fleet would have worked
	Busy      float64       // mean part of the cores in use while more tasks waited than fitted
	Guarantee float64       // mean part of its guarantee that a queue had while it wanted all of it
	Worst     float64       // least part of its guarantee that a queue had 30 s after it began to want all of it, or later
	Fair      float64       // Jain's index of what the jobs of the fair queue held, mean of rounds
	Unplaced  int           // executors given that no machine had room for, since machines are whole
}

// Config is what the fleet's queues are.
func Config() queue.Config {
	return queue.Config{Name: "root", Children: []queue.Config{
		{Name: "production", Share: 0.5, Children: []queue.Config{
			{Name: "reports", Share: 0.4}, {Name: "adhoc", Share: 0.6, Order: queue.Fair, UserMax: 0.5},
		}},
		{Name: "training", Share: 0.3, Max: 0.6},
		{Name: "spare", Share: 0, Max: 0.9},
		{Name: "research", Share: 0.2, Order: queue.Fair},
	}}
}

var node = queue.Resources{Cores: 16, Memory: 64 << 30}

// fleet is the state of the simulation.
type fleet struct {
	tree    *queue.Tree
	chance  *rand.Rand
	now     time.Time
	s       queue.Snapshot
	jobs    map[scheduler.JobID]*job
	free    []queue.Resources // of each machine
	next    int               // the machine that is asked first
	ends    ends
	r       Result
	samples struct{ busy, guarantee, fair, rounds float64 }
	since   map[string]time.Time // when a leaf began to want all that it is guaranteed
	shares  map[string]float64   // what each leaf is guaranteed
}

// job is work that is left to do.
type job struct {
	index   int // in Snapshot.Jobs
	left    int // tasks that have not begun
	working int // executors at work
	mean    time.Duration
	arrives time.Time
}

// task is an executor at work on a machine.
type task struct {
	end  time.Time
	job  scheduler.JobID
	node int
}

// Run simulates until all tasks are done.
func Run(o Options) (Result, error) {
	tree, err := queue.New(Config())
	if err != nil {
		return Result{}, err
	}
	f := &fleet{
		tree: tree, chance: rand.New(rand.NewPCG(o.Seed, 1)), now: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC),
		jobs: map[scheduler.JobID]*job{}, since: map[string]time.Time{},
		shares: map[string]float64{"reports": 0.2, "adhoc": 0.3, "training": 0.3, "spare": 0, "research": 0.2},
	}
	f.r.Worst = 1
	n := int64(o.Nodes)
	f.s = queue.Snapshot{Rooms: []queue.Room{{Resources: node, Machines: n}},
		Total: queue.Resources{Cores: node.Cores * n, Memory: node.Memory * n}}
	f.free = slices.Repeat([]queue.Resources{node}, o.Nodes)
	f.submit(o.Tasks)
	begun := f.now
	const limit = 100_000 // rounds: something is stuck
	for f.r.Rounds = 0; len(f.s.Jobs) > 0; f.r.Rounds++ {
		if f.r.Rounds == limit {
			return f.r, fmt.Errorf("%d jobs are not done after %d rounds", len(f.s.Jobs), limit)
		}
		if err := f.round(); err != nil {
			return f.r, err
		}
		f.now = f.now.Add(time.Second)
	}
	f.r.Virtual = f.now.Sub(begun)
	rounds := max(1, f.samples.rounds)
	f.r.Busy, f.r.Guarantee, f.r.Fair = f.samples.busy/rounds, f.samples.guarantee/rounds, f.samples.fair/rounds
	return f.r, nil
}

// submit draws jobs until they have so many tasks. Most come at once, the others during the first minutes.
func (f *fleet) submit(tasks int) {
	leaves := f.tree.Leaves()
	for i := 0; tasks > 0; i++ {
		left := min(tasks, 50+f.chance.IntN(900))
		tasks -= left
		cores := int64(1) << f.chance.IntN(4)
		j := queue.Job{
			ID: scheduler.JobID(fmt.Sprintf("job-%04d", i)), Queue: leaves[f.chance.IntN(len(leaves))],
			User: fmt.Sprintf("user%d", f.chance.IntN(8)), Priority: f.chance.IntN(3), Want: left,
			Ask: queue.Resources{Cores: cores, Memory: cores << 31},
		}
		if j.Queue == "training" {
			j.Gang = min(left, 1+f.chance.IntN(64))
		}
		j.Submitted = f.now.Add(time.Duration(max(0, f.chance.IntN(300)-150)) * time.Second)
		f.jobs[j.ID] = &job{index: i, left: left, mean: time.Duration(20+f.chance.IntN(100)) * time.Second,
			arrives: j.Submitted}
		f.s.Jobs = append(f.s.Jobs, j)
	}
}

// round ends what is done, asks for decisions and follows them.
func (f *fleet) round() error {
	f.finish()
	f.s.Now = f.now
	s := f.s
	s.Jobs = slices.DeleteFunc(slices.Clone(f.s.Jobs), func(j queue.Job) bool { return j.Submitted.After(f.now) })
	begun := time.Now()
	all := queue.Decide(f.tree, s, queue.Options{})
	took := time.Since(begun)
	f.r.Deciding += took
	f.r.Longest = max(f.r.Longest, took)
	f.s.Hungry = all.Hungry
	for _, d := range all.List {
		j := f.jobs[d.Job]
		switch d.Verb {
		case queue.Grow:
			f.r.Decisions += d.Count
			f.s.Jobs[j.index].Running = true
			for range d.Count {
				f.place(d.Job, j)
			}
		case queue.Shrink:
			f.r.Decisions += d.Count
			f.stop(d.Job, d.Count)
		case queue.Refuse:
			return fmt.Errorf("%s is refused: %s", d.Job, d.Reason)
		}
	}
	f.measure()
	return nil
}

// place finds a machine for one executor, as a bin packer does that goes around.
func (f *fleet) place(id scheduler.JobID, j *job) {
	ask := f.s.Jobs[j.index].Ask
	for range len(f.free) {
		n := f.next
		if room := f.free[n]; room.Cores >= ask.Cores && room.Memory >= ask.Memory {
			f.free[n] = queue.Resources{Cores: room.Cores - ask.Cores, Memory: room.Memory - ask.Memory}
			f.s.Jobs[j.index].Has++
			j.working++
			f.begin(id, j, n)
			return
		}
		f.next = (f.next + 1) % len(f.free)
	}
	f.r.Unplaced++ // asked for again in the next round
}

// begin gives an executor its next task.
func (f *fleet) begin(id scheduler.JobID, j *job, n int) {
	j.left--
	part := 0.5 + f.chance.Float64()
	heap.Push(&f.ends, task{f.now.Add(time.Duration(float64(j.mean) * part)), id, n})
}

// finish ends tasks whose time has come; their executors take another, or go.
func (f *fleet) finish() {
	for len(f.ends) > 0 && !f.ends[0].end.After(f.now) {
		t := heap.Pop(&f.ends).(task)
		j := f.jobs[t.job]
		if j.left > 0 {
			f.begin(t.job, j, t.node)
		} else {
			f.leave(j, t.node)
		}
	}
	f.s.Jobs = slices.DeleteFunc(f.s.Jobs, func(q queue.Job) bool {
		j := f.jobs[q.ID]
		return j.left == 0 && j.working == 0
	})
	for i := range f.s.Jobs {
		q := &f.s.Jobs[i]
		j := f.jobs[q.ID]
		j.index, q.Want = i, j.left+j.working
		q.Gang = min(q.Gang, q.Want)
	}
}

// leave takes an executor off its machine.
func (f *fleet) leave(j *job, n int) {
	ask := f.s.Jobs[j.index].Ask
	f.free[n] = queue.Resources{Cores: f.free[n].Cores + ask.Cores, Memory: f.free[n].Memory + ask.Memory}
	f.s.Jobs[j.index].Has--
	j.working--
}

// stop ends executors before their tasks are done; the tasks begin again elsewhere.
func (f *fleet) stop(id scheduler.JobID, count int) {
	j := f.jobs[id]
	kept := f.ends[:0]
	for _, t := range f.ends {
		if t.job == id && count > 0 {
			count--
			j.left++
			f.leave(j, t.node)
			continue
		}
		kept = append(kept, t)
	}
	f.ends = kept
	heap.Init(&f.ends)
}

// ends is a heap of tasks by the time of their end.
type ends []task

// Len implements heap.Interface, as do the rest.
func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, k int) bool { return e[i].end.Before(e[k].end) }
func (e ends) Swap(i, k int)      { e[i], e[k] = e[k], e[i] }
func (e *ends) Push(t any)        { *e = append(*e, t.(task)) }
func (e *ends) Pop() any {
	last := len(*e) - 1
	t := (*e)[last]
	*e = (*e)[:last]
	return t
}
