package fleet

import (
	"context"
	"maps"
	"net/http"
	"os"
	"time"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/election"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// ControlKey is where the fleet's controls elect who leads, and tell where that one is.
const ControlKey = "control"

// Control returns a client of the fleet's control.
func (f *Fleet) Control() (*client.Client, error) {
	anywhere, err := f.cluster.Anywhere()
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{
		Where: f.leader, Token: f.cluster.Control.Token, HTTP: &http.Client{Transport: anywhere},
	}), nil
}

// Coord is where the processes of the fleet agree.
func (f *Fleet) Coord() coord.Coordinator { return f.coord }

// leader is the URL of the control that leads.
func (f *Fleet) leader(ctx context.Context) (string, error) {
	l, err := election.Current(ctx, f.coord, ControlKey)
	if err != nil {
		return "", err
	}
	if l.Address == "" {
		return "", say.Errorf(errs.Unavailable, "no control leads cluster %s at the moment", f.cluster.Name)
	}
	return l.Address, nil
}

// Submit leaves a job to the fleet, if it is not there already: also one that was cut off, whose finished tasks are kept.
func (f *Fleet) Submit(ctx context.Context, job scheduler.Job) error {
	env, err := Given(job)
	if err != nil {
		return err
	}
	c, err := f.Control()
	if err != nil {
		return err
	}
	_, err = c.Submit(ctx, client.Submission{Job: &job, Env: env})
	return err
}

// Given are the variables that the processes of a job get from who submits it: how gateways are reached, as whom, and
// the secrets that the job names.
func Given(job scheduler.Job) (map[string]string, error) {
	vars := gateways()
	own, err := Secrets(job)
	maps.Copy(vars, own)
	return vars, err
}

// Secrets are the variables that a job names as its secrets, as this process has them.
func Secrets(job scheduler.Job) (map[string]string, error) {
	vars := map[string]string{}
	for _, name := range job.Secrets {
		value, ok := os.LookupEnv(name)
		if !ok {
			return nil, say.Errorf(errs.Invalid, "the job needs the secret %s, which is not in your environment", name)
		}
		vars[name] = value
	}
	return vars, nil
}

// Supervise leaves a recorded job to the fleet, or takes it up where it is, and watches it to its end. When ctx ends, the
// job is killed, unless it is past the point of no return. Should this process die, the job goes on.
func (f *Fleet) Supervise(ctx context.Context, job scheduler.Job, o embedded.Options) (am.Report, error) {
	work := context.WithoutCancel(ctx)
	if err := f.Submit(work, job); err != nil {
		return am.Report{}, err
	}
	if o.Ready != nil {
		o.Ready()
	}
	if err := f.awaitTurn(ctx, job, o); err != nil {
		return am.Report{}, err
	}
	return f.follow(work, job, o, ctx.Done())
}

// lookAgain is how often a job that waits is looked at.
const lookAgain = 100 * time.Millisecond

// awaitTurn waits until a job is admitted, and says what it waits for. When ctx ends, the job is killed.
func (f *Fleet) awaitTurn(ctx context.Context, job scheduler.Job, o embedded.Options) error {
	c, err := f.Control()
	if err != nil {
		return err
	}
	said := ""
	for {
		s, err := c.Job(context.WithoutCancel(ctx), job.ID)
		if err != nil {
			return err
		}
		if s.State != scheduler.JobQueued {
			return nil
		}
		if s.Waits != said && s.Waits != "" && o.Say != nil {
			said = s.Waits
			o.Say("waits in queue " + s.Queue + ": " + s.Waits)
		}
		select {
		case <-ctx.Done():
			_, err := c.Kill(context.WithoutCancel(ctx), job.ID, "interrupted")
			return err
		case <-time.After(lookAgain):
		}
	}
}

// Status says how a job stands: what its application master knows, and control about its queue.
func (f *Fleet) Status(ctx context.Context, job scheduler.Job) (embedded.Status, error) {
	s, err := f.Standing(ctx, job)
	if err != nil || s.State.Final() {
		return s, err
	}
	c, err := f.Control()
	if err != nil {
		return s, err
	}
	limited, cancel := context.WithTimeout(ctx, reply)
	defer cancel()
	told, err := c.Job(limited, job.ID)
	if err != nil {
		return s, nil // while no control leads nobody knows more
	}
	s.Queue, s.Waits, s.Interrupted = told.Queue, told.Waits, told.Interrupted
	if told.State == scheduler.JobQueued || told.State.Final() {
		s.Report = told.Report
	}
	return s, nil
}

// Kill ends a job, wherever it runs or waits, also when nobody works on it any more.
func (f *Fleet) Kill(ctx context.Context, job scheduler.Job, reason string) (embedded.Status, error) {
	c, err := f.Control()
	if err != nil {
		return embedded.Status{}, err
	}
	return c.Kill(ctx, job.ID, reason)
}

// Await returns when no application master works on a job any more, and removes what one that is over has left in Nomad
// and Consul. It is for control.
func (f *Fleet) Await(ctx context.Context, job scheduler.Job) (am.Report, error) {
	report, err := am.Load(ctx, f.store, job)
	if err == nil && !report.State.Final() {
		if err := f.guard(ctx, job, embedded.Options{}); ctx.Err() != nil {
			return report, ctx.Err()
		} else if errs.KindOf(err) != errs.Failed && err != nil { // else there are no more masters, and the job is cut off
			return report, err
		}
		report, err = am.Load(ctx, f.store, job)
	}
	if err != nil || !report.State.Final() {
		return report, err
	}
	return report, f.forget(ctx, job.ID)
}

// End asks a job's application master to kill it. It is for control.
func (f *Fleet) End(ctx context.Context, id scheduler.JobID, reason string) error {
	master, err := f.ask(ctx, id)
	if err != nil {
		return err
	}
	defer master.Close()
	limited, cancel := context.WithTimeout(ctx, reply)
	defer cancel()
	return master.Kill(limited, reason)
}

// Keep keeps the variables that a job's processes get from who submits it. It is for control.
func (f *Fleet) Keep(ctx context.Context, id scheduler.JobID, vars map[string]string) error {
	return f.launcher.Keep(ctx, group(id, masterRole), vars)
}
