package nodeinit

import (
	"context"
	"strings"
	"time"

	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store/below"
	"github.com/seed3322913c/runner/runner/control"
)

// lookForJobs is the time between two looks whether the fleet works on something.
const lookForJobs = 10 * time.Second

// idle ends the fleet when nobody has wanted anything of it for the time that was agreed. A server that can't tell
// counts the fleet as busy: the dead-man switch remains.
func (n *node) idle(ctx context.Context, s Stopper, hasJobs func(context.Context) (bool, error)) {
	every := min(lookForJobs, n.options.Idle)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for since := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if busy, err := hasJobs(ctx); err != nil || busy {
			since = time.Now()
		}
		if time.Since(since) < n.options.Idle {
			continue
		}
		n.options.Log.Info("no job has run; the fleet ends", "for", n.options.Idle)
		if err := s.Stop(ctx); err != nil {
			n.options.Log.Warn("ending the idle fleet", "error", err) // it is tried again
			continue
		}
		since = time.Now() // this machine may live for a while, and must not end what somebody deploys meanwhile
	}
}

// work returns what says whether the fleet has a job: one that waits in a queue, for machines perhaps, is known to the
// controls alone, and one that they have given up on may still run.
func (n *node) work() func(context.Context) (bool, error) {
	var backlog *control.Backlog // opened when it is needed first
	return func(ctx context.Context) (bool, error) {
		if busy, err := n.hasJobs(ctx); err != nil || busy {
			return busy, err
		}
		if backlog == nil {
			st, base, err := n.options.Resolve(ctx, n.Jobs)
			if err == nil {
				st, err = below.New(st, base)
			}
			if err == nil {
				backlog, err = control.Follow(st)
			}
			if err != nil {
				return false, err
			}
		}
		jobs, err := backlog.Jobs(ctx)
		return jobs > 0, err
	}
}

// hasJobs reports whether Nomad has anything to run but what belongs to the fleet itself.
func (n *node) hasJobs(ctx context.Context) (bool, error) {
	const op = "nodeinit.hasJobs"
	c := n.asFleet()
	client, err := c.Client(c.Nomad)
	if err != nil {
		return false, err
	}
	defer client.CloseIdleConnections()
	api, err := nomadapi.NewClient(&nomadapi.Config{
		Address: "https://" + c.Nomad.Addresses[0], SecretID: c.Nomad.Token, HttpClient: client,
	})
	if err != nil {
		return false, errs.E(op, errs.Internal, n.Cluster, err)
	}
	jobs, _, err := api.Jobs().List(new(nomadapi.QueryOptions).WithContext(ctx))
	if err != nil {
		return false, errs.E(op, errs.Unavailable, n.Cluster, err)
	}
	for _, job := range jobs {
		if !strings.HasPrefix(job.ID, systemJobs) && job.Status != "dead" {
			return true, nil
		}
	}
	return false, nil
}
