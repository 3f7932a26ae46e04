package deploy

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/fleet/aws"
	"github.com/seed3322913c/runner/runner/local"
	"github.com/seed3322913c/runner/runner/scaling"
	"github.com/seed3322913c/runner/scheduler/scaler"
)

// OpenPool returns the workers of which a machine was told (nodeinit.Machine.Pool), and the name of their cluster:
// "local:FOLDER" or "aws:REGION/CLUSTER".
func OpenPool(ctx context.Context, where string) (pool scaling.Pool, cluster string, err error) {
	provider, place, _ := strings.Cut(where, ":")
	dir, cluster := filepath.Split(place)
	switch provider {
	case local.Name:
		return local.New(filepath.Dir(filepath.Clean(dir))), cluster, nil // FOLDER is <home>/local/CLUSTER
	case AWS:
		pool, err = aws.New(ctx, filepath.Clean(dir))
		return pool, cluster, err
	}
	return nil, "", errs.Errorf("deploy.OpenPool", errs.Invalid, where, "no such provider")
}

// Scale changes the number of workers. It stays so from then on.
func (s *Site) Scale(ctx context.Context, workers int, l machines.Limits) error {
	book, err := s.book(ctx)
	if err != nil {
		return err
	}
	if err := book.Unset(ctx); err != nil { // first, or what grows by itself would do so again
		return err
	}
	return errors.Join(s.machines.Scale(ctx, workers, l), s.bound(ctx))
}

// Bound says between what the fleet grows and shrinks by itself; see machines.Fleet.
func (s *Site) Bound(ctx context.Context, least, most int, cooldown time.Duration, l machines.Limits) error {
	if err := s.machines.Bound(ctx, least, most, cooldown, l); err != nil {
		return err
	}
	return s.bound(ctx)
}

// Scalings are the last decisions about how many workers the fleet has, the newest first.
func (s *Site) Scalings(ctx context.Context) ([]scaling.Event, error) {
	book, err := s.book(ctx)
	if err != nil {
		return nil, err
	}
	return book.Decided(ctx)
}

// bound writes down for the fleet's machines what is known here of its bounds. Somebody has to look after a fleet of a
// fixed size, too, if some of it is to be spot machines: the cloud may have none.
//
// Of two who change the bounds at once either may come here last. Who has written finds out whether they are others by
// now, so that in the end what is known here is written.
func (s *Site) bound(ctx context.Context) error {
	book, err := s.book(ctx)
	if err != nil {
		return err
	}
	for {
		rec, err := s.Record()
		if err != nil {
			return err
		}
		wanted := settings(rec.Request)
		if wanted.Max > 0 {
			err = book.Set(ctx, wanted)
		} else {
			err = book.Unset(ctx)
		}
		if err != nil {
			return err
		}
		if rec, err = s.Record(); err != nil || settings(rec.Request) == wanted {
			return err
		}
	}
}

// settings are what a fleet's machines are told of its bounds; zero if it stays as it is.
func settings(r machines.Request) (s scaler.Settings) {
	switch {
	case r.Elastic():
		s = scaler.Settings{Min: r.Min, Max: r.Max, Spot: r.Spot, Idle: r.Cooldown}
	case r.Spot > 0 && r.Workers > 0:
		s = scaler.Settings{Min: r.Workers, Max: r.Workers, Spot: r.Spot}
	}
	return s
}

func (s *Site) book(ctx context.Context) (scaling.Book, error) {
	rec, err := s.Record()
	if err != nil {
		return scaling.Book{}, err
	}
	depot, err := s.place.depot(ctx, rec, s.options.Open)
	return scaling.Book{Depot: depot}, err
}
