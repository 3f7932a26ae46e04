package roster

import (
	"time"

	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/queue"
)

// Seen is what is known of the world beside the roster when a round of decisions is made.
type Seen struct {
	Now   time.Time
	Total queue.Resources // of all machines that take work
	Rooms []queue.Room    // the same by machine; none: unknown
	// Alive is how many executors of a job there are. Those beyond what it may have are on their way out, and what they
	// hold is nobody else's yet.
	Alive  map[scheduler.JobID]int
	Hungry map[string]time.Time // what the round before returned
}

// Standing is how things stand for the queues.
func (r *Roster) Standing(s Seen) queue.Snapshot {
	snap := queue.Snapshot{Now: s.Now, Total: s.Total, Rooms: s.Rooms, Hungry: s.Hungry}
	for _, e := range r.Jobs() {
		if !e.Running() && e.Kill != "" {
			continue
		}
		has := max(e.Allowed, s.Alive[e.Job])
		snap.Jobs = append(snap.Jobs, queue.Job{
			ID: e.Job, Queue: e.Queue, User: e.User, Priority: e.Priority, Submitted: e.Entered, Running: e.Running(),
			Ask: e.Ask, Want: e.most(), Gang: e.Gang, Has: has, Leaving: has - e.Allowed,
		})
	}
	return snap
}

// most is how many executors a job has a use for.
func (e Entry) most() int { return max(e.Want, e.Gang) }

// Round is what is to be done.
type Round struct {
	Records []Record                   // to be made durable before anybody acts on them
	Waits   map[scheduler.JobID]string // why a job has not got all that it wants
	Refused map[scheduler.JobID]string // why a job that waits can never run
	Hungry  map[string]time.Time       // for the next Seen
}

// Decide makes one round of decisions. After one with records there may be more to decide.
func (r *Roster) Decide(s Seen, o queue.Options) Round {
	round := Round{Waits: map[scheduler.JobID]string{}, Refused: map[scheduler.JobID]string{}}
	for _, e := range r.Jobs() { // what a job has no use for is others' first of all
		if e.Running() && e.Allowed > e.most() {
			round.allow(Allow{Job: e.Job, Count: e.most(), Time: s.Now})
		}
	}
	if len(round.Records) > 0 {
		round.Hungry = s.Hungry
		return round
	}
	if after := r.config.PreemptAfter; after > 0 {
		o.PreemptAfter = time.Duration(after * float64(time.Second))
	}
	decided := queue.Decide(r.tree, r.Standing(s), o)
	round.Hungry = decided.Hungry
	for _, d := range decided.List {
		e := r.jobs[d.Job]
		switch {
		case d.Verb == queue.Grow:
			round.allow(Allow{Job: d.Job, Count: e.Allowed + d.Count, Time: s.Now})
		case d.Verb == queue.Shrink:
			round.allow(Allow{Job: d.Job, Count: e.Allowed - d.Count, Time: s.Now, Preempt: true})
		case d.Verb == queue.Refuse && !e.Running():
			round.Refused[d.Job] = d.Reason
		default: // who runs goes on with what he has
			round.Waits[d.Job] = d.Reason
		}
	}
	return round
}

func (r *Round) allow(a Allow) { r.Records = append(r.Records, Record{Allow: &a}) }
