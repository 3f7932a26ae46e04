package aws

import (
	"context"
	"net/url"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
)

// Workers implements fleet.Pool. A group that may have no machine is one that the dead-man switch has ended: nobody
// shall make it larger again but who deploys.
func (p *Provider) Workers(ctx context.Context, cluster string) (fleet.Workers, error) {
	g, err := p.group(ctx, workerGroup(cluster))
	if err == nil && g.Max == 0 {
		err = errs.Errorf("aws.Workers", errs.NotFound, g.Name, "the group may have no machine")
	}
	if err != nil {
		return fleet.Workers{}, err
	}
	w := fleet.Workers{Size: g.Desired}
	if g.Mixed != nil {
		w.OnDemand = g.Mixed.OnDemand
	}
	all, err := p.Machines(ctx, cluster)
	for _, m := range all {
		if g.keeps(m.ID) {
			w.Machines = append(w.Machines, m)
		}
	}
	return w, err
}

// keeps reports whether a machine is in the group, and is to stay there.
func (g group) keeps(machine string) bool {
	for _, m := range g.Members {
		if m.ID == machine {
			return !strings.HasPrefix(m.State, "Terminat") && !strings.HasPrefix(m.State, "Detach")
		}
	}
	return false
}

// EndWorker implements fleet.Pool. The group's hook gives the machine time to drain.
func (p *Provider) EndWorker(ctx context.Context, cluster, machine string) error {
	g, err := p.group(ctx, workerGroup(cluster))
	if err != nil || !g.keeps(machine) {
		return err
	}
	return p.call.query(ctx, autoscaling, "TerminateInstanceInAutoScalingGroup",
		url.Values{"InstanceId": {machine}, "ShouldDecrementDesiredCapacity": {"true"}}, nil)
}
