package deploy

import (
	"context"
	"time"

	machines "github.com/seed3322913c/runner/infra/fleet"
)

// CheckWake returns an error if the fleet can't be woken so; see machines.Fleet.
func (s *Site) CheckWake(w machines.Wake) error { return s.machines.CheckWake(w) }

// Wake changes when the cloud starts the fleet's machines while none runs; see machines.Fleet.
func (s *Site) Wake(ctx context.Context, wakes []machines.Wake, until time.Time, tell func(machines.Event)) error {
	return s.machines.Wake(ctx, wakes, until, tell)
}
