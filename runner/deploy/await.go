package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/runner/say"
)

// bootTime is how long machines may take to boot before it is said that they don't.
const bootTime = 10 * time.Minute

// lookEvery is the time between two looks at machines that boot.
const lookEvery = 200 * time.Millisecond

// Health is how much of a fleet works.
type Health struct {
	Servers   int               `json:"servers"` // that have said they are ready
	OfServers int               `json:"of_servers"`
	Workers   int               `json:"workers"`
	OfWorkers int               `json:"of_workers"`
	Reports   []nodeinit.Report `json:"reports"` // what the machines have said of themselves, by name
	Answers   bool              `json:"answers"` // jobs could be run
}

// troubles are the reports of machines where something does not work.
func (h Health) troubles() []nodeinit.Report {
	return slices.DeleteFunc(slices.Clone(h.Reports), func(r nodeinit.Report) bool { return r.State != nodeinit.Failed })
}

// Await waits until every machine works and jobs can be run; tell hears whenever more does.
func (s *Site) Await(ctx context.Context, c fleet.Cluster, open fleet.OpenStore, tell func(Health)) error {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last string
	for {
		h, err := s.Health(ctx)
		var why error
		if err == nil && h.Servers == h.OfServers && h.Workers == h.OfWorkers {
			why = answers(ctx, c, open, h.OfWorkers)
			h.Answers = why == nil
		}
		if now := fmt.Sprint(h); err == nil && now != last {
			tell(h)
			last = now
		}
		if h.Answers {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s.late(ctx, h, errors.Join(err, why))
		}
	}
}

// late says why a fleet is not there.
func (s *Site) late(ctx context.Context, h Health, reason error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return errs.E("", errs.Canceled, nil, fmt.Errorf("interrupted while the machines of %s boot; `runner status --cluster "+
			"%[1]s` says how far they are, `runner teardown %[1]s` removes them", s.Name))
	}
	var why []string
	for _, r := range h.troubles() {
		why = append(why, fmt.Sprintf("%s: %s", r.Machine, r.Message))
	}
	if reason != nil {
		why = append(why, say.Sentence(reason))
	}
	return errs.E("", errs.Unavailable, nil, fmt.Errorf("after %v %d of %d servers and %d of %d workers of %s work; %s. "+
		"`runner status --cluster %[6]s` says more, `runner teardown %[6]s` removes them", bootTime, h.Servers, h.OfServers,
		h.Workers, h.OfWorkers, s.Name, cmp.Or(strings.Join(why, "; "), "nobody says why")))
}

// Health looks how much of the fleet works.
func (s *Site) Health(ctx context.Context) (Health, error) {
	var h Health
	rec, err := s.machines.Record()
	if err != nil {
		return h, err
	}
	h.OfServers, h.OfWorkers = rec.Request.Servers, rec.Request.Workers
	depot, err := s.provider.Host(s.Name).Depot()
	if err != nil {
		return h, err
	}
	for r, err := range depot.Reports(ctx) {
		if err != nil {
			return h, err
		}
		h.Reports = append(h.Reports, r)
		if r.State != nodeinit.Ready {
			continue
		}
		switch r.Role {
		case nodeinit.Server:
			h.Servers++
		case nodeinit.Worker:
			h.Workers++
		}
	}
	return h, nil
}

// answers returns nil if a job could be run: Consul, Nomad, the store and control answer, and all workers take work.
func answers(ctx context.Context, c fleet.Cluster, open fleet.OpenStore, workers int) error {
	const op = "deploy.answers"
	f, err := fleet.Open(ctx, c, open)
	if err != nil {
		return err
	}
	defer f.Close()
	have, err := f.Machines(ctx)
	if err != nil {
		return err
	}
	if have < workers {
		return errs.Errorf(op, errs.Unavailable, c.Name, "%d of %d workers take work", have, workers)
	}
	if _, err = f.Jobs().All(ctx); err != nil {
		return err
	}
	control, err := f.Control()
	if err != nil {
		return err
	}
	if _, err = control.Queues(ctx); errs.KindOf(err) == errs.Permission {
		return nil // nobody has a token yet, and it has said so
	}
	return err
}
