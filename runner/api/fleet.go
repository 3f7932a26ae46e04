package api

import (
	"context"
	_ "embed"
	"net/http"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/say"
)

// Lifetime is a fleet that ends.
type Lifetime interface {
	// Fleet tells what it has cost, and when it removes itself.
	Fleet(ctx context.Context) (client.Fleet, error)
	// Extend moves the time at which it removes itself: so long from now.
	Extend(ctx context.Context, ttl time.Duration) error
}

//go:embed fleet.json
var fleetDoc []byte

// FleetPart tells how long a fleet has, and gives it more time.
func FleetPart(f Lifetime) Part {
	return Part{Doc: fleetDoc, Routes: []Route{
		{"GET /v1/fleet", access.Read, telling(f.Fleet)},
		{"POST /v1/fleet/extend", access.Admin, func(w http.ResponseWriter, r *http.Request) error {
			var ask struct {
				Seconds float64 `json:"seconds"`
			}
			if err := readJSON(w, r, &ask, maxBody); err != nil {
				return err
			}
			const most = 365 * 24 * 3600 // and the fleet itself allows less
			if !(ask.Seconds > 0 && ask.Seconds <= most) {
				return say.Errorf(errs.Invalid, "seconds=%v is not a time from now", ask.Seconds)
			}
			if err := f.Extend(r.Context(), time.Duration(ask.Seconds*float64(time.Second))); err != nil {
				return err
			}
			return telling(f.Fleet)(w, r)
		}},
	}}
}
