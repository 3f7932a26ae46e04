package aws

import (
	"context"
	"net/url"
	"slices"

	"github.com/seed3322913c/runner/infra/fleet"
)

// What follows is asked by the machines themselves, as the roles that they have.

// Secret returns one of a cluster's secrets by its name, "server/..." or "node/...".
func (p *Provider) Secret(ctx context.Context, cluster, name string) (string, error) {
	var out struct{ Parameter struct{ Value string } }
	in := map[string]any{"Name": iamPath(cluster) + name, "WithDecryption": true}
	err := p.call.json(ctx, ssm, "GetParameter", in, &out)
	return out.Parameter.Value, err
}

// drainHook is the hook that keeps a worker that is to end for as long as it drains.
const drainHook = "drain"

// Drained tells the group of a worker that nothing keeps it any more. That nobody has waited for it is success.
func (p *Provider) Drained(ctx context.Context, cluster, machine string) error {
	return p.call.query(ctx, autoscaling, "CompleteLifecycleAction", url.Values{
		"AutoScalingGroupName": {workerGroup(cluster)}, "LifecycleHookName": {drainHook}, "InstanceId": {machine},
		"LifecycleActionResult": {"CONTINUE"}}, nil)
}

// Stop ends all machines of a cluster, as its dead-man switch does; whoever asks may be one of them.
func (p *Provider) Stop(ctx context.Context, cluster string) error {
	for _, group := range []string{workerGroup(cluster), serverGroup(cluster)} {
		err := p.call.query(ctx, autoscaling, "SetDesiredCapacity", url.Values{
			"AutoScalingGroupName": {group}, "DesiredCapacity": {"0"}}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// Servers returns a cluster's servers that are there to stay, as far as they have an address.
func (p *Provider) Servers(ctx context.Context, cluster string) ([]fleet.Machine, error) {
	all, err := p.Machines(ctx, cluster)
	return slices.DeleteFunc(all, func(m fleet.Machine) bool {
		return m.Role != fleet.Server || m.Private == "" || m.State != "pending" && m.State != "running"
	}), err
}
