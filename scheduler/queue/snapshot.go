package queue

import (
	"time"

	"github.com/seed3322913c/runner/scheduler"
)

// Job is what the queues know of a job that is not over.
type Job struct {
	ID        scheduler.JobID
	Queue     string // a leaf
	User      string
	Priority  int // higher is first; in a fair leaf priority 3 deserves 4 times what priority 0 does
	Submitted time.Time
	Running   bool      // it was admitted
	Ask       Resources // of each of its executors; at least one resource is not 0
	Want      int       // executors that it could use now, those that it has included
	Gang      int       // executors without which it cannot work: all of them or none; 0 and 1: any number
	Has       int       // executors, those that are leaving included
	Leaving   int       // executors that were told to go
}

// Room is what each of so many machines has for executors.
type Room struct {
	Resources
	Machines int64
}

// Snapshot is how things stand.
type Snapshot struct {
	Now   time.Time
	Total Resources // of all machines that take work
	Rooms []Room    // the same by machine, since an executor is on one of them; none: unknown
	Jobs  []Job     // in any order

	// Hungry says since when leaves have had less than they are guaranteed while they want more: what the decisions of
	// the round before returned.
	Hungry map[string]time.Time
}

// Options say how patient the queues are. The zero values are useful.
type Options struct {
	// Patience is how long a gang that does not fit waits before what becomes free is kept for it; 0: a minute.
	Patience time.Duration
	// PreemptAfter is how long a leaf goes without what it is guaranteed before others have to give way; 0: 15 seconds,
	// as YARN's monitor waits. Negative: nobody ever has to.
	PreemptAfter time.Duration
}

func (o Options) withDefaults() Options {
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.PreemptAfter == 0 {
		o.PreemptAfter = 15 * time.Second
	}
	return o
}

// Verb is what a decision is about.
type Verb string

// The verbs of a decision.
const (
	Grow   Verb = "grow"   // the job gets Count executors more; if it was not running it is admitted
	Shrink Verb = "shrink" // the job gives Count executors back
	Wait   Verb = "wait"   // the job has not got all that it wants, for Reason
	Refuse Verb = "refuse" // the job can never run, for Reason
)

// Decision is what is to be done about one job.
type Decision struct {
	Job    scheduler.JobID
	Verb   Verb
	Count  int
	Reason string // one sentence, for the job's status
}

// Decisions are the result of a round.
type Decisions struct {
	List   []Decision           // at most one of each verb for a job
	Hungry map[string]time.Time // for the next Snapshot
}
