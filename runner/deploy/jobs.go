package deploy

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/scheduler"
)

// jobsTime bounds a question about the jobs of a fleet, which may be dead.
const jobsTime = 15 * time.Second

// Running returns the jobs that a fleet runs. A fleet that does not answer fails with errs.Unavailable.
func (s *Site) Running(ctx context.Context) (jobs []scheduler.JobID, err error) {
	err = s.ask(ctx, func(ctx context.Context, c *client.Client) (err error) {
		jobs, err = running(ctx, c)
		return err
	})
	return jobs, err
}

// KillAll ends the jobs that a fleet runs.
func (s *Site) KillAll(ctx context.Context, reason string) error {
	return s.ask(ctx, func(ctx context.Context, c *client.Client) error {
		return killAll(ctx, c, reason)
	})
}

// ask has something asked of a fleet's control.
func (s *Site) ask(ctx context.Context, do func(context.Context, *client.Client) error) error {
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
	return do(ctx, control)
}

func running(ctx context.Context, c *client.Client) (jobs []scheduler.JobID, err error) {
	for status, err := range c.Jobs(ctx) {
		if err != nil {
			return jobs, err
		}
		if !status.State.Final() && !status.Interrupted {
			jobs = append(jobs, status.Job)
		}
	}
	return jobs, nil
}

// killsAtOnce is how many jobs are killed at a time: each kill takes as long as its job takes to end.
const killsAtOnce = 8

// killAll kills all jobs that it can, also when one can't be killed.
func killAll(ctx context.Context, c *client.Client, reason string) error {
	jobs, err := running(ctx, c)
	if err != nil {
		return err
	}
	var kills errgroup.Group
	kills.SetLimit(killsAtOnce)
	for _, job := range jobs {
		kills.Go(func() error {
			_, err := c.Kill(ctx, job, reason)
			if errs.KindOf(err) == errs.Invalid {
				return nil // it has ended by itself meanwhile
			}
			return err
		})
	}
	return kills.Wait()
}
