package fleet

import (
	"context"
	"fmt"
	"strings"
	"time"

	consulapi "github.com/hashicorp/consul/api"
	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// tokenLife is how long the tokens of a job are good. Both servers allow no more than a day without being told so; a
// job that takes longer is resumed.
const tokenLife = 24 * time.Hour

// policyName names what a job may do: by the first half of its id, which no other job has.
func policyName(id scheduler.JobID) string {
	short, _, _ := strings.Cut(string(id), "-")
	return "runner-job-" + short
}

// consulRules let a job write its own keys, and hold leases.
func consulRules(id scheduler.JobID) string {
	return fmt.Sprintf(`key_prefix "%[1]svalue/job/%[2]s/" { policy = "write" }
key_prefix "%[1]slease/job/%[2]s/" { policy = "write" }
key "%[1]slease/job/%[2]s" { policy = "write" }
key "%[1]svalue/%[3]s" { policy = "write" }
session_prefix "" { policy = "write" }
`, keyPrefix, id, grantKey(id))
}

// namespace is where a group is. The executors of each job have a namespace of their own in Nomad, since who may start
// containers may start any in that namespace, and end them, and read their secrets; the rest is the fleet's.
func namespace(id launch.GroupID) string {
	if id.Role == executorRole {
		return policyName(id.Job)
	}
	return nomadapi.DefaultNamespace
}

// nomadRules let an application master start and replace its executors, and write their secrets.
func nomadRules(id scheduler.JobID) string {
	return fmt.Sprintf(`namespace "%s" {
  capabilities = ["submit-job", "read-job", "list-jobs", "scale-job", "alloc-lifecycle"]
  variables {
    path "*" { capabilities = ["write", "read", "destroy"] }
  }
}
node { policy = "read" }
host_volume "runner*" { policy = "write" }
`, namespace(group(id, executorRole)))
}

// entitle makes the tokens of a job: one for Consul, which all its containers have, and one for Nomad, which its
// application master has alone. They are noted in g, so that they can be revoked.
func (f *Fleet) entitle(ctx context.Context, id scheduler.JobID, g *grant) (secrets map[string]string, err error) {
	const op = "fleet.entitle"
	name, life := policyName(id), tokenLife
	if err := f.disentitle(ctx, id, g); err != nil {
		return nil, err
	}
	w := new(consulapi.WriteOptions).WithContext(ctx)
	_, _, err = f.consul.ACL().PolicyCreate(&consulapi.ACLPolicy{Name: name, Rules: consulRules(id)}, w)
	if err != nil && !strings.Contains(err.Error(), "already exists") {
		return nil, errs.E(op, errs.Unavailable, id, err)
	}
	forConsul, _, err := f.consul.ACL().TokenCreate(&consulapi.ACLToken{
		Description: string(id), Policies: []*consulapi.ACLLink{{Name: name}}, ExpirationTTL: life,
	}, w)
	if err != nil {
		return nil, errs.E(op, errs.Unavailable, id, err)
	}
	g.Consul = forConsul.AccessorID
	n := new(nomadapi.WriteOptions).WithContext(ctx)
	own := &nomadapi.Namespace{Name: namespace(group(id, executorRole)), Description: "executors of " + string(id)}
	if _, err := f.nomad.Namespaces().Register(own, n); err != nil {
		return nil, errs.E(op, errs.Unavailable, id, err)
	}
	_, err = f.nomad.ACLPolicies().Upsert(&nomadapi.ACLPolicy{Name: name, Rules: nomadRules(id)}, n)
	if err != nil {
		return nil, errs.E(op, errs.Unavailable, id, err)
	}
	forNomad, _, err := f.nomad.ACLTokens().Create(&nomadapi.ACLToken{
		Name: name, Type: "client", Policies: []string{name}, ExpirationTTL: life,
	}, n)
	if err != nil {
		return nil, errs.E(op, errs.Unavailable, id, err)
	}
	g.Nomad = forNomad.AccessorID
	return map[string]string{consulToken: forConsul.SecretID, nomadToken: forNomad.SecretID}, nil
}

// disentitle revokes the tokens of a job; that they are gone is success.
func (f *Fleet) disentitle(ctx context.Context, id scheduler.JobID, g *grant) error {
	const op = "fleet.disentitle"
	if g.Consul != "" {
		_, err := f.consul.ACL().TokenDelete(g.Consul, new(consulapi.WriteOptions).WithContext(ctx))
		if err != nil && !gone(err) {
			return errs.E(op, errs.Unavailable, id, err)
		}
	}
	if g.Nomad != "" {
		_, err := f.nomad.ACLTokens().Delete(g.Nomad, new(nomadapi.WriteOptions).WithContext(ctx))
		if err != nil && !gone(err) {
			return errs.E(op, errs.Unavailable, id, err)
		}
	}
	g.Consul, g.Nomad = "", ""
	return nil
}

// removePolicies removes what a job was allowed.
func (f *Fleet) removePolicies(ctx context.Context, id scheduler.JobID) error {
	const op = "fleet.removePolicies"
	policy, _, err := f.consul.ACL().PolicyReadByName(policyName(id), new(consulapi.QueryOptions).WithContext(ctx))
	if err == nil && policy != nil {
		_, err = f.consul.ACL().PolicyDelete(policy.ID, new(consulapi.WriteOptions).WithContext(ctx))
	}
	if err != nil && !gone(err) {
		return errs.E(op, errs.Unavailable, id, err)
	}
	_, err = f.nomad.ACLPolicies().Delete(policyName(id), new(nomadapi.WriteOptions).WithContext(ctx))
	if err != nil && !gone(err) {
		return errs.E(op, errs.Unavailable, id, err)
	}
	return nil
}

// removeNamespace removes what the executors of a job were in. Nothing of them is there any more.
func (f *Fleet) removeNamespace(ctx context.Context, id scheduler.JobID) error {
	_, err := f.nomad.Namespaces().Delete(namespace(group(id, executorRole)),
		new(nomadapi.WriteOptions).WithContext(ctx))
	if err != nil && !gone(err) {
		return errs.E("fleet.removeNamespace", errs.Unavailable, id, err)
	}
	return nil
}

// gone reports whether an error says that there is no such thing any more.
func gone(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "not found") || strings.Contains(text, "404") || strings.Contains(text, "not exist")
}
