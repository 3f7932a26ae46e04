package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed3322913c/runner/scheduler/executor"
	"github.com/seed3322913c/runner/scheduler/launch"
)

func newExecutor(p *program) *cobra.Command {
	return verb{
		use: "executor JOB", does: "Runs tasks of one job.", hidden: true,
	}.command(func(cmd *cobra.Command, args []string) error {
		if err := wantArgs(cmd, args, 1, "a JOB"); err != nil {
			return err
		}
		return p.executor(cmd.Context(), args[0])
	})
}

func (p *program) executor(ctx context.Context, id string) error {
	r, err := p.enter(ctx, id)
	if err != nil {
		return err
	}
	body, end, err := newBody(ctx, r)
	if err != nil {
		return err
	}
	defer end()
	return r.leave(ctx, executor.Run(ctx, executor.Config{
		Job: r.job, Container: os.Getenv(launch.ContainerEnv), Coord: r.home.Coord, Secret: r.session.Secret, Body: body,
		Dirs: r.home.Dirs, Options: executor.Options{Node: r.session.Node, Log: r.log},
	}))
}
