// Package coord is the contract for what must be agreed on right now: who holds a lease, and a few small values.
//
// It does what ZooKeeper does for Hadoop. A lease comes with a fencing token, a number that grows with every holder
// of its key, so that whoever is told to obey can refuse an older one. Values change only by compare-and-set. Data
// does not belong here, and nothing is written once per worker and step.
//
// Drivers: mem (in one process, for tests), dir (a directory with kernel locks, for the embedded engine's processes on
// one machine), consul (a fleet). fault wraps any of them. On top of the seam stand election and barrier. Every driver
// passes the suite in coordtest.
package coord

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// Coordinator is the seam. All methods may be called by many goroutines at once.
type Coordinator interface {
	// Acquire waits until this caller holds the lease on key, or ctx ends. The lease is kept alive by the driver until
	// Release; when its holder dies, or cannot reach the others for ttl, it ends and somebody else may get it. Lease
	// keys and value keys are separate spaces: a lease on a key does not touch the value of that name.
	Acquire(ctx context.Context, key Key, ttl time.Duration) (Lease, error)

	// Get returns the value of key. An absent key is a Value with Version 0, not an error.
	Get(ctx context.Context, key Key) (Value, error)

	// Swap replaces the value of key if its version is still old (0: if it is absent), and returns the new version.
	// Otherwise nothing changes and it fails with errs.Exist. A nil next deletes the key (version 0 is returned);
	// versions of a key never repeat, deleted or not.
	Swap(ctx context.Context, key Key, old Version, next []byte) (Version, error)

	// Watch yields the keys below prefix (a plain string prefix): first one event for each that exists, then one for
	// each change, in order for each key. Quick changes of one key may be folded into the last of them. It ends when
	// the loop stops, or after the first error; ctx's end is such an error.
	Watch(ctx context.Context, prefix string) iter.Seq2[Event, error]
}

// Lease is held by one process at a time.
type Lease interface {
	// Token is the fencing token: higher than that of every earlier lease on the same key, for as long as the
	// coordinator's state lives.
	Token() uint64

	// Done is closed when the lease has ended: released, or lost. After a pause the holder may learn of it late, so
	// what must not be done twice is guarded by the token (or by a journal's epoch), not by this channel.
	Done() <-chan struct{}

	// Release gives the lease back; the next one in line gets it at once. The second time it does nothing.
	Release(ctx context.Context) error
}

// Key names a lease or a value: components of letters, digits and "._-", separated by single slashes, at most MaxKey
// bytes.
type Key string

// MaxKey and MaxValue bound keys and values, in bytes: a key fits a file name (255), a value half of what Consul
// allows.
const (
	MaxKey   = 240
	MaxValue = 256 << 10
)

// Check returns an error of kind Invalid if k is not well formed.
func (k Key) Check() error {
	const op = "coord.Key"
	if k == "" || len(k) > MaxKey {
		return errs.Errorf(op, errs.Invalid, nil, "%d bytes, 1 to %d allowed", len(k), MaxKey)
	}
	for part := range strings.SplitSeq(string(k), "/") {
		if part == "" || part == "." || part == ".." {
			return errs.Errorf(op, errs.Invalid, k, "component %q", part)
		}
		for _, c := range []byte(part) {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
				return errs.Errorf(op, errs.Invalid, k, "character %q", c)
			}
		}
	}
	return nil
}

// Begin is how a driver begins its call op about a key: an error of kind Invalid if the key is not well formed, of kind
// Canceled if ctx has ended.
func Begin(ctx context.Context, op string, key Key) error {
	if err := key.Check(); err != nil {
		return errs.E(op, errs.Other, nil, err)
	}
	if ctx.Err() != nil {
		return errs.E(op, errs.Canceled, key, ctx.Err())
	}
	return nil
}

// Version numbers the states of one key; 0 is absence. It grows, by how much means nothing.
type Version uint64

// Value is what a key holds. The caller must not change Data.
type Value struct {
	Data    []byte
	Version Version
}

// Event says that Key now has Value; Version 0 means that it was deleted.
type Event struct {
	Key   Key
	Value Value
}
