package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/deploy"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
)

// This file is how long a fleet has, and what it costs: as who has deployed it knows, who alone can give it more time,
// and as its controls were told.
//
//	runner deploy, extend, scale ──▶ control/fleet.json ──▶ control ── /v1/fleet ──▶ everybody's page
//	runner ui --cluster NAME     ──▶ the record of this machine ──▶ the page, with its button

// toldName is what the controls of a fleet are told about it, in its store.
const toldName store.Name = "control/fleet.json"

// maxTold bounds it, in bytes.
const maxTold = 1 << 20

// fleetDoc is a fleet as its record has it.
func fleetDoc(rec machines.Record, now time.Time) client.Fleet {
	cost := rec.Cost(now)
	return client.Fleet{
		Name: rec.Request.Name, Provider: rec.Request.Provider, Region: rec.Request.Region, Phase: string(rec.Phase),
		Servers: rec.Request.Servers, Workers: rec.Request.Workers, Bucket: rec.Bucket, Deployed: rec.Deployed,
		Expires: rec.ExpiresAt, Idle: rec.Request.Idle.Seconds(), USD: cost.USD, Hourly: cost.Hourly,
		PricesOf: cost.PricesOf, Machines: []client.Machine{},
	}
}

// tellControls tells a fleet's controls what its record has about it. The fleet is as well without that.
func (p *program) tellControls(ctx context.Context, s *deploy.Site) {
	if err := tellControls(ctx, s); err != nil {
		fmt.Fprintf(p.err, "Its page does not know how long it has: %s\n", say.Sentence(err))
	}
}

func tellControls(ctx context.Context, s *deploy.Site) error {
	rec, err := s.Record()
	if err != nil {
		return err
	}
	text, err := json.Marshal(fleetDoc(rec, time.Now()))
	if err != nil {
		return errs.E("deploy.tell", errs.Internal, s.Name, err)
	}
	c, err := loadCluster(s.Name)
	if err == nil {
		err = c.Surround()
	}
	if err != nil {
		return err
	}
	st, err := fleetStore(ctx, c.Store)
	if err != nil {
		return err
	}
	return store.Put(ctx, st, toldName, text)
}

// idleSince is since when a fleet has no job; zero if it has one.
func idleSince(ctx context.Context, f *fleet.Fleet, deployed time.Time) (time.Time, error) {
	all, err := f.All(ctx)
	since := deployed
	for _, s := range all {
		if !s.State.Final() && !s.Interrupted {
			return time.Time{}, nil
		}
		if s.Ended.After(since) {
			since = s.Ended
		}
	}
	return since, err
}

// owned is a fleet that was deployed from this machine.
type owned struct {
	site  *deploy.Site
	fleet *fleet.Fleet
}

// Fleet implements api.Lifetime.
func (o owned) Fleet(ctx context.Context) (client.Fleet, error) {
	rec, err := o.site.Record()
	if err != nil {
		return client.Fleet{}, err
	}
	doc := fleetDoc(rec, time.Now())
	all, err := o.site.Machines(ctx)
	if err != nil {
		return doc, err
	}
	for _, m := range all {
		doc.Machines = append(doc.Machines, client.Machine{
			ID: m.ID, Role: string(m.Role), Type: m.Type, Address: m.Private, State: m.State, Spot: m.Spot,
		})
	}
	if doc.Idle > 0 {
		doc.IdleSince, err = idleSince(ctx, o.fleet, doc.Deployed)
	}
	return doc, err
}

// Extend implements api.Lifetime.
func (o owned) Extend(ctx context.Context, ttl time.Duration) error {
	if err := o.site.Extend(ctx, time.Now().Add(ttl)); err != nil {
		return err
	}
	return tellControls(ctx, o.site)
}

// toldFleet is a fleet as its controls know it.
type toldFleet struct {
	store store.Store
	name  string
}

// Fleet implements api.Lifetime.
func (t toldFleet) Fleet(ctx context.Context) (client.Fleet, error) {
	text, err := store.Get(ctx, t.store, toldName, maxTold)
	if errs.KindOf(err) == errs.NotFound {
		return client.Fleet{}, say.Errorf(errs.NotFound,
			"nobody has told how long fleet %s has: it was not made by `runner deploy`", t.name)
	}
	var doc client.Fleet
	if err == nil {
		err = json.Unmarshal(text, &doc)
	}
	if err != nil {
		return doc, errs.E("control.Fleet", errs.Other, t.name, err)
	}
	doc.USD = doc.Hourly * time.Since(doc.Deployed).Hours()
	return doc, nil
}

// Extend implements api.Lifetime.
func (t toldFleet) Extend(context.Context, time.Duration) error {
	return say.Errorf(errs.Unsupported,
		"its machines can't change when they end: say `runner extend %s --ttl 2h` where it was deployed", t.name)
}

// ownFleetParts are the parts of the API that who has deployed a fleet answers better than its control.
func (p *program) ownFleetParts(ctx context.Context, f *fleet.Fleet) ([]api.Part, error) {
	home, err := embedded.HomeDir()
	if err != nil {
		return nil, err
	}
	if _, err := machines.Load(home, f.Name()); errs.KindOf(err) == errs.NotFound {
		return nil, nil // somebody else has
	}
	s, err := p.site(ctx, f.Name(), siteOptions{}, changeOptions{})
	if err != nil {
		return nil, err
	}
	return []api.Part{api.FleetPart(owned{s, f})}, nil
}
