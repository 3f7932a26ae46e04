package fleet

import (
	"context"
	"errors"
	"strings"

	consulapi "github.com/hashicorp/consul/api"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// Tidy removes from Nomad and Consul what jobs have left that are over and that nobody has watched to their end. It may
// be called by many, at any time: what one cannot remove stays for the next.
func (f *Fleet) Tidy(ctx context.Context) error {
	const prefix = keyPrefix + "value/" + grants
	pairs, _, err := f.consul.KV().List(prefix, new(consulapi.QueryOptions).WithContext(ctx))
	if err != nil {
		return errs.E("fleet.Tidy", errs.Unavailable, f.cluster.Name, err)
	}
	var trouble []error
	for _, pair := range pairs {
		id, err := scheduler.ParseJobID(strings.TrimPrefix(pair.Key, prefix))
		if err != nil {
			continue // not a job's
		}
		g, err := parseGrant(pair.Value)
		if err == nil && g.Over && g.Consul+g.Nomad != "" { // else it goes on, or all is removed
			err = f.tidy(ctx, id)
		}
		trouble = append(trouble, err)
	}
	return errors.Join(trouble...)
}

// tidy forgets a job that is over, unless its application master has not ended yet.
func (f *Fleet) tidy(ctx context.Context, id scheduler.JobID) error {
	alive, err := f.launcher.Alive(ctx, group(id, masterRole))
	if err != nil || alive {
		return err
	}
	return f.forget(ctx, id)
}
