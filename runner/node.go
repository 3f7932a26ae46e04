package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/progress"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
)

func newNode(p *program) *cobra.Command {
	return verb{
		use: "node [JOB]", does: "Supervises one job or chain in the background, or is the node of a fleet's machine.",
		hidden: true,
	}.command(func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && fleet.Inside() {
			return p.fleetNode(cmd.Context())
		}
		if err := wantArgs(cmd, args, 1, "a JOB"); err != nil {
			return err
		}
		return p.node(cmd.Context(), args[0])
	})
}

// fleetNode serves what jobs leave on a machine of a fleet, until it is told to end.
func (p *program) fleetNode(ctx context.Context) error {
	m, err := fleet.Join(ctx, nil)
	if err != nil {
		return err
	}
	dir, err := embedded.HomeDir()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(p.err, nil))
	log.Info("started", "process", os.Getpid(), "build", buildInfo().Revision)
	return fleet.NewNode(m, dir, log).Run(ctx)
}

// nodeLog is the log of a background supervisor, beside those of the job's containers.
const nodeLog = "node.log"

// node supervises a job, or a chain, that nobody watches. Its standard output is a pipe to whoever started it, who
// waits for one line there and goes; everything else is told to the log that is its standard error.
func (p *program) node(ctx context.Context, id string) error {
	at, end, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer end()
	alone := program{out: p.err, err: p.err}
	ready := func() { fmt.Fprintln(p.out, readyLine) }
	chain, err := at.Jobs().GetChain(ctx, scheduler.JobID(id))
	if err == nil {
		return alone.superviseChain(ctx, at, chain, chainOptions{ready: ready})
	}
	if errs.KindOf(err) != errs.NotFound {
		return err
	}
	job, err := at.Jobs().Get(ctx, scheduler.JobID(id))
	if err != nil {
		return err
	}
	view := progress.New(progress.Lines, p.err, progress.Options{}).View("")
	report, err := at.Supervise(ctx, job, embedded.Options{Show: view.Show, Say: view.Say, Ready: ready})
	if err != nil {
		return err
	}
	return alone.tell(ctx, at, job, report, watchOptions{})
}

// readyLine says that the job is in the hands of its background supervisor.
const readyLine = "ready"

// leaveTo leaves a job to whoever runs jobs at a place: a fleet does by itself.
func (p *program) leaveTo(ctx context.Context, at place, job scheduler.Job, o watchOptions) error {
	f, ok := at.(*fleet.Fleet)
	if !ok {
		return p.detach(at, job.ID, o)
	}
	if err := f.Submit(ctx, job); err != nil {
		return err
	}
	return p.tellID(job.ID, o)
}

// tellID is the answer of a verb that does not wait.
func (p *program) tellID(id scheduler.JobID, o watchOptions) error {
	if o.json {
		return writeJSON(p.out, map[string]scheduler.JobID{"job": id})
	}
	_, err := fmt.Fprintln(p.out, id)
	return err
}

// detach leaves a job, or a chain, to a supervisor of its own, and tells its id.
func (p *program) detach(at place, id scheduler.JobID, o watchOptions) error {
	dir, err := embedded.HomeDir()
	if err != nil {
		return err
	}
	var env []string
	if f, ok := at.(*fleet.Fleet); ok { // which runs jobs, but no chains
		env = append(env, clusterEnv+"="+f.Name())
	}
	if err := background(&embedded.Home{Dir: dir}, id, env...); err != nil {
		return err
	}
	return p.tellID(id, o)
}

// background leaves a job, or a chain, to a supervisor of its own, which has its own session and so outlives this
// process. env is added to its environment.
func background(home *embedded.Home, id scheduler.JobID, env ...string) error {
	logs := home.Logs(id)
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return errs.E("detach", errs.Other, logs, err)
	}
	log, err := os.OpenFile(filepath.Join(logs, nodeLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return errs.E("detach", errs.Other, logs, err)
	}
	defer log.Close() // the supervisor has its own descriptor
	program, err := os.Executable()
	if err != nil {
		return errs.E("detach", errs.Other, nil, err)
	}
	cmd := exec.Command(program, "node", string(id))
	cmd.Env = append(append(os.Environ(), embedded.HomeEnv+"="+home.Dir), env...)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return errs.E("detach", errs.Other, nil, err)
	}
	if err := cmd.Start(); err != nil {
		return errs.E("detach", errs.Other, program, err)
	}
	if err := awaitReady(said); err != nil {
		_ = cmd.Wait() // it has ended, and its log says why
		return say.Errorf(errs.Failed, "job %s could not be started in the background; see %s", id, log.Name())
	}
	if err := cmd.Process.Release(); err != nil {
		return errs.E("detach", errs.Other, nil, err)
	}
	return nil
}

func awaitReady(said io.Reader) error {
	line := make([]byte, len(readyLine)+1)
	if _, err := io.ReadFull(said, line); err != nil {
		return err
	}
	if strings.TrimSpace(string(line)) != readyLine {
		return errs.Errorf("detach", errs.Internal, nil, "the supervisor said %q", line)
	}
	return nil
}
