package cron

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
)

// Book is what people want, in a store. Anybody may write in it, also while nobody leads. Of two who change the same
// schedule at once the last one wins. Its methods may be called by many goroutines at once.
type Book struct {
	Store store.Store
}

// Trigger is somebody's wish that a schedule runs now.
type Trigger struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

const (
	bookDir      = "schedules/"
	scheduleFile = "/schedule.json"
	triggerDir   = "/trigger/"
	logPrefix    = store.Name("firings")
	maxTrigger   = 4 << 10
)

func scheduleObject(name string) store.Name { return store.Name(bookDir + name + scheduleFile) }

// Add writes a schedule down. It fails with errs.Exist if there is one of its name, errs.Invalid if it is wrong.
func (b Book) Add(ctx context.Context, s Schedule) error { return b.write(ctx, s, store.IfAbsent()) }

// Replace writes a schedule down, in place of an earlier one of its name.
func (b Book) Replace(ctx context.Context, s Schedule) error { return b.write(ctx, s) }

func (b Book) write(ctx context.Context, s Schedule, o ...store.CreateOption) error {
	const op = "cron.Add"
	if err := s.Check(s.Since); err != nil {
		return err
	}
	if len(s.Work) == 0 || len(s.Work) > maxWork {
		return errs.Errorf(op, errs.Invalid, s.Name, "the work has %d bytes, 1 to %d allowed", len(s.Work), maxWork)
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return errs.E(op, errs.Internal, s.Name, err)
	}
	if err := store.Put(ctx, b.Store, scheduleObject(s.Name), data, o...); err != nil {
		return errs.E(op, errs.Other, s.Name, err)
	}
	return nil
}

// Get returns a schedule; errs.NotFound if there is none of that name.
func (b Book) Get(ctx context.Context, name string) (s Schedule, err error) {
	const op = "cron.Get"
	if err := CheckName(name); err != nil {
		return s, errs.E(op, errs.NotFound, name, err)
	}
	data, err := store.Get(ctx, b.Store, scheduleObject(name), 2*maxWork)
	if err != nil {
		return s, errs.E(op, errs.Other, name, err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, errs.E(op, errs.Corrupt, scheduleObject(name), err)
	}
	return s, nil
}

// Remove takes a schedule out, with the triggers that nobody has seen; that there is none is success. What runs goes on.
func (b Book) Remove(ctx context.Context, name string) error {
	const op = "cron.Remove"
	if err := b.Store.Delete(ctx, scheduleObject(name)); err != nil {
		return errs.E(op, errs.Other, name, err)
	}
	for info, err := range b.Store.List(ctx, bookDir+name+triggerDir) {
		if err == nil {
			err = b.Store.Delete(ctx, info.Name)
		}
		if err != nil {
			return errs.E(op, errs.Other, name, err)
		}
	}
	return nil
}

var triggerID = regexp.MustCompile(`^[a-z0-9]{1,40}$`)

// Trigger asks that a schedule runs now, also while it is paused. Asked again with the same id, it runs once; "" draws
// one.
func (b Book) Trigger(ctx context.Context, name, id string, now time.Time) (Trigger, error) {
	const op = "cron.Trigger"
	t := Trigger{ID: cmp.Or(id, strings.ToLower(rand.Text())), At: now.UTC()}
	if !triggerID.MatchString(t.ID) {
		return t, errs.Errorf(op, errs.Invalid, t.ID, "a trigger's id is small letters and digits, 40 at most")
	}
	if _, err := b.Get(ctx, name); err != nil {
		return t, err
	}
	data, err := json.Marshal(t)
	if err != nil {
		return t, errs.E(op, errs.Internal, name, err)
	}
	if err := store.Put(ctx, b.Store, triggerObject(name, t.ID), data); err != nil {
		return t, errs.E(op, errs.Other, name, err)
	}
	return t, nil
}

func triggerObject(name, id string) store.Name { return store.Name(bookDir + name + triggerDir + id) }

// All returns the schedules, in order of their names.
func (b Book) All(ctx context.Context) ([]Schedule, error) {
	var damaged error
	all, _, err := b.read(ctx, func(err error) { damaged = err })
	return all, cmp.Or(err, damaged)
}

// read returns the schedules in order of their names, and for each name the triggers in order of their times. A
// schedule that can't be read is told to damaged, and fires nothing.
func (b Book) read(ctx context.Context, damaged func(error)) ([]Schedule, map[string][]Trigger, error) {
	const op = "cron.Read"
	var all []Schedule
	triggers := map[string][]Trigger{}
	for info, err := range b.Store.List(ctx, bookDir) {
		if err != nil {
			return nil, nil, errs.E(op, errs.Other, nil, err)
		}
		name, rest, _ := strings.Cut(strings.TrimPrefix(string(info.Name), bookDir), "/")
		switch id, isTrigger := strings.CutPrefix("/"+rest, triggerDir); {
		case isTrigger:
			t, err := b.trigger(ctx, name, id)
			if errs.KindOf(err) == errs.NotFound {
				continue // somebody has decided on it meanwhile
			}
			if err != nil {
				return nil, nil, err
			}
			triggers[name] = append(triggers[name], t)
		case "/"+rest == scheduleFile:
			s, err := b.Get(ctx, name)
			switch errs.KindOf(err) {
			case errs.NotFound: // removed meanwhile
				continue
			case errs.Corrupt:
				damaged(err)
				s = Schedule{Name: name, Paused: true}
			default:
				if err != nil {
					return nil, nil, err
				}
			}
			all = append(all, s)
		}
	}
	for _, of := range triggers {
		slices.SortFunc(of, func(a, b Trigger) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	}
	return all, triggers, nil
}

func (b Book) trigger(ctx context.Context, name, id string) (t Trigger, err error) {
	data, err := store.Get(ctx, b.Store, triggerObject(name, id), maxTrigger)
	if err != nil {
		return t, errs.E("cron.Read", errs.Other, name, err)
	}
	if err := json.Unmarshal(data, &t); err != nil {
		return t, errs.E("cron.Read", errs.Corrupt, triggerObject(name, id), err)
	}
	return t, nil
}

// drop removes a trigger that was decided on.
func (b Book) drop(ctx context.Context, name, id string) error {
	return b.Store.Delete(ctx, triggerObject(name, id))
}

// History returns what was done about the schedules up to now.
func (b Book) History(ctx context.Context) (*History, error) {
	h := &History{}
	if _, err := journal.Read(ctx, b.Store, logPrefix, h, journal.Options{}); err != nil {
		return nil, errs.E("cron.History", errs.Other, nil, err)
	}
	return h, nil
}
