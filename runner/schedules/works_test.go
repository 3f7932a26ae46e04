package schedules

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// bench is a place where every job that was recorded runs.
type bench struct{ store.Store }

func (b bench) Jobs() embedded.Jobs { return embedded.Jobs{Store: b.Store} }

func (b bench) Status(_ context.Context, job scheduler.Job) (embedded.Status, error) {
	return embedded.Status{Report: am.Report{Job: job.ID, State: scheduler.JobRunning}}, nil
}

func (b bench) Kill(ctx context.Context, job scheduler.Job, _ string) (embedded.Status, error) {
	return b.Status(ctx, job)
}

// TestEnsuredTwiceAtOnce: a leader that was paused may begin a firing's work just before its successor does. What the
// work writes by then is no reason to say that it has failed.
func TestEnsuredTwiceAtOnce(t *testing.T) {
	work, err := Work{Line: "run x", Job: &scheduler.Job{Kind: "mapreduce", Name: "x"}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s := cron.Schedule{Name: "nightly", Cron: "@daily", Since: time.Unix(0, 0), Work: work}
	f := cron.Firing{Schedule: s.Name, Slot: time.Unix(1e9, 0), ID: "7k2f-nightly", State: cron.Running}
	for name, c := range map[string]struct {
		other bool
		want  cron.State
	}{"somebody else was quicker": {true, cron.Running}, "it is there for another reason": {false, cron.Failed}} {
		at := bench{mem.New()}
		works := Works{At: at, Check: func(ctx context.Context, _ Work) error {
			var err error
			if c.other {
				err = at.Jobs().SubmitAs(ctx, scheduler.Job{ID: scheduler.JobID(f.ID)})
			}
			return errors.Join(errs.Errorf("check", errs.Exist, nil, "the output is there"), err)
		}}
		if got, err := works.Ensure(t.Context(), s, f); err != nil || got.State != c.want {
			t.Errorf("%s: %+v, %v; want %s", name, got, err, c.want)
		}
	}
}
