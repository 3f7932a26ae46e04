package nodeinit

import "context"

// Notices tell a machine that it must end soon: a cloud takes spot machines away, replaces them, or shrinks a fleet.
type Notices interface {
	// Wait waits until there is a notice and returns its reason, or until ctx ends.
	Wait(ctx context.Context) (reason string, err error)
	// Drained says that the machine has moved its work elsewhere, so nobody needs to wait for it any longer.
	Drained(ctx context.Context) error
}
