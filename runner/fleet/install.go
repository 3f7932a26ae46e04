package fleet

import (
	"context"
	"strings"
	"time"

	consulapi "github.com/hashicorp/consul/api"
	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// nodeGroup is the one group that is no job's: a node on every machine.
var nodeGroup = launch.GroupID{Job: "fleet-system", Role: "node"}

// nodeRules let the nodes learn the secrets of jobs.
const nodeRules = `key_prefix "` + keyPrefix + `value/` + grants + `" { policy = "read" }
`

// nodeMayDo lets the nodes take their machines out of scheduling.
const nodeMayDo = `node { policy = "write" }
`

// Install starts a node on every machine, now and whenever one joins, and the fleet's controls. It may be called again.
func (f *Fleet) Install(ctx context.Context) error {
	if err := f.installControl(ctx); err != nil {
		return err
	}
	return f.InstallNodes(ctx)
}

// InstallNodes is Install for a fleet whose servers run the controls themselves.
func (f *Fleet) InstallNodes(ctx context.Context) error {
	const op = "fleet.InstallNodes"
	w := new(consulapi.WriteOptions).WithContext(ctx)
	policy := &consulapi.ACLPolicy{Name: "runner-node", Rules: nodeRules}
	if _, _, err := f.consul.ACL().PolicyCreate(policy, w); err != nil &&
		!strings.Contains(err.Error(), "already exists") {
		return errs.E(op, errs.Unavailable, f.cluster.Name, err)
	}
	token, _, err := f.consul.ACL().TokenCreate(&consulapi.ACLToken{
		Description: "the nodes", Policies: []*consulapi.ACLLink{{Name: policy.Name}},
	}, w)
	if err != nil {
		return errs.E(op, errs.Unavailable, f.cluster.Name, err)
	}
	n := new(nomadapi.WriteOptions).WithContext(ctx)
	allowed := &nomadapi.ACLPolicy{Name: policy.Name, Rules: nodeMayDo}
	if _, err := f.nomad.ACLPolicies().Upsert(allowed, n); err != nil {
		return errs.E(op, errs.Unavailable, f.cluster.Name, err)
	}
	forNomad, _, err := f.nomad.ACLTokens().Create(&nomadapi.ACLToken{
		Name: policy.Name, Type: "client", Policies: []string{policy.Name},
	}, n)
	if err != nil {
		return errs.E(op, errs.Unavailable, f.cluster.Name, err)
	}
	return f.launcher.Everywhere(ctx, launch.Group{
		ID: nodeGroup, Command: []string{program, "node"}, Env: environment(f.cluster.Store), LogDir: systemLogs,
		Secrets:   map[string]string{consulToken: token.SecretID, nomadToken: forNomad.SecretID},
		Resources: scheduler.Resources{Memory: 256 << 20},
		Restart:   launch.Restart{Delay: 500 * time.Millisecond},
	})
}
