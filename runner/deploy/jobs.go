package deploy

import (
	"context"
	"time"

	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/scheduler"
)

// jobsTime bounds a question about the jobs of a fleet, which may be dead.
const jobsTime = 15 * time.Second

// Running returns the jobs that a fleet runs. A fleet that does not answer fails with errs.Unavailable.
func (s *Site) Running(ctx context.Context) ([]scheduler.JobID, error) {
	var running []scheduler.JobID
	err := s.eachRunning(ctx, func(_ *client.Client, job scheduler.JobID) error {
		running = append(running, job)
		return nil
	})
	return running, err
}

// KillAll ends the jobs that a fleet runs.
func (s *Site) KillAll(ctx context.Context, reason string) error {
	return s.eachRunning(ctx, func(c *client.Client, job scheduler.JobID) error {
		_, err := c.Kill(ctx, job, reason)
		return err
	})
}

func (s *Site) eachRunning(ctx context.Context, do func(*client.Client, scheduler.JobID) error) error {
	c, err := fleet.Load(s.home, s.Name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, jobsTime)
	defer cancel()
	if c, err = c.Entitled(ctx, s.home, s.options.Open); err != nil {
		return err
	}
	f, err := fleet.Open(ctx, c, s.options.Open)
	if err != nil {
		return err
	}
	defer f.Close()
	control, err := f.Control()
	if err != nil {
		return err
	}
	for status, err := range control.Jobs(ctx) {
		if err != nil {
			return err
		}
		if status.State.Final() || status.Interrupted {
			continue
		}
		if err := do(control, status.Job); err != nil {
			return err
		}
	}
	return nil
}
