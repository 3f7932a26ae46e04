package deploy

import (
	"cmp"
	"context"
	"errors"

	machines "github.com/seed3322913c/runner/infra/fleet"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/local"
)

// Leftover is something that a fleet has left behind.
type Leftover struct {
	machines.Resource
	site *Site
}

// Leftovers returns what fleets have left behind: what carries the mark of one and belongs to none that is there. It
// looks at this host, and at all regions in which there ever was a fleet of this home, and that o names. Fleets that
// somebody is working on at the moment are left out.
func Leftovers(ctx context.Context, home string, o Options) ([]Leftover, error) {
	places, err := places(home, o)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var all []Leftover
	for _, o := range places {
		s := Site{home: home, options: o}
		if err := s.settle(ctx, o.Provider, o.Region); err != nil {
			return nil, err
		}
		if seen[s.Region()] {
			continue
		}
		seen[s.Region()] = true
		left, err := s.leftovers(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, left...)
	}
	return all, nil
}

// places are all that there may be something left at, some more than once.
func places(home string, o Options) ([]Options, error) {
	records, err := machines.List(home)
	if err != nil {
		return nil, err
	}
	here, there := o, o
	here.Provider, here.Region, there.Provider = local.Name, "", AWS
	all := []Options{here}
	if o.Provider == AWS {
		all = append(all, there)
	}
	for _, r := range records {
		if there.Region = r.Request.Region; r.Request.Provider == AWS {
			all = append(all, there)
		}
	}
	return all, nil
}

// leftovers looks at the place of a site without a name.
func (s *Site) leftovers(ctx context.Context) ([]Leftover, error) {
	found, err := s.provider.Scan(ctx, "")
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var all []Leftover
	for _, r := range found {
		if seen[r.Cluster] {
			continue
		}
		seen[r.Cluster] = true
		o := s.options
		o.Anew = true
		one, err := Open(ctx, s.home, r.Cluster, o)
		if errs.KindOf(err) == errs.Exist {
			continue // a fleet of this name is elsewhere; of this one a state knows
		}
		if err != nil {
			return nil, err
		}
		left, err := one.machines.Leftovers(ctx)
		if refusal, ok := errors.AsType[*machines.Refusal](err); ok && refusal.Rule == machines.RuleLocked ||
			errs.KindOf(err) == errs.Fenced {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, r := range left {
			all = append(all, Leftover{r, one})
		}
	}
	return all, nil
}

// Remove removes what was left behind, in an order that works, and is so still: what it takes its time for, a question
// to the user perhaps, is time for others to deploy a fleet whose parts have the same names. One fleet whose parts
// can't be removed keeps no other's.
func Remove(ctx context.Context, left []Leftover, tell func(machines.Event)) error {
	var sites []*Site
	bySite := map[*Site][]machines.Resource{}
	for _, l := range left {
		if bySite[l.site] == nil {
			sites = append(sites, l.site)
		}
		bySite[l.site] = append(bySite[l.site], l.Resource)
	}
	var first error
	for _, s := range sites {
		first = cmp.Or(first, s.machines.Clear(ctx, bySite[s], tell))
	}
	return first
}
