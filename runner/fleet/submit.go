package fleet

import (
	"context"
	"maps"
	"net/http"
	"os"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/election"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// ControlKey is where the fleet's controls elect who leads, and tell where that one is.
const ControlKey = "control"

// Control returns a client of the fleet's control.
func (f *Fleet) Control() (*client.Client, error) {
	by, err := f.cluster.Controls()
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{
		Where: f.leader, Token: f.cluster.Control.Token, HTTP: &http.Client{Transport: wary{by, f.leading.forget}},
	}), nil
}

// Coord is where the processes of the fleet agree.
func (f *Fleet) Coord() coord.Coordinator { return f.coord }

// leader is the URL of the control that leads, or did a moment ago: that one hands on what it is asked.
func (f *Fleet) leader(ctx context.Context) (string, error) {
	return f.leading.get(func() (string, error) {
		l, err := election.Current(ctx, f.coord, ControlKey)
		if err != nil {
			return "", err
		}
		if l.Address == "" {
			return "", say.Errorf(errs.Unavailable, "no control leads cluster %s at the moment", f.cluster.Name)
		}
		return l.Address, nil
	})
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

// Await returns when no application master works on a job any more, and removes what one that is over has left in Nomad
// and Consul. It is for control.
func (f *Fleet) Await(ctx context.Context, job scheduler.Job) (am.Report, error) {
	report, err := am.Load(ctx, f.store, job)
	if err == nil && !report.State.Final() {
		if err := f.guard(ctx, job); ctx.Err() != nil {
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

// Keep keeps the variables that a job's processes get from who submits it. Who says nothing of gateways, as the clock
// does, means those of the fleet. It is for control.
func (f *Fleet) Keep(ctx context.Context, id scheduler.JobID, vars map[string]string) error {
	kept := ways()
	maps.Copy(kept, vars)
	return f.launcher.Keep(ctx, group(id, masterRole), kept)
}
