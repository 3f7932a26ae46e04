package queues

import (
	"time"

	"github.com/seed3322913c/runner/scheduler/queue"
)

// settle is how long a queue may be without what it is guaranteed: until others have given way.
const settle = 30 * time.Second

// measure looks at the fleet after a round. Only rounds count in which more is wanted than there is.
func (f *fleet) measure() {
	var busy, wanted int64
	has, wants := map[string]int64{}, map[string]int64{}
	var fair []float64
	for _, j := range f.s.Jobs {
		if j.Submitted.After(f.now) {
			continue
		}
		held := int64(j.Has) * j.Ask.Cores
		busy += held
		wanted += int64(j.Want) * j.Ask.Cores
		has[j.Queue] += held
		wants[j.Queue] += int64(j.Want) * j.Ask.Cores
		// Alike are those that want more than a fair part: of the others nobody knows what they would take.
		if j.Queue == "research" && j.Has < j.Want {
			fair = append(fair, float64(held)/float64(1+j.Priority))
		}
	}
	if wanted <= f.s.Total.Cores {
		clear(f.since)
		return
	}
	f.samples.rounds++
	f.samples.busy += float64(busy) / float64(f.s.Total.Cores)
	f.samples.guarantee += f.guarantees(has, wants)
	f.samples.fair += jain(fair)
}

// guarantees returns the mean part of their guarantees that those queues have which want all of them.
func (f *fleet) guarantees(has, wants map[string]int64) float64 {
	sum, n := 0.0, 0.0
	for name, share := range f.shares {
		mine := share * float64(f.s.Total.Cores)
		if mine == 0 || float64(wants[name]) < mine || gangs(f.s.Jobs, name) {
			delete(f.since, name)
			continue
		}
		if _, ok := f.since[name]; !ok {
			f.since[name] = f.now
		}
		part := min(1, float64(has[name])/mine)
		sum, n = sum+part, n+1
		if f.now.Sub(f.since[name]) > settle {
			f.r.Worst = min(f.r.Worst, part)
		}
	}
	if n == 0 {
		return 1
	}
	return sum / n
}

// gangs reports whether a queue's jobs come in gangs, which need not fit into what is left of its guarantee.
func gangs(jobs []queue.Job, name string) bool {
	for _, j := range jobs {
		if j.Queue == name && j.Gang > 1 {
			return true
		}
	}
	return false
}

// jain is Jain's fairness index: 1 when all are the same, 1/n when one has everything.
func jain(all []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, x := range all {
		sum += x
		squares += x * x
	}
	if squares == 0 {
		return 1
	}
	return sum * sum / (float64(len(all)) * squares)
}
