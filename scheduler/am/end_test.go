package am

import (
	"context"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/scheduler"
)

// TestEnd: a job that never began is ended, once, and whoever leads it then finds it over.
func TestEnd(t *testing.T) {
	st, now := mem.New(), time.Unix(1e9, 0)
	job := scheduler.Job{ID: "7k2f-words", Kind: "toy", Name: "words"}
	for _, why := range []string{"nobody wants it", "said twice"} {
		r, err := End(t.Context(), st, job, Ending{scheduler.JobKilled, why, now})
		if err != nil || r.State != scheduler.JobKilled || r.Message != "nobody wants it" || !r.Ended.Equal(now) {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if r, err := Load(t.Context(), st, job); err != nil || r.State != scheduler.JobKilled {
		t.Errorf("%+v, %v", r, err)
	}
	l := newLedger()
	if _, err := journal.Read(t.Context(), st, ledgerName(job.ID), l, journal.Options{}); err != nil || !l.state.Final() {
		t.Errorf("the ledger says %s, %v", l.state, err)
	}
}

// TestEndFences: an application master that was there all the same cannot go on.
func TestEndFences(t *testing.T) {
	st := mem.New()
	job := scheduler.Job{ID: "7k2f-words"}
	leader := lead(t, st, job.ID)
	if _, err := End(t.Context(), st, job, Ending{scheduler.JobFailed, "no queue", time.Unix(1e9, 0)}); err != nil {
		t.Fatal(err)
	}
	if err := leader.Append(t.Context(), []byte("{}")); errs.KindOf(err) != errs.Fenced {
		t.Errorf("it goes on: %v", err)
	}
}

func TestNoEndOfWhatIsPublished(t *testing.T) {
	st := mem.New()
	job := scheduler.Job{ID: "7k2f-words"}
	data, err := record{Commit: &commit{}}.encode()
	if err == nil {
		err = lead(t, st, job.ID).Append(t.Context(), data)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := End(t.Context(), st, job, Ending{State: scheduler.JobKilled}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("ended while its output is published: %v", err)
	}
}

// lead is an application master that does nothing.
func lead(t *testing.T, st store.Store, id scheduler.JobID) *journal.Leader {
	leader, err := journal.Lead(context.WithoutCancel(t.Context()), st, ledgerName(id), newLedger(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := leader.Close(); err != nil {
			t.Error(err)
		}
	})
	return leader
}
