package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	machines "github.com/seed3322913c/runner/infra/fleet"

	"github.com/seed3322913c/runner/hdfsgw/client"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/runner/say"
)

// bootTime is Options.Patience of who says nothing of it.
const bootTime = 10 * time.Minute

// Health is how much of a fleet works.
type Health struct {
	Servers   int               `json:"servers"` // that have said they are ready
	OfServers int               `json:"of_servers"`
	Workers   int               `json:"workers"`
	OfWorkers int               `json:"of_workers"`
	Reports   []nodeinit.Report `json:"reports"`           // what the machines have said of themselves, by name
	Answers   bool              `json:"answers"`           // jobs could be run
	Waiting   string            `json:"waiting,omitempty"` // for what, when all machines are ready
}

// Booted reports whether all machines are ready.
func (h Health) Booted() bool { return h.Servers == h.OfServers && h.Workers == h.OfWorkers }

// troubles are the reports of machines where something does not work.
func (h Health) troubles() []nodeinit.Report {
	return slices.DeleteFunc(slices.Clone(h.Reports), func(r nodeinit.Report) bool { return !r.State.Trouble() })
}

// hopeless reports whether waiting changes nothing: all machines are ready but for those that have given up.
func (h Health) hopeless() bool {
	broken := 0
	for _, r := range h.Reports {
		if r.State == nodeinit.Broken {
			broken++
		}
	}
	return broken > 0 && h.Servers+h.Workers+broken >= h.OfServers+h.OfWorkers
}

// Await waits until every machine works and jobs can be run, and returns how long machines took to boot and all of it
// to answer after that; tell hears whenever more does. Then it is saved how jobs reach the fleet.
func (s *Site) Await(ctx context.Context, tell func(Health)) (boot, health time.Duration, err error) {
	patience := cmp.Or(s.options.Patience, bootTime)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(s.place.pause())
	defer tick.Stop()
	began := time.Now()
	var last string
	var door door
	for {
		h, err := s.Health(ctx)
		var why error
		if err == nil && h.Servers == h.OfServers && !door.open {
			var shut error
			if h.Waiting, shut = s.try(ctx, &door); shut != nil {
				return 0, 0, shut
			}
		}
		if err == nil && h.Booted() && door.open {
			boot = cmp.Or(boot, time.Since(began))
			why = s.answers(ctx, h.OfWorkers)
			if h.Answers = why == nil; !h.Answers {
				h.Waiting = errs.Cause(why)
			}
		}
		if now := fmt.Sprint(h); err == nil && now != last {
			tell(h)
			last = now
		}
		if h.Answers {
			return boot, time.Since(began) - boot, nil
		}
		if h.hopeless() {
			return 0, 0, s.late(ctx, h, time.Since(began), nil)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, 0, s.late(ctx, h, patience, errors.Join(err, why))
		}
	}
}

// try knocks at the fleet's door, and says what it waits for. An error is that it stays shut.
func (s *Site) try(ctx context.Context, d *door) (waiting string, shut error) {
	rec, err := s.Record()
	if err != nil {
		return errs.Cause(err), nil
	}
	c, err := s.Connect(ctx)
	if err != nil {
		return errs.Cause(err), nil
	}
	return d.try(ctx, c, rec.Request.AllowFrom)
}

// late says why a fleet is not there after a time.
func (s *Site) late(ctx context.Context, h Health, took time.Duration, reason error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return errs.E("", errs.Canceled, nil, fmt.Errorf("interrupted while the machines of %s boot; `runner status --cluster "+
			"%[1]s` says how far they are, `runner teardown %[1]s` removes them", s.Name))
	}
	silent, err := s.Silent(context.WithoutCancel(ctx), h) // its time is over
	if err == nil {                                        // else the machines that speak are told of
		h.Reports = append(h.Reports, silent...)
	}
	var why []string
	for _, r := range h.troubles() {
		why = append(why, fmt.Sprintf("%s: %s", r.Machine, r.Message))
	}
	if reason != nil {
		why = append(why, say.Sentence(reason))
	}
	return errs.E("", errs.Unavailable, nil, fmt.Errorf("after %v %d of %d servers and %d of %d workers of %s work; %s. "+
		"`runner status --cluster %[6]s` says more, `runner teardown %[6]s` removes them", took.Round(time.Second),
		h.Servers, h.OfServers, h.Workers, h.OfWorkers, s.Name, cmp.Or(strings.Join(why, "; "), "nobody says why")))
}

// Health looks how much of the fleet works.
func (s *Site) Health(ctx context.Context) (Health, error) {
	var h Health
	rec, err := s.machines.Record()
	if err != nil {
		return h, err
	}
	h.OfServers, h.OfWorkers = rec.Request.Servers, rec.Request.Workers
	depot, err := s.place.depot(ctx, rec, s.options.Open)
	if err != nil {
		return h, err
	}
	there, err := s.Machines(ctx)
	if err != nil {
		return h, err
	}
	for r, err := range depot.Reports(ctx) {
		if err != nil {
			return h, err
		}
		is := func(m machines.Machine) bool { return m.ID == r.Machine }
		if r.Role != nodeinit.Store && !slices.ContainsFunc(there, is) {
			continue // of a machine that is no more
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
	if rec.Request.Elastic() { // those that there are now are as many as there shall be
		h.OfWorkers = max(rec.Request.Min, h.Workers)
	}
	return h, nil
}

// lookTime bounds one look whether a fleet answers: who is asked while he is replaced may never do so.
const lookTime = 30 * time.Second

// answers returns nil if a job could be run: Consul, Nomad, the store, control and a gateway answer, and all workers
// take work.
func (s *Site) answers(ctx context.Context, workers int) error {
	const op = "deploy.answers"
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	c, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	f, err := fleet.Open(ctx, c, s.options.Open)
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
	if err := s.gateway(ctx, c); err != nil {
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

// gatewayTime bounds a question to gateways, whose clients are patient.
const gatewayTime = 3 * time.Second

// gateway returns nil if one of the fleet's gateways leads. From outside none can be asked: what they serve is not
// encrypted, so nobody is let in; each server has said that its own answers.
func (s *Site) gateway(ctx context.Context, c fleet.Cluster) error {
	if c.Outside != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, gatewayTime)
	defer cancel()
	_, addresses, _ := strings.Cut(c.Env[nodeinit.GatewaysEnv], "=")
	g, err := client.New(strings.Split(addresses, ","), client.Options{Token: c.Env[nodeinit.GatewayTokenEnv]})
	if err != nil {
		return err
	}
	_, err = g.Status(ctx, "/")
	return err
}
