package am

import (
	"context"
	"encoding/json"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/scheduler"
)

// Ending is how a job that has no application master ends.
type Ending struct {
	State scheduler.JobState // a final one
	Why   string             // a sentence for people
	Time  time.Time
}

// End ends a job that has no application master, as one that waits in a queue. Should one be started meanwhile, it is
// fenced, or finds the job over. A job that is over stays as it is; one whose output is being published fails with
// errs.Invalid.
func End(ctx context.Context, st store.Store, job scheduler.Job, e Ending) (Report, error) {
	const op = "am.End"
	l := newLedger()
	leader, err := journal.Lead(ctx, st, ledgerName(job.ID), l, journal.Options{Writer: "end of " + string(job.ID)})
	if err != nil {
		return Report{}, errs.E(op, errs.Other, job.ID, err)
	}
	defer leader.Close() // returns nil always
	if l.state == scheduler.JobCommitting {
		return Report{}, errs.Errorf(op, errs.Invalid, job.ID, "its output is being published, which cannot be taken back")
	}
	if !l.state.Final() {
		data, err := record{Final: &final{State: e.State, Message: e.Why, Time: e.Time.UnixMilli()}}.encode()
		if err != nil {
			return Report{}, errs.E(op, errs.Internal, job.ID, err)
		}
		if err := leader.Append(ctx, data); err != nil { // which applies it
			return Report{}, errs.E(op, errs.Other, job.ID, err)
		}
	}
	r := l.report(job, false)
	data, err := json.Marshal(r)
	if err != nil {
		return r, errs.E(op, errs.Internal, job.ID, err)
	}
	return r, store.Put(ctx, st, historyName(job.ID), data)
}
