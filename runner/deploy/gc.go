package deploy

import (
	"context"
	"errors"

	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/runner/local"
)

// Leftovers returns what fleets have left behind: what carries the mark of one and belongs to none that is there. Fleets
// that somebody is working on at the moment are left out.
func Leftovers(ctx context.Context, home string) ([]machines.Resource, error) {
	found, err := local.New(home).Scan(ctx, "")
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var all []machines.Resource
	for _, r := range found {
		if seen[r.Cluster] {
			continue
		}
		seen[r.Cluster] = true
		s, err := Open(home, r.Cluster, Options{})
		if err != nil {
			return nil, err
		}
		left, err := s.machines.Leftovers(ctx)
		if refusal, ok := errors.AsType[*machines.Refusal](err); ok && refusal.Rule == machines.RuleLocked {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, left...)
	}
	return all, nil
}

// Remove removes something that was left behind.
func Remove(ctx context.Context, home string, r machines.Resource) error {
	return local.New(home).Remove(ctx, r)
}
