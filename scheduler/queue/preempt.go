package queue

import "slices"

// preempt makes queues that hold more than they are guaranteed give way to those that have had less for too long. Who
// gives way never falls below its own guarantee, or the two would take from each other for ever.
func (r *round) preempt() {
	need := r.starving()
	if r.options.PreemptAfter < 0 || need == (Resources{}) {
		return
	}
	// What is free or on its way back comes first.
	need = need.plus(r.free, -1).plus(r.kept, -1).plus(r.of(r.tree.root).going, -1)
	victims := r.victims()
	for need.Cores > 0 || need.Memory > 0 || need.GPUs > 0 {
		leaf := r.richest(victims)
		if leaf == nil {
			return
		}
		list := victims[leaf]
		j := list[len(list)-1]
		n := r.spare(j)
		if n == 0 || !helps(j.Ask, need) {
			victims[leaf] = list[:len(list)-1]
			continue
		}
		j.shrunk += int(n)
		need = need.plus(j.Ask, -n)
		r.hold(j, -n)
	}
}

// starving returns what leaves have lacked for too long of what they are guaranteed, and writes down since when.
func (r *round) starving() Resources {
	lack, with := map[*node]Resources{}, map[*node]Resources{}
	for _, j := range r.unserved() {
		used, ok := with[j.leaf]
		if !ok {
			used = r.of(j.leaf).used
		}
		for have := j.has() - j.Leaving; have < j.Want; {
			n := int64(max(1, j.Gang-have))
			if over(used.plus(j.Ask, n).share(r.Total), j.leaf.share) {
				break
			}
			used, have = used.plus(j.Ask, n), have+int(n)
			lack[j.leaf] = lack[j.leaf].plus(j.Ask, n)
		}
		with[j.leaf] = used
	}
	var all Resources
	for leaf, missing := range lack {
		since, ok := r.Hungry[leaf.name]
		if !ok {
			since = r.Now
		}
		r.hungry[leaf.name] = since
		if r.Now.Sub(since) >= r.options.PreemptAfter {
			all = all.plus(missing, 1)
		}
	}
	return all
}

// unserved returns the jobs that nothing but the lack of machines keeps from more, by priority and age.
func (r *round) unserved() []*job {
	var list []*job
	for _, j := range r.jobs {
		if !j.refuse && j.has()-j.Leaving < j.Want && r.obstacle(j, j.next(), r.Total) == "" {
			list = append(list, j)
		}
	}
	slices.SortFunc(list, byAge)
	return list
}

// victims returns the jobs of each leaf that could give way, who goes first last: the least priority, then the
// youngest.
func (r *round) victims() map[*node][]*job {
	all := map[*node][]*job{}
	for _, j := range r.jobs {
		if r.spare(j) > 0 {
			all[j.leaf] = append(all[j.leaf], j)
		}
	}
	for _, list := range all {
		slices.SortFunc(list, byAge)
	}
	return all
}

// richest returns the leaf that holds the most beside its guarantee, of those that have somebody left to give way; nil
// if none has.
func (r *round) richest(victims map[*node][]*job) *node {
	var best *node
	for _, n := range r.tree.nodes {
		if len(victims[n]) > 0 && (best == nil || r.need(n) > r.need(best)) {
			best = n
		}
	}
	return best
}

// spare is how many executors the job gives up at a time: one, or all of its gang; 0 if it need not give way.
func (r *round) spare(j *job) int64 {
	have := int64(j.Has - j.Leaving - j.shrunk)
	if j.refuse || have <= 0 || j.grown > 0 {
		return 0
	}
	n := int64(1)
	if have-1 < int64(j.Gang) {
		n = have
	}
	q := r.of(j.leaf)
	left := q.used.plus(q.going, -1).plus(j.Ask, -n)
	if left.share(r.Total) < j.leaf.share-tolerance {
		return 0
	}
	return n
}

// helps reports whether giving up executors that ask for a brings anything that is needed.
func helps(a, need Resources) bool {
	return a.Cores > 0 && need.Cores > 0 || a.Memory > 0 && need.Memory > 0 || a.GPUs > 0 && need.GPUs > 0
}
