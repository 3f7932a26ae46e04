package main

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/control"
	"github.com/seed3322913c/runner/runner/deploy"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/schedules"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// This file lets a schedule fire that no machine watches, since all of its fleet are off.
//
//	runner schedule add --wake ──▶ Terraform ──▶ EventBridge ── at the slot ──▶ servers ──▶ control: catches the slot up
//	                                                                              ▲             │ workers, the job
//	                                          the switch moves for the slot's time ┘             ▼
//	                                                        nothing runs ◀── idle timer ◀── the job is over

// checkWake returns an error if a schedule is to wake a fleet that can't be woken, or not at these slots.
func (p *program) checkWake(ctx context.Context, at place, s cron.Schedule) error {
	if s.Wake == 0 {
		return nil
	}
	f, ok := at.(*fleet.Fleet)
	if !ok {
		return say.Errorf(errs.Unsupported, "nothing starts this machine when it is off; --wake is for a --cluster")
	}
	site, err := p.known(ctx, f.Name(), siteOptions{}, changeOptions{})
	if errs.KindOf(err) == errs.NotFound {
		return say.Errorf(errs.NotFound, "only who has deployed %s can say when it is woken", f.Name())
	}
	if err != nil {
		return err
	}
	return site.CheckWake(wakeOf(s.Name, s.Cron, s.Zone))
}

func wakeOf(name, expression, zone string) machines.Wake {
	if zone == "" {
		zone = "UTC"
	}
	return machines.Wake{Name: name, Cron: expression, Zone: zone}
}

// wake has the cloud wake a fleet when its schedules say so, and no more at the slots of those that are gone. Schedules
// of a fleet that somebody else has deployed are left to them.
func (p *program) wake(ctx context.Context, at place) error {
	f, ok := at.(*fleet.Fleet)
	if !ok {
		return nil
	}
	home, err := embedded.HomeDir()
	if err != nil {
		return err
	}
	rec, err := machines.Load(home, f.Name())
	if errs.KindOf(err) == errs.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	wakes, until, err := wakesOf(ctx, at, time.Now())
	if err != nil || len(wakes) == 0 && len(rec.Request.Wakes) == 0 {
		return err
	}
	site, err := p.site(ctx, f.Name(), siteOptions{}, changeOptions{})
	if err != nil {
		return err
	}
	if err := site.Wake(ctx, wakes, until, p.teller(changeOptions{}).event); err != nil {
		return err
	}
	return tellControls(ctx, site)
}

// wakesOf returns when a fleet's schedules want it woken, and until when it must be let live for the first of them.
func wakesOf(ctx context.Context, at place, now time.Time) (wakes []machines.Wake, until time.Time, err error) {
	book, err := calendarOf(at)
	if err != nil {
		return nil, until, err
	}
	all, err := book.Schedules(ctx)
	for _, v := range all {
		if v.Wake == 0 || v.Paused {
			continue
		}
		wakes = append(wakes, wakeOf(v.Name, v.Cron, v.Zone))
		if end := v.AsleepUntil(now); until.IsZero() || end.Before(until) {
			until = end
		}
	}
	return wakes, until, err
}

// rewake is wake for a fleet that was made again: its schedules have outlived the one before in the bucket.
func (p *program) rewake(ctx context.Context, s *deploy.Site) error {
	rec, err := s.Record()
	if err != nil || !rec.Request.Elastic() || rec.Request.Idle == 0 || len(rec.Request.Wakes) > 0 {
		return err // it cannot be woken, or is
	}
	f, err := openFleet(ctx, s.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	return p.wake(ctx, f)
}

// waking is when a fleet is woken, and by which schedule.
type waking struct {
	At       time.Time `json:"at"`
	Schedule string    `json:"schedule"`
}

// nextWaking is the first of the next slots that wake a fleet; nil if there is none.
func nextWaking(wakes []machines.Wake, now time.Time) (next *waking) {
	for _, w := range wakes {
		table, err := cron.Parse(w.Cron, w.Zone)
		if err != nil {
			continue // it was checked when it was added
		}
		if at := table.Next(now); !at.IsZero() && (next == nil || at.Before(next.At)) {
			next = &waking{at, w.Name}
		}
	}
	return next
}

// betweenLooks is how often a control looks whether it was woken: often enough before the switch fires again.
const betweenLooks = 30 * time.Second

// awakeDuty keeps machines that were woken for as long as their schedules want. Where nothing can be woken there is
// none.
func awakeDuty(ctx context.Context, f *fleet.Fleet) ([]control.Duty, error) {
	where := os.Getenv(fleet.PoolEnv)
	if where == "" {
		return nil, nil
	}
	pool, cluster, err := deploy.OpenPool(ctx, where)
	if err != nil {
		return nil, err
	}
	lever, ok := pool.(schedules.Switch)
	if !ok {
		return nil, nil
	}
	st := f.Jobs().Store
	a := schedules.Awake{
		Book: cron.Book{Store: st}, Switch: lever, Cluster: cluster, Every: betweenLooks,
		Moved: func(ctx context.Context, at time.Time) error { return tellDeadline(ctx, st, at) },
	}
	return []control.Duty{{Name: "staying awake", Do: a.Run}}, nil
}

// tellDeadline changes what controls were told of a fleet's deadline.
func tellDeadline(ctx context.Context, st store.Store, at time.Time) error {
	text, err := store.Get(ctx, st, toldName, maxTold)
	if errs.KindOf(err) == errs.NotFound {
		return nil
	}
	var doc client.Fleet
	if err == nil {
		err = json.Unmarshal(text, &doc)
	}
	if err != nil {
		return err
	}
	doc.Expires = at
	if text, err = json.Marshal(doc); err != nil {
		return err
	}
	return store.Put(ctx, st, toldName, text)
}
