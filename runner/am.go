package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/remote"
)

func newAM(p *program) *cobra.Command {
	return verb{
		use: "am JOB", does: "Is the application master of one job.", hidden: true,
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 1, "a JOB"); err != nil {
			return err
		}
		return p.am(cmd.Context(), args[0])
	})
}

// role is what every process that a supervisor starts finds when it begins.
type role struct {
	session embedded.Session
	home    *embedded.Home
	job     scheduler.Job
	log     *slog.Logger
}

// enter reads what the supervisor has handed over.
func (p *program) enter(ctx context.Context, id string) (role, error) {
	session, err := embedded.SessionFromEnv()
	if err != nil {
		return role{}, err
	}
	home, err := embedded.OpenHome()
	if err != nil {
		return role{}, err
	}
	job, err := home.Jobs().Get(ctx, scheduler.JobID(id))
	if err != nil {
		return role{}, err
	}
	log := slog.New(slog.NewTextHandler(p.err, nil)).With("container", os.Getenv(launch.ContainerEnv))
	log.Info("started", "job", job.ID, "process", os.Getpid(), "build", buildInfo().Revision)
	return role{session, home, job, log}, nil
}

func (p *program) am(ctx context.Context, id string) error {
	r, err := p.enter(ctx, id)
	if err != nil {
		return err
	}
	engine, err := newEngine(r)
	if err != nil {
		return err
	}
	launcher, err := remote.Dial(r.session.Launcher, r.session.Secret)
	if err != nil {
		return err
	}
	defer launcher.Close()
	executors, err := executorGroup(r)
	if err != nil {
		return err
	}
	return r.leave(ctx, am.Run(ctx, am.Config{
		Job: r.job, Engine: engine, Store: r.home.Store, Coord: r.home.Coord, Launcher: launcher,
		Executors: executors, Secret: r.session.Secret, Session: r.session.Name,
		Options: am.Options{MaxExecutors: executorsOf(r.job), Log: r.log},
	}))
}

// leave is the end of a role. That it was told to end is no news for its log, but still no success: should it not have
// been the launcher who told it, it is started again.
func (r role) leave(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		r.log.Info("told to end")
		return toldError{err}
	}
	return err
}

// executorGroup says how the executors of a job are started.
func executorGroup(r role) (launch.Group, error) {
	program, err := os.Executable()
	if err != nil {
		return launch.Group{}, errs.E("am", errs.Other, nil, err)
	}
	return launch.Group{
		Command: []string{program, "executor", string(r.job.ID)}, Env: r.session.Env(), Secrets: r.session.Secrets(),
		LogDir: r.home.Logs(r.job.ID),
	}, nil
}
