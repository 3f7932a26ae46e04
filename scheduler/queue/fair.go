package queue

import "slices"

// rebalance makes jobs of a fair leaf that hold more than others give way to those that have held less for too long:
// executors live as long as their job, so who came first would else keep the whole leaf until he is done.
func (r *round) rebalance() {
	for _, leaf := range r.tree.nodes {
		if leaf.order != Fair {
			continue
		}
		l := r.newLevel(leaf)
		if low, _ := l.gift(); low == nil {
			continue
		}
		key := leaf.name + "/fair" // which is no queue's name
		since, ok := r.Hungry[key]
		if !ok {
			since = r.Now
		}
		r.hungry[key] = since
		if r.options.PreemptAfter >= 0 && r.Now.Sub(since) >= r.options.PreemptAfter {
			l.settle()
		}
	}
}

// level is a fair leaf whose jobs are brought to the same height, one executor after the other.
type level struct {
	*round
	poor     []*job // that could have more, if somebody of this leaf had less
	rich     []*job // that hold something
	coming   Resources
	promised map[*job]int64
}

func (r *round) newLevel(leaf *node) *level {
	l := &level{round: r, coming: r.of(leaf).going, promised: map[*job]int64{}}
	for _, j := range r.jobs {
		if j.leaf != leaf || j.refuse {
			continue
		}
		if l.height(j, 0) > 0 {
			l.rich = append(l.rich, j)
		}
		begins := !j.Running && j.grown == 0 && r.of(leaf).running >= leaf.jobs
		if j.has()-j.Leaving < j.Want && !begins {
			l.poor = append(l.poor, j)
		}
	}
	l.deal()
	return l
}

// height is what the job will hold, and more executors, beside its priority.
func (l *level) height(j *job, more int64) float64 {
	n := int64(j.has()-j.Leaving-j.shrunk) + l.promised[j] + more
	return weigh(j, n, l.Total)
}

// next returns the job that is lowest, and the highest that has what it lacks and can give way; nil if
// there is none.
func (l *level) next() (low, high *job) {
	for _, j := range l.poor {
		room := int64(j.has()-j.Leaving)+l.promised[j] < int64(j.Want)
		if room && (low == nil || l.height(j, 0) < l.height(low, 0)) {
			low = j
		}
	}
	if low == nil {
		return nil, nil
	}
	lacks := Resources{}.plus(low.Ask, l.takes(low)).plus(l.coming, -1)
	for _, j := range l.rich {
		if j != low && j.grown == 0 && l.gives(j) > 0 && helps(j.Ask, lacks) &&
			(high == nil || l.height(j, 0) > l.height(high, 0)) {
			high = j
		}
	}
	return low, high
}

// gives is how many executors a job gives up at a time.
func (l *level) gives(j *job) int64 {
	have := int64(j.Has - j.Leaving - j.shrunk)
	if have > 0 && have-1 < int64(j.Gang) {
		return have
	}
	return min(have, 1)
}

// takes is how many executors a job must get at once.
func (l *level) takes(j *job) int64 { return max(1, j.next()-l.promised[j]) }

// deal promises what is on its way back to the lowest jobs.
func (l *level) deal() {
	for low, _ := l.next(); low != nil && low.Ask.fits(l.coming, l.takes(low)); low, _ = l.next() {
		n := l.takes(low)
		l.coming = l.coming.plus(low.Ask, -n)
		l.promised[low] += n
	}
}

// gift returns who should give to whom; nil if the one would still be below the other then.
func (l *level) gift() (low, high *job) {
	low, high = l.next()
	if high == nil || l.height(high, -l.gives(high)) < l.height(low, l.takes(low)) {
		return nil, nil
	}
	return low, high
}

// settle takes from the highest what the lowest lack.
func (l *level) settle() {
	for _, high := l.gift(); high != nil; _, high = l.gift() {
		n := l.gives(high)
		high.shrunk += int(n)
		l.hold(high, -n)
		l.coming = l.coming.plus(high.Ask, n)
		l.poor = slices.DeleteFunc(l.poor, func(j *job) bool { return j == high }) // who gives takes nothing
		l.deal()
	}
}

// weigh is the share of n executors of a job, beside its priority.
func weigh(j *job, n int64, total Resources) float64 {
	return Resources{}.plus(j.Ask, n).share(total) / float64(1+max(0, j.Priority))
}
