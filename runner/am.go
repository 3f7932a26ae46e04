package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/shuffle"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
	"github.com/seed3322913c/runner/scheduler/cache"
	"github.com/seed3322913c/runner/scheduler/executor"
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

// role is what every process of a job finds when it begins: a supervisor on this machine has started it, or a fleet.
type role struct {
	session embedded.Session
	home    grounds
	member  *fleet.Member // nil on one machine
	job     scheduler.Job
	log     *slog.Logger
}

// grounds are what a role works on.
type grounds struct {
	Store store.Store
	Coord coord.Coordinator
	Dirs  executor.Dirs
}

// enter reads what the supervisor has handed over.
func (p *program) enter(ctx context.Context, id string) (role, error) {
	session, err := embedded.SessionFromEnv()
	if err != nil {
		return role{}, err
	}
	r := role{session: session}
	if fleet.Inside() {
		err = r.onFleet(ctx, scheduler.JobID(id))
	} else {
		err = r.atHome(scheduler.JobID(id))
	}
	if err != nil {
		return r, err
	}
	r.job, err = embedded.Jobs{Store: r.home.Store}.Get(ctx, scheduler.JobID(id))
	if err != nil {
		return r, err
	}
	if r.member != nil {
		dir, err := embedded.HomeDir()
		if err != nil {
			return r, err
		}
		if r.job.Package, err = r.member.Fetch(ctx, r.job.Package, dir); err != nil {
			return r, err
		}
	}
	r.log = slog.New(slog.NewTextHandler(p.err, nil)).With("container", os.Getenv(launch.ContainerEnv))
	r.log.Info("started", "job", r.job.ID, "process", os.Getpid(), "build", buildInfo().Revision)
	return r, nil
}

// atHome opens the home folder of this machine.
func (r *role) atHome(id scheduler.JobID) error {
	home, err := embedded.OpenHome()
	if err != nil {
		return err
	}
	r.home = grounds{home.Store, home.Coord,
		executor.Dirs{Node: home.Node(id), Scratch: home.Scratch(id), Logs: home.Logs(id)}}
	return nil
}

// onFleet joins the fleet. Its machines have a home folder each, of which only the parts on the local disk are used.
func (r *role) onFleet(ctx context.Context, id scheduler.JobID) (err error) {
	if r.member, err = fleet.Join(ctx, fleetStore); err != nil {
		return err
	}
	dir, err := embedded.HomeDir()
	if err != nil {
		return err
	}
	home := embedded.Home{Dir: dir}
	r.home = grounds{r.member.Store, r.member.Coord, executor.Dirs{
		Node: home.Node(id), Scratch: home.Scratch(id), Logs: home.Logs(id),
	}}
	return nil
}

func (p *program) am(ctx context.Context, id string) error {
	r, err := p.enter(ctx, id)
	if err != nil {
		return err
	}
	engine, err := newEngine(ctx, r)
	if err != nil {
		return err
	}
	cfg := am.Config{
		Job: r.job, Engine: engine, Store: r.home.Store, Coord: r.home.Coord, Secret: r.session.Secret,
		Session: r.session.Name, Options: am.Options{MaxExecutors: executorsOf(r.job), Log: r.log},
	}
	if r.member != nil {
		cfg.Launcher, cfg.Executors = r.member.Launcher, r.member.Executors(r.job, r.session)
		cfg.GoneNodes, cfg.Share = r.member.GoneNodes(ctx), r.member.Share(r.job.ID)
		cfg.Options.Listen, cfg.Options.LeaseTTL = r.member.Listen(), fleet.LeaseTTL
		err := am.Run(ctx, cfg)
		if err == nil {
			err = errors.Join(r.member.Over(ctx, r.job.ID), cache.Drop(ctx, r.home.Store, r.job.ID))
		}
		return r.leave(ctx, err)
	}
	launcher, err := remote.Dial(r.session.Launcher, r.session.Secret)
	if err != nil {
		return err
	}
	defer launcher.Close()
	if cfg.Executors, err = executorGroup(r); err != nil {
		return err
	}
	cfg.Launcher = launcher
	return r.leave(ctx, am.Run(ctx, cfg))
}

// leave is the end of a role. That it was told to end is no news for its log, but still no success: should it not have
// been the launcher who told it, it is started again. That somebody else has its place is news.
func (r role) leave(ctx context.Context, err error) error {
	if errs.KindOf(err) == errs.Fenced {
		r.log.Warn("fenced: another application master leads this job, and nothing that this one does counts any more")
	}
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
		LogDir: r.home.Dirs.Logs,
	}, nil
}

// readers says how map output is read.
func (r role) readers() shuffle.Options {
	if r.member == nil {
		return shuffle.Options{}
	}
	return shuffle.Options{Patience: fleet.ReaderPatience}
}
