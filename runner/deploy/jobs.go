package deploy

import (
	"context"
	"time"

	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/scheduler"
)

// jobsTime bounds a question about the jobs of a fleet, which may be dead.
const jobsTime = 15 * time.Second

// Running returns the jobs that a fleet runs. A fleet that does not answer fails with errs.Unavailable.
func (s *Site) Running(ctx context.Context, open fleet.OpenStore) ([]scheduler.JobID, error) {
	var running []scheduler.JobID
	err := s.eachRunning(ctx, open, func(_ *fleet.Fleet, job scheduler.Job) error {
		running = append(running, job.ID)
		return nil
	})
	return running, err
}

// KillAll ends the jobs that a fleet runs.
func (s *Site) KillAll(ctx context.Context, open fleet.OpenStore, reason string) error {
	return s.eachRunning(ctx, open, func(f *fleet.Fleet, job scheduler.Job) error {
		_, err := f.Kill(ctx, job, reason)
		return err
	})
}

func (s *Site) eachRunning(ctx context.Context, open fleet.OpenStore, do func(*fleet.Fleet, scheduler.Job) error) error {
	c, err := fleet.Load(s.home, s.Name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, jobsTime)
	defer cancel()
	f, err := fleet.Open(ctx, c, open)
	if err != nil {
		return err
	}
	defer f.Close()
	all, err := f.Jobs().All(ctx)
	if err != nil {
		return err
	}
	for _, job := range all {
		status, err := f.Status(ctx, job)
		if err != nil {
			return err
		}
		if status.State.Final() || status.Interrupted {
			continue
		}
		if err := do(f, job); err != nil {
			return err
		}
	}
	return nil
}
