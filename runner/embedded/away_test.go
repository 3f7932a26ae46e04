package embedded

import (
	"context"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// TestAway: what has become of a job that ran elsewhere is in its ledger, whether it went well, failed or was killed.
func TestAway(t *testing.T) {
	t.Setenv(HomeEnv, t.TempDir())
	home, err := OpenHome()
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	for name, c := range map[string]struct {
		away Away
		kill bool // once it has begun
		want scheduler.JobState
		why  string
	}{
		"well": {func(context.Context, scheduler.Job, Options) (am.Report, error) {
			return am.Report{State: scheduler.JobSucceeded}, nil
		}, false, scheduler.JobSucceeded, ""},
		"badly": {func(context.Context, scheduler.Job, Options) (am.Report, error) {
			return am.Report{State: scheduler.JobFailed, Message: "map 3 failed"}, nil
		}, false, scheduler.JobFailed, "map 3 failed"},
		"nowhere": {func(context.Context, scheduler.Job, Options) (am.Report, error) {
			return am.Report{}, errs.Errorf("", errs.Invalid, nil, "no machines to be had")
		}, false, scheduler.JobFailed, "no machines to be had"},
		"killed": {func(ctx context.Context, _ scheduler.Job, _ Options) (am.Report, error) {
			close(begun)
			<-ctx.Done()
			return am.Report{State: scheduler.JobKilled, Message: "interrupted"}, nil
		}, true, scheduler.JobKilled, "enough"},
	} {
		t.Run(name, func(t *testing.T) {
			home.Away = c.away
			job, err := home.Jobs().Submit(t.Context(), scheduler.Job{
				Name: name, Kind: "mapreduce", Submitted: time.Unix(1e9, 0).UTC(), Labels: map[string]string{AwayLabel: "{}"},
			})
			if err != nil {
				t.Fatal(err)
			}
			killed := make(chan error, 1)
			go func() {
				if c.kill {
					<-begun
					_, err := home.Kill(context.WithoutCancel(t.Context()), job, "enough")
					killed <- err
				}
				close(killed)
			}()
			if _, err := home.Supervise(t.Context(), job, Options{}); err != nil {
				t.Fatal(err)
			}
			if err := <-killed; err != nil {
				t.Errorf("killing it: %v", err)
			}
			if s, err := home.Status(t.Context(), job); err != nil || s.State != c.want || s.Message != c.why || s.Interrupted {
				t.Errorf("it stands %s: %q, %v; want %s: %q", s.State, s.Message, err, c.want, c.why)
			}
		})
	}
}

// TestInterruptedBeforeItBegins: a job that was recorded is killed also if the signal comes before anybody works on it.
func TestInterruptedBeforeItBegins(t *testing.T) {
	t.Setenv(HomeEnv, t.TempDir())
	home, err := OpenHome()
	if err != nil {
		t.Fatal(err)
	}
	home.Away = func(ctx context.Context, _ scheduler.Job, _ Options) (am.Report, error) {
		<-ctx.Done()
		return am.Report{}, ctx.Err()
	}
	job, err := home.Jobs().Submit(t.Context(), scheduler.Job{
		Name: "late", Kind: "mapreduce", Submitted: time.Unix(1e9, 0).UTC(), Labels: map[string]string{AwayLabel: "{}"},
	})
	if err != nil {
		t.Fatal(err)
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := home.Supervise(interrupted, job, Options{}); err != nil {
		t.Error(err)
	}
	if s, err := home.Status(t.Context(), job); err != nil || s.State != scheduler.JobKilled || s.Interrupted {
		t.Errorf("the job is %+v, %v", s, err)
	}
}
