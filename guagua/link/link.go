// Package link is the seam between masters and workers: how the frames of package wire get from one to the other.
//
// A Link promises little. What was sent arrives once, unchanged and in order, or the link breaks; how soon a broken
// link is noticed is the driver's affair, and what to do about it the protocol's (package superstep). A message that
// another one of the same kind overtakes before it was read may be left out.
//
// Drivers: stream (TCP, the default), kv (keys of a coordinator, polled or watched, for small results). Every one of
// them passes the suite in linktest.
package link

import (
	"context"

	"github.com/seed3322913c/runner/guagua/wire"
)

// Transport makes links.
type Transport interface {
	// Listen begins to take workers in, for a master of s.Epoch.
	Listen(ctx context.Context, s wire.Secret) (Listener, error)
	// Dial connects a worker to the master of s.Epoch, whose Listener said that this is its address. A master that is not
	// what it should be is errs.Permission, one that does not answer errs.Unavailable.
	Dial(ctx context.Context, address string, s wire.Secret) (Link, error)
}

// Listener is a master's door.
type Listener interface {
	// Accept waits for the next worker that has proved itself. After Close it fails with errs.Canceled.
	Accept() (Link, error)
	Address() string
	Close() error
}

// Link is one end of a connection. Read and Body are for one goroutine, the other methods for any.
type Link interface {
	// Read waits for the next frame. A body that was not taken is skipped. When the link is broken or closed, it fails
	// with errs.Unavailable; a frame that is damaged is errs.Corrupt, and the link of no more use.
	Read() (wire.Header, error)
	// Body reads the body of the frame that Read returned last into dst, which is as long as the header says.
	Body(dst []byte) error
	// Send writes a message. It may stop between two frames when ctx ends, without an error.
	Send(ctx context.Context, h wire.Header, m *wire.Message) error
	// Close ends the link for both sides. The second time it does nothing.
	Close() error
}
