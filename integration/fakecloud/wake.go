package fakecloud

import (
	"context"
	"strings"
)

// Wake does what the schedules say that start the machines of a fleet, as the cloud would at their slot, and returns how
// many there are.
func (c *Cloud) Wake(ctx context.Context) (fired int, err error) {
	all, err := c.Schedules(ctx)
	if err != nil {
		return 0, err
	}
	for _, s := range all {
		if s.State != "ENABLED" || !strings.HasPrefix(s.Name, "wake-") {
			continue
		}
		if err := c.fire(ctx, s); err != nil {
			return fired, err
		}
		fired++
	}
	return fired, nil
}
