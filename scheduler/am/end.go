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

// End ends a job that has no application master, as one that waits in a queue. Should one be started meanwhile, it is
// fenced, or finds the job over. A job that is over stays as it is; one whose output is being published fails with
// errs.Invalid.
func End(ctx context.Context, st store.Store, job scheduler.Job, state scheduler.JobState, why string,
	now time.Time) (Report, error) {
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
		data, err := record{Final: &final{State: state, Message: why, Time: now.UnixMilli()}}.encode()
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
