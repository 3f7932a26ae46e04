package queue

import (
	"cmp"
	"container/heap"
	"fmt"
	"math"
	"slices"
	"time"
)

// Decide makes one round of decisions. It depends on nothing but its arguments, and on the order of the jobs not at
// all.
func Decide(t *Tree, s Snapshot, o Options) Decisions {
	r := newRound(t, s, o.withDefaults())
	r.reserve()
	for r.serve(t.root) {
	}
	r.preempt()
	r.rebalance()
	return r.decisions()
}

// round is one round of decisions in the making.
type round struct {
	Snapshot
	options Options
	tree    *Tree
	free    Resources // what nobody holds, without what is kept
	kept    Resources // for a gang
	queues  []state   // by node.index
	jobs    []*job    // in the order of their ids
	hungry  map[string]time.Time
}

// state is a queue in a round.
type state struct {
	used    Resources
	going   Resources // of it, of executors that are leaving
	running int       // jobs of a leaf
	users   map[string]Resources
	waiting waiting // jobs of a leaf that may get more
	open    []*node // children that may get more
}

// job is a Job in a round.
type job struct {
	Job
	leaf   *node
	grown  int
	shrunk int
	most   int    // executors that the machines have room for, if nobody else has any
	why    string // what kept it from more
	refuse bool
	held   bool // what becomes free is kept for it
}

// has is what the job holds, with what this round gave it.
func (j *job) has() int { return j.Has + j.grown }

// next is how many executors the job must get at once to get any.
func (j *job) next() int64 { return int64(max(1, j.Gang-(j.has()-j.Leaving))) }

// newRound counts who holds what, and puts every job that wants more into its leaf.
func newRound(t *Tree, s Snapshot, o Options) *round {
	r := &round{Snapshot: s, options: o, tree: t, free: s.Total, hungry: map[string]time.Time{}}
	r.queues = make([]state, len(t.nodes))
	for _, given := range s.Jobs {
		r.jobs = append(r.jobs, &job{Job: given, leaf: t.leaves[given.Queue], most: s.most(given.Ask)})
	}
	slices.SortFunc(r.jobs, func(a, b *job) int { return cmp.Compare(a.ID, b.ID) })
	for _, j := range r.jobs {
		r.free = r.free.plus(j.Ask, -int64(j.Has))
		if j.leaf == nil {
			j.refuse, j.why = true, fmt.Sprintf("there is no queue %q that takes jobs", j.Queue)
			continue
		}
		r.hold(j, int64(j.Has))
		leaf := r.of(j.leaf)
		if j.Running {
			leaf.running++
		}
		for n := j.leaf; n != nil; n = n.parent {
			q := r.of(n)
			q.going = q.going.plus(j.Ask, int64(j.Leaving))
		}
	}
	for _, j := range r.jobs {
		if j.refuse {
			continue
		}
		if why := r.never(j); why != "" {
			j.refuse, j.why = true, why
		} else if j.has()-j.Leaving < j.Want {
			leaf := r.of(j.leaf)
			leaf.waiting.jobs = append(leaf.waiting.jobs, j)
		}
	}
	for _, n := range t.nodes {
		q := r.of(n)
		q.waiting.before = r.before(n)
		heap.Init(&q.waiting)
		q.open = slices.Clone(n.children)
	}
	return r
}

// most is how many executors fit on the machines together, each on one of them.
func (s Snapshot) most(ask Resources) int {
	if len(s.Rooms) == 0 || ask == (Resources{}) {
		return math.MaxInt
	}
	sum := 0
	for _, room := range s.Rooms {
		sum += int(min(ask.times(room.Resources)*room.Machines, math.MaxInt32))
	}
	return sum
}

func (r *round) of(n *node) *state { return &r.queues[n.index] }

// hold writes down that a job holds n executors more.
func (r *round) hold(j *job, n int64) {
	j.leaf.path(func(at *node) bool {
		q := r.of(at)
		q.used = q.used.plus(j.Ask, n)
		return true
	})
	leaf := r.of(j.leaf)
	if leaf.users == nil {
		leaf.users = map[string]Resources{}
	}
	leaf.users[j.User] = leaf.users[j.User].plus(j.Ask, n)
}

// never says why a job can never run; "" if it can.
func (r *round) never(j *job) string {
	gang := int64(max(1, j.Gang))
	all := Resources{}.plus(j.Ask, gang)
	switch {
	case j.Ask == Resources{} || j.Ask.Cores < 0 || j.Ask.Memory < 0 || j.Ask.GPUs < 0:
		return "its executors ask for nothing"
	case j.most == 0:
		return "no machine is large enough for one of its executors"
	case j.Gang > j.most:
		return fmt.Sprintf("it needs %d executors at once, and all machines together have room for %d", j.Gang, j.most)
	case j.Gang > j.Want:
		return fmt.Sprintf("it needs %d executors at once and wants only %d", j.Gang, j.Want)
	case r.Total != Resources{} && len(r.Rooms) > 0 && over(all.share(r.Total), min(j.leaf.max, j.leaf.userMax)):
		return fmt.Sprintf("%d executors at once are more than %s may ever hold", gang, j.leaf)
	}
	return ""
}

func over(share, most float64) bool { return share > most+tolerance }

// serve gives the next executor, or gang, to a job below n. It returns false when nothing below n fits any more.
func (r *round) serve(n *node) bool {
	q := r.of(n)
	if len(n.children) == 0 {
		return r.serveLeaf(q)
	}
	for len(q.open) > 0 {
		i := r.neediest(q.open)
		if r.serve(q.open[i]) {
			return true
		}
		q.open = slices.Delete(q.open, i, i+1)
	}
	return false
}

// neediest returns the queue that has the least of what it is guaranteed.
func (r *round) neediest(queues []*node) int {
	best := 0
	for i := range queues {
		if i > 0 && r.need(queues[i]) < r.need(queues[best]) {
			best = i
		}
	}
	return best
}

// need is what a queue holds beside what it is guaranteed. Queues without a guarantee come after all that have one.
func (r *round) need(n *node) float64 {
	used := r.of(n).used.share(r.Total)
	if n.share == 0 {
		const last = 1e12
		return last + used
	}
	return used / n.share
}

func (r *round) serveLeaf(q *state) bool {
	for q.waiting.Len() > 0 {
		j := q.waiting.jobs[0]
		n := j.next()
		if j.why = r.obstacle(j, n, r.free); j.why != "" {
			heap.Pop(&q.waiting)
			continue
		}
		r.grow(j, n)
		if j.has()-j.Leaving >= j.Want {
			heap.Pop(&q.waiting)
		} else {
			heap.Fix(&q.waiting, 0)
		}
		return true
	}
	return false
}

// obstacle says what keeps a job from n executors more; "" if nothing does.
func (r *round) obstacle(j *job, n int64, free Resources) string {
	more := Resources{}.plus(j.Ask, n)
	leaf := r.of(j.leaf)
	if !j.Running && j.grown == 0 && leaf.running >= j.leaf.jobs {
		return fmt.Sprintf("%s runs %d jobs, as many as it may", j.leaf, leaf.running)
	}
	full := ""
	j.leaf.path(func(at *node) bool { // all of the machines is no limit of a queue's own
		if at.max < 1 && over(r.of(at).used.plus(more, 1).share(r.Total), at.max) {
			full = fmt.Sprintf("%s is at its maximum", at)
		}
		return full == ""
	})
	switch {
	case full != "":
		return full
	case j.leaf.userMax < 1 && over(leaf.users[j.User].plus(more, 1).share(r.Total), j.leaf.userMax):
		return fmt.Sprintf("user %s has all that one user may have in %s", j.User, j.leaf)
	case int64(j.has())+n > int64(j.most):
		return fmt.Sprintf("the machines have room for no more than %d of its executors", j.most)
	case !more.fits(free, 1) && n > 1:
		return fmt.Sprintf("it waits until %d executors fit at once", n)
	case !more.fits(free, 1):
		return "the machines are full"
	}
	return ""
}

func (r *round) grow(j *job, n int64) {
	if !j.Running && j.grown == 0 {
		r.of(j.leaf).running++
	}
	j.grown += int(n)
	r.free = r.free.plus(j.Ask, -n)
	r.hold(j, n)
}

// reserve keeps what is free for the gang that has waited longest beyond patience, so that small jobs do not pass it
// for ever; and for one that others give way for, or they would take back at once what they give piece by piece. There
// is one at a time, or two could keep what the other lacks.
func (r *round) reserve() {
	var first *job
	for _, n := range r.tree.nodes {
		for _, j := range r.of(n).waiting.jobs {
			since, hungry := r.Hungry[n.name]
			late := r.Now.Sub(j.Submitted) > r.options.Patience ||
				hungry && r.options.PreemptAfter >= 0 && r.Now.Sub(since) >= r.options.PreemptAfter
			if !late || j.next() < 2 || r.obstacle(j, j.next(), r.Total) != "" {
				continue
			}
			if first == nil || byAge(j, first) < 0 {
				first = j
			}
		}
	}
	if first == nil || first.Ask.fits(r.free, first.next()) {
		return // it is served in its turn
	}
	first.held = true
	all := Resources{}.plus(first.Ask, first.next())
	r.kept = Resources{min(all.Cores, r.free.Cores), min(all.Memory, r.free.Memory), min(all.GPUs, r.free.GPUs)}
	r.free = r.free.plus(r.kept, -1)
}

// decisions writes down what was decided, by job.
func (r *round) decisions() Decisions {
	d := Decisions{Hungry: r.hungry}
	say := func(j *job, verb Verb, count int, why string) {
		d.List = append(d.List, Decision{j.ID, verb, count, why})
	}
	for _, j := range r.jobs {
		if j.refuse {
			say(j, Refuse, 0, j.why)
			continue
		}
		if j.shrunk > 0 {
			say(j, Shrink, j.shrunk, "others have less than they are promised")
		}
		if j.grown > 0 {
			say(j, Grow, j.grown, "")
		}
		if j.why != "" && j.has()-j.Leaving < j.Want {
			if j.held {
				j.why += "; what becomes free is kept for it"
			}
			say(j, Wait, 0, j.why)
		}
	}
	return d
}

// byAge orders jobs by priority and age.
func byAge(a, b *job) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.Submitted.Compare(b.Submitted), cmp.Compare(a.ID, b.ID))
}

// before returns the order of a leaf's jobs.
func (r *round) before(leaf *node) func(a, b *job) int {
	if leaf.order != Fair {
		return byAge
	}
	weighed := func(j *job) float64 { return weigh(j, int64(j.has()), r.Total) }
	return func(a, b *job) int { return cmp.Or(cmp.Compare(weighed(a), weighed(b)), byAge(a, b)) }
}

// waiting is a heap of jobs in the order of their leaf.
type waiting struct {
	jobs   []*job
	before func(a, b *job) int
}

// Len implements heap.Interface, as do the rest.
func (w *waiting) Len() int           { return len(w.jobs) }
func (w *waiting) Less(i, k int) bool { return w.before(w.jobs[i], w.jobs[k]) < 0 }
func (w *waiting) Swap(i, k int)      { w.jobs[i], w.jobs[k] = w.jobs[k], w.jobs[i] }
func (w *waiting) Push(j any)         { w.jobs = append(w.jobs, j.(*job)) }
func (w *waiting) Pop() any {
	last := len(w.jobs) - 1
	j := w.jobs[last]
	w.jobs = w.jobs[:last]
	return j
}
